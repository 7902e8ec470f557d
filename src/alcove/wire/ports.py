"""Ports: what listens, who may open it, links."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from alcove.model.port import Level
from alcove.wire.base import Answer, Duration, Path, Request


class Port(Answer):
    """A TCP port that something inside listens on, or that is shared."""

    port: int
    address: str
    """Where it listens inside: `127.0.0.1`, `0.0.0.0`, `::`; empty when nothing does."""
    process: str | None = None
    listening: bool = True
    level: Level = Level.PRIVATE
    expires_at: datetime | None = None
    """When it becomes private again."""
    url: str | None = None
    """Where browsers find it; null when the server has no domain for apps."""


class Ports(Answer):
    items: list[Port]
    next_cursor: str | None = None


class PortShare(Request):
    level: Level
    """`private`: only you; `team`: everybody who may have workspaces here; `public`: everybody.
    At most what the server's `share_level_max` and the template's ceiling allow."""
    ttl: Duration | None = None
    """How long; without it until it is changed."""


class NewPortLink(Request):
    ttl: Duration = 3600
    """How long the link is good: at most 30 days, or what the server's `link_ttl_max` says."""
    path: Annotated[Path, Field(pattern=r"^/")] = "/"
    """Only what begins with this path is opened by it."""


class PortLink(Answer):
    """`url` opens the port for whoever has it."""

    url: str
    token: str
    expires_at: datetime
