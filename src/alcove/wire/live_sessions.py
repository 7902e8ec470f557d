"""Live sessions: the connections to workspaces that are open now."""

from datetime import datetime

from alcove.model.live_session import LiveKind
from alcove.wire.base import Answer


class LiveWorkspace(Answer):
    id: str
    name: str


class LiveDetail(Answer):
    """What there is to say of its kind; all else is null."""

    method: str | None = None
    """Of SSH: how the user was let in: `certificate`, `key` or `token`."""
    client: str | None = None
    """Of SSH: what the client calls itself."""
    channels: dict[str, int] | None = None
    """Of SSH: how many are open of `shell`, `exec`, `sftp`, `forward` (connections) and `listen`
    (sockets inside); those that there are none of are left out."""
    terminal: str | None = None
    """Of a terminal: its session."""
    command: str | None = None
    """Of an exec."""
    port: int | None = None
    """Of a tunnel."""


class LiveSession(Answer):
    """One connection."""

    id: str
    kind: LiveKind
    workspace: LiveWorkspace
    owner: str
    """Name of the workspace's owner."""
    user: str
    """Name of who is connected."""
    address: str
    """Where from; empty when it is not known."""
    server: str
    """Which server has the connection."""
    began_at: datetime
    detail: LiveDetail
