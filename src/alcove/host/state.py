"""What the host process remembers of each workspace: one small JSON file, replaced whole.

It is written before the first thing it tells of is made, and removed after the last is gone, so
that whatever a crash leaves behind has a record. One rule: it is replaced by rename, never edited.
"""

import os
import re
import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from alcove.host.runtime import Process
from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId

FILE: Final = "state.json"
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
    STOPPED = "stopped"
    """We were told to end it: by `stop`, or with everything else by a teardown."""
    ENDED = "ended"
    """Found dead and cleaned up, or never begun; `detail` says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """`image` is the key of its image; `approved` that its posture was found as expected."""

    slot: int
    stage: Stage
    image: str = ""
    boot: str | None = None
    process: Process | None = None
    approved: bool = False
    root: str = ""
    network: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    record: Record


_KEPT: Final = TypeAdapter[_Kept](_Kept)


class Records:
    """The records below `directory`, kept in memory as well; one writer per workspace."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._known: dict[WorkspaceId, Record] = {}
        for path in directory.iterdir():
            if WORKSPACE_ID.fullmatch(path.name) and (path / FILE).exists():
                self._known[WorkspaceId(path.name)] = _read(path / FILE)

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

    def put(self, workspace: WorkspaceId, record: Record) -> Record:
        """Keep it durably. The order is file, then memory: memory never tells of what a crash
        would take back."""
        directory = self.directory(workspace)
        half = directory / f"{FILE}.new"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_KEPT.dump_json(_Kept(_VERSION, record)))
            file.flush()
            os.fsync(file.fileno())
        half.rename(directory / FILE)
        with self._lock:
            self._known[workspace] = record
        return record

    def change(self, workspace: WorkspaceId, **fields: Any) -> Record:
        return self.put(workspace, replace(self._known[workspace], **fields))

    def forget(self, workspace: WorkspaceId) -> None:
        """After the directory is gone: the slot is free again."""
        with self._lock:
            self._known.pop(workspace, None)

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


def _read(path: Path) -> Record:
    """Raises DriverError for a file that is not ours to understand: guessing would be worse."""
    try:
        kept = _KEPT.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DriverError(f"cannot read {path}: {error}", retry=False) from error
    if kept.version != _VERSION:
        raise DriverError(f"{path} was written by another version of alcove", retry=False)
    return kept.record
