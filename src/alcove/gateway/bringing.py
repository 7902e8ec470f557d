"""Bringing a workspace up because somebody connects, and saying how far it is."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from alcove.core import access, workspaces
from alcove.core.app import Core
from alcove.core.bus import workspace_topic
from alcove.core.waking import awake
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, Unavailable
from alcove.model.lifecycle import shown_phase
from alcove.model.workspace import Desired, Phase, Workspace

Say = Callable[[str], Awaitable[None]]
"""Takes one line for the person at the other end, without its newline."""
UP_S: Final = 300.0
"""How long a connection waits for its workspace."""
POLL_S: Final = 0.5


async def nobody(_: str) -> None:
    """For a channel on which nothing can be said."""


async def running(core: Core, actor: Actor, workspace: Workspace, say: Say) -> Workspace:
    """The workspace, running: a stopped one is started and a paused one resumed, once.

    Raises Denied when it would have to be started and the actor may not, Conflict when it failed
    or is being deleted, and Unavailable when it is not up in time.
    """
    if workspace.phase is Phase.RUNNING and workspace.desired is Desired.RUNNING:
        return workspace
    with core.bus.subscribe(workspace_topic(workspace.id)) as changes:
        asked, shown = False, None
        with anyio.move_on_after(UP_S):
            while True:
                found = await access.workspace(
                    core, actor, workspace.id, Permission.WORKSPACE_READ
                )
                if found.phase is not shown:
                    shown = found.phase
                    await say(f"workspace {found.name}: {_words(found)}")
                if found.phase is Phase.RUNNING and found.desired is Desired.RUNNING:
                    return await awake(core, actor, found)
                if asked and _is_over(found):
                    raise Conflict(f"workspace {found.name} is {_words(found)}")
                if not asked:
                    asked = True
                    await _ask(core, actor, found)
                await changes.wait(POLL_S)
    raise Unavailable(f"workspace {workspace.name} is not running after {UP_S:.0f} s; try again")


def _is_over(found: Workspace) -> bool:
    """Whether it will not come by itself."""
    return shown_phase(found) is Phase.FAILED or found.desired is not Desired.RUNNING


async def _ask(core: Core, actor: Actor, found: Workspace) -> None:
    match found.desired:
        case Desired.STOPPED:
            await workspaces.start(core, actor, found.id)
        case Desired.PAUSED if found.lifetime.auto_resume:
            await awake(core, actor, found)
        case Desired.PAUSED:
            await workspaces.resume(core, actor, found.id)
        case Desired.DELETED:
            raise Conflict(f"workspace {found.name} is being deleted")
        case Desired.RUNNING:
            if found.phase is Phase.FAILED:
                await workspaces.start(core, actor, found.id)


def _words(workspace: Workspace) -> str:
    why = f" ({workspace.reason})" if workspace.reason and workspace.phase is Phase.FAILED else ""
    return f"{workspace.phase}{why}"
