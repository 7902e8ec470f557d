"""A live session: one connection to a workspace that is open now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from alcove.model.workspace import UserId, WorkspaceId


class LiveKind(StrEnum):
    EXEC = "exec"
    """A command with a live stdin, or in a terminal of its own."""
    SSH = "ssh"
    TERMINAL = "terminal"
    """A viewer of a terminal that goes on without viewers."""
    TUNNEL = "tunnel"
    """One TCP connection to a port."""


@dataclass(frozen=True, slots=True)
class LiveSession:
    """As of the moment when it was looked at."""

    id: str
    kind: LiveKind
    server: str
    """The name of the server that the connection is with."""
    workspace: WorkspaceId
    workspace_name: str
    owner: UserId
    """Of the workspace."""
    user: UserId
    """Who is connected."""
    address: str
    began_at: datetime
    detail: Mapping[str, object] = field(default_factory=dict[str, object])
    """Small JSON object. SSH: `method`, `client`, `channels` (kind to how many); terminal:
    `terminal`; exec: `command`; tunnel: `port`."""
