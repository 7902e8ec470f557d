"""Where snapshots are kept: a directory for each, which is complete or not there.

It is made under a temporary name, which tells whose it is, summed, written out, described in
`snapshot.json`, and then renamed. One rule: nothing is begun from a snapshot before its files
were found as they were kept.
"""

import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from alcove.drivers.base import Taken
from alcove.host.copying import digest, sync
from alcove.host.protocol import SNAPSHOT_ID
from alcove.model.errors import DriverError
from alcove.model.workspace import Isolation, SnapshotId, WorkspaceId

VOLUME: Final = "volume.img"
MEMORY: Final = "memory"
_META: Final = "snapshot.json"
_VERSION: Final = 1
_HALF: Final = re.compile(r"(sn-[a-z2-7]{16})\.(ws-[a-z2-7]{16})\.new")
_GOING: Final = ".old"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a workspace has to have in common with the one that a snapshot was taken of."""

    image: str
    """The key of the image: what was changed in it means nothing above another one."""
    isolation: Isolation
    root: str
    user: str
    disk_mib: int


@dataclass(frozen=True, slots=True)
class Sum:
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A complete snapshot. `files` are relative to its directory."""

    version: int
    snapshot: SnapshotId
    origin: Origin
    memory: bool
    size_mib: int
    files: Mapping[str, Sum]

    @property
    def taken(self) -> Taken:
        return Taken(self.snapshot, self.memory, self.size_mib)


_KEPT: Final = TypeAdapter[Kept](Kept)


class Shelf:
    """The snapshots below `directory`. Used from many threads; one writer for each id."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._checked: dict[SnapshotId, tuple[tuple[int, ...], ...]] = {}

    def interrupted(self) -> set[WorkspaceId]:
        """At start: the workspaces that were being kept when the last process ended."""
        return {workspace for _, workspace in self._halves()}

    def tidy(self) -> None:
        """At start: remove what was half made, and what was half removed."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for snapshot, _ in self._halves():
            self.remove(snapshot)
        for path in self._directory.glob(f"*{_GOING}"):
            shutil.rmtree(path, ignore_errors=True)

    def path(self, snapshot: SnapshotId) -> Path:
        return self._directory / snapshot

    def all(self) -> list[Kept]:
        """The complete ones; one that cannot be read is not."""
        found: list[Kept] = []
        for path in sorted(self._directory.glob("sn-*")):
            if SNAPSHOT_ID.fullmatch(path.name):
                try:
                    found.append(self.get(SnapshotId(path.name)))
                except DriverError:
                    continue
        return found

    def has(self, snapshot: SnapshotId) -> bool:
        return self.path(snapshot).exists()

    def get(self, snapshot: SnapshotId) -> Kept:
        """Raises DriverError, not to be tried again, if there is none that can be read."""
        path = self.path(snapshot) / _META
        if not self.has(snapshot):
            raise DriverError(f"there is no snapshot {snapshot} on this host", retry=False)
        try:
            kept = _KEPT.validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise _damaged(snapshot, f"its description cannot be read ({error})") from error
        if kept.version != _VERSION:
            raise DriverError(
                f"snapshot {snapshot} was taken by another version of alcove", retry=False
            )
        return kept

    def checked(self, snapshot: SnapshotId) -> Kept:
        """As `get`, its files having been found whole: by their sums at first, and afterwards by
        that nobody touched them since. Raises DriverError, not to be tried again."""
        kept = self.get(snapshot)
        try:
            marks = self._marks(kept)
            if self._checked.get(snapshot) == marks:
                return kept
            for name, wanted in kept.files.items():
                path = self.path(snapshot) / name
                if path.stat().st_size != wanted.size:
                    size = path.stat().st_size
                    raise _damaged(snapshot, f"{name} has {size} bytes instead of {wanted.size}")
                if digest(path) != wanted.digest:
                    raise _damaged(snapshot, f"{name} is not as it was written")
        except OSError as error:
            raise _damaged(snapshot, str(error)) from error
        with self._lock:
            self._checked[snapshot] = marks
        return kept

    def begin(self, snapshot: SnapshotId, workspace: WorkspaceId) -> Path:
        """An empty directory for the files of a new one of that workspace."""
        self.remove(snapshot)
        half = self._directory / f"{snapshot}.{workspace}.new"
        half.mkdir(mode=0o700)
        return half

    def describe(self, snapshot: SnapshotId, half: Path, origin: Origin, *, memory: bool) -> Kept:
        """Sum what was put into the directory that `begin` gave, and have it on the disk."""
        paths = sorted(p for p in half.rglob("*") if p.is_file())
        files = {str(p.relative_to(half)): Sum(p.stat().st_size, digest(p)) for p in paths}
        size = sum(p.stat().st_blocks * 512 for p in paths)
        kept = Kept(_VERSION, snapshot, origin, memory, (size + (1 << 20) - 1) >> 20, files)
        (half / _META).write_bytes(_KEPT.dump_json(kept))
        for path in (*paths, half / _META, half):
            sync(path)
        return kept

    def finish(self, kept: Kept, half: Path) -> None:
        """From here on it is there."""
        half.rename(self.path(kept.snapshot))
        sync(self._directory)
        marks = self._marks(kept)
        with self._lock:
            self._checked[kept.snapshot] = marks

    def hide(self, snapshot: SnapshotId) -> None:
        """The first half of removing it: from here on it is not there."""
        with self._lock:
            self._checked.pop(snapshot, None)
        if self.has(snapshot):
            self.path(snapshot).rename(self._directory / f"{snapshot}{_GOING}")

    def remove(self, snapshot: SnapshotId) -> None:
        """What is left of it once it is hidden, and what was only half made."""
        gone = list(self._directory.glob(f"{snapshot}{_GOING}"))
        gone += [self._directory / f"{s}.{w}.new" for s, w in self._halves() if s == snapshot]
        for path in gone:
            shutil.rmtree(path)

    def _halves(self) -> list[tuple[SnapshotId, WorkspaceId]]:
        if not self._directory.is_dir():
            return []
        found = (_HALF.fullmatch(path.name) for path in self._directory.iterdir())
        return [(SnapshotId(m[1]), WorkspaceId(m[2])) for m in found if m]

    def _marks(self, kept: Kept) -> tuple[tuple[int, ...], ...]:
        """What changes when somebody writes to one of the files."""
        seen = [(self.path(kept.snapshot) / name).stat() for name in kept.files]
        return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in seen)


def _damaged(snapshot: SnapshotId, how: str) -> DriverError:
    return DriverError(f"snapshot {snapshot} is damaged and is not used: {how}", retry=False)
