"""What commands without a terminal wrote: what the list says, and one with its output."""

from datetime import datetime

from alcove.wire.base import Answer


class ExecOutput(Answer):
    """Of one command; what it wrote is in `GET /exec-outputs/{id}`."""

    id: str
    workspace: str
    """Id of the workspace; that may be gone."""
    workspace_name: str
    """Empty when it is known no more."""
    owner: str
    """Name of the workspace's owner."""
    actor: str
    """Name of who ran it."""
    command: str
    """Bounded, control characters escaped."""
    exit_code: int | None
    """None where whoever ran it went away before its end."""
    duration_ms: float
    stdout_size: int
    stderr_size: int
    """Bytes that it wrote."""
    digest: str
    """Of what is kept, as in its event `exec.finished`."""
    at: datetime
    """Its end."""
    expires_at: datetime | None
    """Deleted then."""


class KeptStream(Answer):
    """The beginning and the end of a stream, as text with U+FFFD for what is not UTF-8; if
    something was not, the exact bytes stand in `head_base64` and `tail_base64`."""

    head: str
    tail: str
    """Empty where nothing was dropped."""
    head_base64: str | None
    tail_base64: str | None
    size: int
    """Bytes that the command wrote."""
    dropped: int
    """Bytes between head and tail that were not kept."""


class ExecOutputRead(ExecOutput):
    """With what is kept. It is as the command wrote it: do not show it raw in a terminal."""

    stdout: KeptStream
    stderr: KeptStream
    intact: bool
    """Whether it has the digest that the event log has."""
