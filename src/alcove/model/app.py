"""What a template offers to look at in a browser: its apps. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

APPS_MAX: Final = 32
"""Of one template."""


class Level(StrEnum):
    """Who may open a port."""

    PRIVATE = "private"
    """Its owner, and administrators."""
    TEAM = "team"
    """Everybody who may have workspaces here."""
    PUBLIC = "public"
    """Everybody who knows the address."""


LEVELS: Final = (Level.PRIVATE, Level.TEAM, Level.PUBLIC)
"""From narrow to wide."""
assert frozenset(LEVELS) == frozenset(Level)


def narrower(one: Level, other: Level) -> Level:
    return min(one, other, key=LEVELS.index)


class OpenIn(StrEnum):
    """Where a click on the app leads to."""

    TAB = "tab"
    WINDOW = "window"


class AppStart(StrEnum):
    """When the agent starts the app's command."""

    BOOT = "boot"
    """After the start-up steps of each start."""
    FIRST_USE = "first_use"
    """When somebody opens it for the first time after a start."""


class AppState(StrEnum):
    """How an app is, as the agent last saw it."""

    WAITING = "waiting"
    """For the start-up steps to end, or for its first use."""
    STARTING = "starting"
    """Its command runs, and has not answered yet."""
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    """It did not answer so often as the threshold says, or its command ended."""
    UNKNOWN = "unknown"
    """The workspace is not running, or its agent does not say."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How the agent finds out whether the app answers."""

    path: str | None = None
    """A GET of it is answered with a status below 500; None: the port takes a connection."""
    interval_s: int = 10
    threshold: int = 3
    """Failures in a row that make it unhealthy."""


@dataclass(frozen=True, slots=True)
class App:
    """One entry of `apps:`: something that listens inside, or a link to somewhere else."""

    name: str
    display_name: str
    icon: str = ""
    port: int | None = None
    """None for a link."""
    url: str | None = None
    """Where a link leads to; None for what listens inside."""
    command: str | None = None
    """Kept running by the agent, as the user; None for what is started otherwise."""
    start: AppStart = AppStart.BOOT
    health: HealthCheck = HealthCheck()
    subdomain: bool = True
    """Whether it needs a host name of its own; False: it works below a path too."""
    share: Level = Level.PRIVATE
    """Who may open it until its owner says otherwise."""
    open_in: OpenIn = OpenIn.TAB
    order: int = 0
    hidden: bool = False
    """Whether pages leave it out; its address works all the same."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class AppHealth:
    """What the agent says of one app."""

    state: AppState
    reason: str = ""
    since: datetime | None = None
    restarts: int = 0


def by_port(apps: tuple[App, ...], port: int) -> App | None:
    return next((app for app in apps if app.port == port), None)


def by_name(apps: tuple[App, ...], name: str) -> App | None:
    return next((app for app in apps if app.name == name), None)
