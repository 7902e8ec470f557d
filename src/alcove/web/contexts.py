"""What pages are made of: small frozen values that the macros of `components.html` take.

Every view has a context of its own, a frozen dataclass whose first field is the `frame`; its
fields are the names that the view knows. A fragment, which is part of a page, has no frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alcove.model.workspace import Phase, Workspace


@dataclass(frozen=True, slots=True)
class Link:
    """A word that leads somewhere; without a path it is where one is."""

    name: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the rail."""

    name: str
    path: str
    icon: str
    here: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds a page: who is signed in, the rail, the way here, and what time it is."""

    user: str
    now: datetime
    rail: Sequence[Entry] = ()
    operators: Sequence[Entry] = ()
    """The rail's part for whoever runs the server."""
    crumbs: Sequence[Link] = ()
    account: Sequence[Link] = ()
    """What the menu of the user has, above signing out."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is an address; `on` while it holds."""

    name: str
    path: str
    on: bool
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    path: str
    here: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a timeline. `state`: done, running, failed or waiting."""

    name: str
    state: str
    detail: str = ""
    took: str = ""
    """Such as `4m 12s`."""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of a definition list. `at` is shown as a time, `mono` in the type of commands."""

    name: str
    text: str = ""
    at: datetime | None = None
    path: str = ""
    mono: bool = False


@dataclass(frozen=True, slots=True)
class Badge:
    """A state: word, shape (a symbol of the sprite) and colour, never colour alone."""

    word: str
    shape: str
    tone: str
    """green, blue, grey, violet, red or amber."""


@dataclass(frozen=True, slots=True)
class Command:
    """What does the same from a terminal."""

    line: str
    label: str = ""


_MOVING = ("half", "blue")
_BADGES = {
    Phase.RUNNING: ("full", "green"),
    Phase.PROVISIONING: _MOVING,
    Phase.STARTING: _MOVING,
    Phase.RESUMING: _MOVING,
    Phase.PAUSING: ("half-right", "grey"),
    Phase.STOPPING: ("half-right", "grey"),
    Phase.DELETING: ("half-right", "grey"),
    Phase.STOPPED: ("ring", "grey"),
    Phase.DELETED: ("ring", "grey"),
    Phase.PAUSED: ("bars", "violet"),
    Phase.FAILED: ("cross", "red"),
    Phase.UNREACHABLE: ("question", "amber"),
}
assert _BADGES.keys() == frozenset(Phase)


def badge_of(workspace: Workspace) -> Badge:
    """The phase as people see it; a running one whose start-up failed is unhealthy."""
    if workspace.phase is Phase.RUNNING and workspace.health.startswith("degraded"):
        return Badge("unhealthy", "triangle", "amber")
    shape, tone = _BADGES[workspace.phase]
    return Badge(str(workspace.phase), shape, tone)
