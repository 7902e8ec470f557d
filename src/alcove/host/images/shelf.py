"""Where images are kept: layers by content, and one record per image that names its layers.

    layers/<name>/tree     read-only when the directory has this name
    records/<key>.json     an image is ready when its record is there
    logs/<key>.log         the last build
    building/              unfinished; emptied at start
    cache/                 downloads that later builds use again

The one rule: a name appears by a rename, after its content is on disk.
"""

import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from alcove.host.images import syscalls

LOG_BYTES_MAX: Final = 1 << 20
LOG_TAIL_BYTES: Final = 64 * 1024
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A ready image. `layers` are names on the shelf, bottom first."""

    key: str
    title: str
    """For people: "debian bookworm + 12 packages"."""
    layers: tuple[str, ...]
    env: Mapping[str, str]
    size_bytes: int


class Shelf:
    """Files below one directory that root alone can enter: a set-uid file in an image must not be
    within reach of the host's users."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("layers", "records", "logs", "building", "cache"):
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)

    def sweep(self) -> None:
        """Remove what a crash left half-made. Call it before the first build."""
        for left in (self.directory / "building").iterdir():
            remove_tree(left)

    def layer(self, name: str) -> Path:
        return self.directory / "layers" / name / "tree"

    def has_layer(self, name: str) -> bool:
        return self.layer(name).is_dir()

    @contextmanager
    def workplace(self) -> Generator[Path]:
        """A directory for one build, gone afterwards. `tree` in it may be shelved."""
        place = self.directory / "building" / secrets.token_hex(8)
        make_directory(place)
        try:
            yield place
        finally:
            remove_tree(place)

    def put_layer(self, name: str, tree: Path) -> None:
        """Shelve `tree`, which must lie in a workplace, as layer `name`."""
        parent = tree.parent / f"shelved-{secrets.token_hex(4)}"
        parent.mkdir(mode=0o700)
        (parent / "size").write_text(str(_size(tree)))
        tree.rename(parent / "tree")
        # One sync of the file system rather than one for each of ten thousand files.
        syscalls.sync_file_system(parent)
        target = self.directory / "layers" / name
        if target.exists():
            remove_tree(target)
        parent.rename(target)
        _sync(target.parent)

    def layer_bytes(self, name: str) -> int:
        return int((self.directory / "layers" / name / "size").read_text())

    def cache(self, *names: str) -> Path:
        directory = self.directory.joinpath("cache", *names)
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_directory(directory)
        return directory

    def record(self, key: str) -> Record | None:
        """The image's record, if it and all its layers are there."""
        try:
            values = json.loads(self._record_path(key).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        record = Record(**(values | {"layers": tuple(values["layers"])}))
        return record if all(self.has_layer(name) for name in record.layers) else None

    def records(self) -> list[Record]:
        keys = sorted(p.stem for p in (self.directory / "records").glob("*.json"))
        return [record for key in keys if (record := self.record(key))]

    def put_record(
        self, key: str, *, title: str, layers: Sequence[str], env: Mapping[str, str]
    ) -> None:
        size = sum(self.layer_bytes(name) for name in layers)
        record = Record(key, title, tuple(layers), dict(env), size)
        path = self._record_path(key)
        new = path.with_suffix(".new")
        with new.open("w") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        _sync(path.parent)

    def remove_record(self, key: str) -> None:
        self._record_path(key).unlink(missing_ok=True)
        self.log_path(key).unlink(missing_ok=True)

    def remove_unused_layers(self) -> list[str]:
        """Remove the layers that no record names."""
        used = {name for record in self.records() for name in record.layers}
        removed: list[str] = []
        for directory in sorted((self.directory / "layers").iterdir()):
            if directory.name not in used:
                # Renamed first: a half-removed layer must not look like a whole one.
                doomed = self.directory / "building" / f"removed-{secrets.token_hex(8)}"
                directory.rename(doomed)
                remove_tree(doomed)
                removed.append(directory.name)
        return removed

    def log_path(self, key: str) -> Path:
        return self.directory / "logs" / f"{key}.log"

    def log_tail(self, key: str) -> str:
        try:
            with self.log_path(key).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LOG_TAIL_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _record_path(self, key: str) -> Path:
        return self.directory / "records" / f"{key}.json"


def make_directory(path: Path) -> Path:
    """A directory with the mode of an image's own, whatever the umask of this process."""
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
    return path


def write_file(path: Path, text: str) -> Path:
    """A file that a jail may read, whatever the umask of this process."""
    path.write_text(text)
    path.chmod(0o644)
    return path


def remove_tree(path: Path) -> None:
    """Remove a tree of files that somebody else made; never follows a link out of it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(tree: Path) -> int:
    """Bytes that the files take on disk."""
    total = 0
    seen: set[int] = set()
    for _, _, files, directory in os.fwalk(tree):
        for name in files:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if status.st_nlink == 1 or status.st_ino not in seen:
                total += status.st_blocks * 512
                seen.add(status.st_ino)
    return total


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
