"""Recordings of terminals: what the list says, their commands, and their proof."""

from datetime import datetime

from alcove.model.recording import RecordingState, SessionKind
from alcove.wire.base import Answer


class Recording(Answer):
    """Of one connection to one terminal; the bytes are at `…/cast`."""

    id: str
    workspace: str
    """Id of the workspace; that may be gone."""
    workspace_name: str
    """Empty when it is known no more."""
    owner: str
    """Name of the workspace's owner."""
    actor: str
    """Name of who sat at the terminal."""
    kind: SessionKind
    title: str
    """The command, or the name of the terminal."""
    state: RecordingState
    detail: str
    """Why it failed or was lost."""
    server: str
    """Which server has the file."""
    columns: int
    rows: int
    """As it began."""
    size: int
    """Bytes of the file."""
    exit_code: int | None
    digest: str
    """Head of the chain of its chunks, as in the event log; empty until it is over."""
    started_at: datetime
    ended_at: datetime | None
    expires_at: datetime | None
    """Deleted then."""


class RecordedCommand(Answer):
    """Seconds since the beginning of the recording."""

    at: float
    text: str
    """Empty where the shell does not say it."""
    ended_at: float | None
    exit_code: int | None


class RecordedCommands(Answer):
    """Oldest first; none where the shell marks nothing."""

    items: list[RecordedCommand]


class RecordingProof(Answer):
    """Whether the file is what was written, by the digests in the event log."""

    intact: bool
    broken: str | None
    """The first thing that is not as it was written."""
    chunk: int | None
    """Number of the chunk where that is."""
    offset: int | None
    """Where in the file that chunk begins."""
    chunks: int
    """How many are as they were written."""
    size: int
    """Bytes that the file has."""
    unsealed: int
    """Of one that is being written: bytes that no chunk has yet."""
    head: str
    """Of the chain so far."""
