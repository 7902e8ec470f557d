"""What was on a terminal's screen, kept outside the workspace. Pure values."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from alcove.model.workspace import UserId, WorkspaceId

RecordingId = NewType("RecordingId", str)


class SessionKind(StrEnum):
    """By which way somebody came in."""

    EXEC = "exec"
    SSH = "ssh"
    TERMINAL = "terminal"


class RecordingPolicy(StrEnum):
    """What the operator wants of terminals."""

    OFF = "off"
    TRY = "try"
    """Recorded; where that fails (a full disk) the session goes on, and it is told."""
    REQUIRE = "require"
    """Nobody gets a terminal that is not recorded, and one whose recording fails is ended."""


class RecordingState(StrEnum):
    RECORDING = "recording"
    FINISHED = "finished"
    FAILED = "failed"
    """It could not be written any more (a full disk): what there is is its beginning."""
    LOST = "lost"
    """The server that wrote it was killed: the last moments may be missing."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Of one connection to one terminal. `size` in bytes, both it and `chunks` as of its end."""

    id: RecordingId
    workspace: WorkspaceId
    owner: UserId
    """Of the workspace."""
    actor: UserId
    """Who sat at the terminal."""
    kind: SessionKind
    title: str
    state: RecordingState
    server: str
    """Name of the directory that has the file; see `core/recordings.py`."""
    columns: int
    rows: int
    size: int
    chunks: int
    digest: str
    """Head of the chain of digests; empty until it is over."""
    exit_code: int | None
    detail: str
    """Small and for people: the workspace's name, or why the recording failed."""
    started_at: datetime
    ended_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a recording's file that is in the event log."""

    number: int
    """From 1."""
    end: int
    """Offset in the file of the first byte after it."""
    digest: str
    """BLAKE2b-256 of its bytes, in hexadecimal, as `b2sum -l 256` says it."""
    head: str
    """SHA-256 of the head before it and its digest."""


def first_head(id: RecordingId) -> str:
    """What the chain of a recording begins with: its id, so that no other's fits."""
    return hashlib.sha256(f"alcove recording {id}".encode()).hexdigest()


def next_head(head: str, digest: str) -> str:
    return hashlib.sha256(f"{head} {digest}".encode()).hexdigest()
