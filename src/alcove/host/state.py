"""What the host process remembers of each workspace: one small JSON file, replaced whole.

It is written before the first thing it tells of is made, and removed after the last is gone, so
that whatever a crash leaves behind has a record. What ends with the machine anyway (that a running
workspace is paused, what it was changed to) is noted in a second file beside it, which need not
reach the disk. One rule: both are replaced by rename, never edited.
"""

import os
import re
import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from alcove.host.runtime import Process, kernel_boot, lives
from alcove.model.errors import DriverError
from alcove.model.workspace import Isolation, Resources, SnapshotId, WorkspaceId

FILE: Final = "state.json"
NOTE: Final = "state.now.json"
SLOTS_MAX: Final = 32768
WORKSPACE_ID: Final = re.compile(r"ws-[a-z2-7]{16}")
_VERSION: Final = 1


class Stage(StrEnum):
    """How far the last verb came."""

    WAITING = "waiting"
    """For its image; the next `create` or `start` goes on."""
    MAKING = "making"
    """A `create` or `start` is under way, or was cut off."""
    RUNNING = "running"
    """The runtime was started. Whether it still runs, the process table says."""
    PAUSED = "paused"
    """As RUNNING, but it is to stand still."""
    ASLEEP = "asleep"
    """Paused, with its processes and memory on disk; nothing of it runs."""
    STOPPED = "stopped"
    """We were told to end it: by `stop`, or with everything else by a teardown."""
    ENDED = "ended"
    """Found dead and cleaned up, or never begun; `detail` says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """`image` is the key of its image; `approved` that its posture was found as expected.
    `isolation` and what follows it is as in the Spec that it runs by now."""

    slot: int
    stage: Stage
    image: str = ""
    boot: str | None = None
    process: Process | None = None
    approved: bool = False
    root: str = ""
    network: str = ""
    detail: str = ""
    isolation: Isolation = Isolation.CONTAINER
    user: str = ""
    hostname: str = ""
    resources: Resources | None = None
    restoring: SnapshotId | None = None
    """What its first start begins from; None as soon as that start was finished."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Of the record and its note, the one with the higher number is the newer."""

    version: int
    record: Record
    number: int = 0
    kernel: str = ""


_KEPT: Final = TypeAdapter[_Kept](_Kept)


class Records:
    """The records below `directory`, kept in memory as well; one writer per workspace."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._known: dict[WorkspaceId, Record] = {}
        self._numbers: dict[WorkspaceId, int] = {}
        for path in directory.iterdir():
            if WORKSPACE_ID.fullmatch(path.name) and (path / FILE).exists():
                kept = _newest(_read(path / FILE), path / NOTE)
                self._known[WorkspaceId(path.name)] = kept.record
                self._numbers[WorkspaceId(path.name)] = kept.number

    def get(self, workspace: WorkspaceId) -> Record | None:
        return self._known.get(workspace)

    def ids(self) -> set[WorkspaceId]:
        """Those with a record, and those with a directory that a crash left without one."""
        with self._lock:
            known = set(self._known)
        return known | {
            WorkspaceId(p.name)
            for p in self._directory.iterdir()
            if WORKSPACE_ID.fullmatch(p.name)
        }

    def directory(self, workspace: WorkspaceId) -> Path:
        return self._directory / workspace

    def open(self, workspace: WorkspaceId, **fields: Any) -> Record:
        """Change the record as `change` does, making it with the lowest free slot if there is
        none yet."""
        with self._lock:
            there = workspace in self._known
        return self.change(workspace, **fields) if there else self._make(workspace, **fields)

    def put(self, workspace: WorkspaceId, record: Record, *, name: str = FILE) -> Record:
        """Keep it, durably if it is not a note. The order is file, then memory: memory never
        tells of what a crash would take back."""
        number = self._numbers.get(workspace, 0) + 1
        directory = self.directory(workspace)
        half = directory / f"{name}.new"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_KEPT.dump_json(_Kept(_VERSION, record, number, kernel_boot())))
            file.flush()
            if name == FILE:
                os.fsync(file.fileno())
        half.rename(directory / name)
        with self._lock:
            self._known[workspace] = record
            self._numbers[workspace] = number
        return record

    def change(self, workspace: WorkspaceId, **fields: Any) -> Record:
        return self.put(workspace, replace(self._known[workspace], **fields))

    def note(self, workspace: WorkspaceId, **fields: Any) -> Record:
        """As `change`, for what is of no more use once the machine was restarted: it survives
        this process, and costs no wait for the disk."""
        return self.put(workspace, replace(self._known[workspace], **fields), name=NOTE)

    def forget(self, workspace: WorkspaceId) -> None:
        """After the directory is gone: the slot is free again."""
        with self._lock:
            self._known.pop(workspace, None)
            self._numbers.pop(workspace, None)

    def _make(self, workspace: WorkspaceId, **fields: Any) -> Record:
        with self._lock:
            taken = {r.slot for r in self._known.values()}
            slot = next((n for n in range(SLOTS_MAX) if n not in taken), None)
            if slot is None:
                raise DriverError(
                    f"all {SLOTS_MAX} id ranges of this host are in use; delete workspaces",
                    retry=True,
                )
            record = replace(Record(slot=slot, stage=Stage.MAKING), **fields)
            self._known[workspace] = record  # the slot is taken from here on
        self.directory(workspace).mkdir(mode=0o700, exist_ok=True)
        return self.put(workspace, record)


def alive(record: Record | None) -> Process | None:
    """The first process of a workspace that runs or stands still; None if there is none now."""
    if record is None or record.stage not in (Stage.RUNNING, Stage.PAUSED):
        return None
    return record.process if record.process is not None and lives(record.process) else None


def _read(path: Path) -> _Kept:
    """Raises DriverError for a file that is not ours to understand: guessing would be worse."""
    try:
        kept = _KEPT.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DriverError(f"cannot read {path}: {error}", retry=False) from error
    if kept.version != _VERSION:
        raise DriverError(f"{path} was written by another version of alcove", retry=False)
    return kept


def _newest(kept: _Kept, path: Path) -> _Kept:
    """The note at `path`, if it was written after `kept` and the machine was not restarted since.
    One that did not reach the disk whole is of such a machine."""
    try:
        note = _KEPT.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return kept
    newer = note.version == _VERSION and note.kernel == kernel_boot() and note.number > kept.number
    return note if newer else kept
