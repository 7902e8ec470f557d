"""Waking what is paused, because somebody uses it. Every way in goes through `awake`."""

from datetime import timedelta
from typing import Final

import anyio

from alcove.core import access
from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.core.bus import workspace_topic
from alcove.core.intents import ask
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, Unavailable
from alcove.model.event import EventKind
from alcove.model.workspace import Desired, Phase, Workspace
from alcove.store import workspaces

WAKE: Final = timedelta(seconds=60)
"""How long a request waits for it; what is larger is still resumed, and asked again."""
POLL_S: Final = 0.5
"""Another server may be the one that resumes it."""
_WAKING: Final = frozenset({Phase.PAUSED, Phase.PAUSING, Phase.RESUMING})


async def awake(core: Core, actor: Actor, workspace: Workspace) -> Workspace:
    """The workspace, running. The caller has checked that the actor may go in.

    One that is paused and has `auto_resume` is resumed, once, however many ask for it; one
    without it is a Conflict that says what to do, and so is every other that does not run.
    Raises Unavailable when it does not run in time.
    """
    if workspace.phase is Phase.RUNNING and workspace.desired is not Desired.PAUSED:
        return workspace
    if not _can_wake(workspace):
        Reach.of(workspace)  # says what to do about it
        return workspace
    with core.bus.subscribe(workspace_topic(workspace.id)) as changes:
        with anyio.move_on_after(WAKE.total_seconds()):
            while True:
                found = await _looked_up(core, workspace)
                if found.desired is Desired.PAUSED and found.phase is not Phase.FAILED:
                    await _ask(core, actor, found)
                elif found.phase is Phase.RUNNING:
                    return found
                elif not _can_wake(found):
                    raise _cannot(found)
                await changes.wait(POLL_S)
    raise Unavailable(
        f"workspace {workspace.name} is still being resumed after "
        f"{WAKE.total_seconds():.0f} s; try again"
    )


def _can_wake(workspace: Workspace) -> bool:
    if workspace.desired is Desired.PAUSED:
        return workspace.lifetime.auto_resume and workspace.phase is not Phase.FAILED
    return workspace.desired is Desired.RUNNING and workspace.phase in _WAKING


async def _looked_up(core: Core, workspace: Workspace) -> Workspace:
    async with core.db.read() as tx:
        found = await workspaces.get(tx, workspace.id)
    if found is None:
        raise Conflict(f"workspace {workspace.name} is gone")
    return found


async def _ask(core: Core, actor: Actor, workspace: Workspace) -> None:
    if not workspace.lifetime.auto_resume:
        raise _cannot(workspace)
    try:
        await ask(
            core,
            actor,
            workspace,
            Desired.RUNNING,
            kind=EventKind.WORKSPACE_RESUME_REQUESTED,
            reason=f"resumed: {actor.name} used it",
            unless_changed=True,
        )
    except Conflict:
        # Somebody else's request woke it, or it was asked for something else: look again.
        return


def _cannot(workspace: Workspace) -> Conflict:
    why = f": {workspace.reason}" if workspace.reason else ""
    do = "resume it" if workspace.desired is Desired.PAUSED else "start it"
    return Conflict(f"workspace {workspace.name} is {workspace.phase}{why}; {do} first")


async def entered(core: Core, actor: Actor, ref: str, permission: Permission) -> Workspace:
    """The workspace that a caller names and may enter, running. Raises what `awake` does."""
    return await awake(core, actor, await access.workspace(core, actor, ref, permission))
