"""When a workspace is where one wants it. Pure; the clients ask again until it says so."""

from enum import StrEnum
from typing import Final

from alcove.model.workspace import Desired, Phase
from alcove.sdk.errors import WorkspaceFailed
from alcove.wire.workspaces import Workspace

TIMEOUT_S: Final = 600.0
"""Long enough for the first use of an image that has to be built."""
POLL_FIRST_S: Final = 0.02
POLL_MAX_S: Final = 1.0
assert POLL_FIRST_S < POLL_MAX_S < TIMEOUT_S

STARTING: Final = "starting"
"""The word in `health` while clone and start-up scripts are under way."""


class Goal(StrEnum):
    """What to wait for."""

    READY = "ready"
    """Running, and its clone and scripts are over, well or badly: `health` tells."""
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    """Or gone, for an ephemeral one."""
    DELETED = "deleted"


_GONE: Final = frozenset({Phase.DELETED, Phase.DELETING})
_WANTED: Final = {
    Goal.READY: (Phase.RUNNING, Desired.RUNNING),
    Goal.RUNNING: (Phase.RUNNING, Desired.RUNNING),
    Goal.PAUSED: (Phase.PAUSED, Desired.PAUSED),
    Goal.STOPPED: (Phase.STOPPED, Desired.STOPPED),
    Goal.DELETED: (Phase.DELETED, Desired.DELETED),
}


def arrived(workspace: Workspace | None, goal: Goal) -> bool:
    """Whether it is there; None: there is no such workspace any more.

    Raises WorkspaceFailed when it will not get there by waiting.
    """
    if workspace is None or (workspace.phase is Phase.DELETED and goal is Goal.STOPPED):
        if goal in (Goal.STOPPED, Goal.DELETED):
            return True
        raise WorkspaceFailed("the workspace was deleted meanwhile")
    phase, desired = _WANTED[goal]
    if workspace.phase is phase:
        return goal is not Goal.READY or workspace.health != STARTING
    if workspace.phase is Phase.FAILED and goal is not Goal.DELETED:
        raise WorkspaceFailed(f"workspace {workspace.name!r} failed: {workspace.reason}")
    if workspace.desired is not desired and not (
        goal is Goal.STOPPED and workspace.phase in _GONE
    ):
        raise WorkspaceFailed(
            f"workspace {workspace.name!r} is {workspace.phase} and will not be {goal}: "
            f"somebody wants it {workspace.desired}"
        )
    return False


def pause(previous_s: float) -> float:
    """The next pause between two looks."""
    return min(POLL_MAX_S, max(POLL_FIRST_S, previous_s * 1.5))
