"""Apps: what a template offers to open in a browser."""

from datetime import datetime

from alcove.model.app import AppStart, AppState, Level, OpenIn
from alcove.wire.base import Answer


class App(Answer):
    """`state` is how its agent last saw it, `reason` why."""

    name: str
    display_name: str
    icon: str
    url: str | None
    """Where browsers find it; null for one that listens inside when the server has no domain for
    apps: make a link to its port, if `subdomain` is false."""
    external: bool
    """A link to somewhere else: Alcove neither runs nor shares it."""
    port: int | None
    state: AppState
    reason: str
    since: datetime | None
    restarts: int
    """How often its command was started again since the workspace started."""
    start: AppStart
    level: Level
    """Who may open it now."""
    expires_at: datetime | None
    subdomain: bool
    """Whether it needs a host name of its own."""
    open_in: OpenIn
    hidden: bool


class Apps(Answer):
    items: list[App]
    next_cursor: str | None = None
