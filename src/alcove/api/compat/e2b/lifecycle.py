"""The lifecycle of sandboxes: begun and resumed until they run, and for how long they live.

Their clients wait for an answer, so each of these waits within what they bear.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import anyio

from alcove.api.compat.e2b import asking, shapes
from alcove.api.compat.e2b.ports import check_public
from alcove.core import envd, workspaces
from alcove.core.app import Core
from alcove.core.bus import workspace_topic
from alcove.http.problem import HttpError
from alcove.model.access import Actor
from alcove.model.errors import Conflict, Denied, NotFound
from alcove.model.workspace import Phase, Workspace
from alcove.wire.workspaces import WorkspaceChange

CREATE_WAIT_S: Final = 50.0
"""Less than the minute after which their clients give up."""
SETTLE_WAIT_S: Final = 50.0
TIMEOUT_S: Final = 300
READY_POLL_S: Final = 0.25
_NEVER_AGAIN: Final = {"should-retry": "false"}


def may_enter(actor: Actor) -> None:
    """Raises Denied for a token that must not be given the secrets of a sandbox."""
    missing = [] if actor.scopes is None else sorted(envd.GRANTS - actor.scopes)
    if missing:
        raise Denied(f"this token does not have the scope {missing[0]}, which a sandbox needs")


async def created(core: Core, actor: Actor, asked: shapes.NewSandbox) -> Workspace:
    """One that runs and is ready. Raises HttpError, and deletes it, if it did not come up."""
    timeout_s = TIMEOUT_S if asked.timeout is None else asked.timeout
    start = asking.origin(asked.templateID, asking.aliases(core.settings.e2b_aliases))
    made = await _made(core, actor, asked, start, timeout_s)
    if made.phase is not Phase.RUNNING:
        made = await workspaces.wait(core, actor, made.id, timeout_s=CREATE_WAIT_S)
    if made.phase is Phase.RUNNING:
        return await _ready(core, actor, made)
    await workspaces.delete(core, actor, made.id)
    if made.phase is Phase.FAILED:
        raise HttpError(500, f"the sandbox did not start: {made.reason}", _NEVER_AGAIN)
    # A second try would find the client gone before it is done.
    said = f"the sandbox did not start within {CREATE_WAIT_S:g} s; its image may still be built"
    raise HttpError(503, said, _NEVER_AGAIN)


async def resumed(core: Core, actor: Actor, found: Workspace, timeout_s: int) -> Workspace:
    """One that runs again, to live so long. Raises HttpError 503 if that took too much time."""
    await live_for(core, actor, found, timeout_s)
    await workspaces.resume(core, actor, found.id)
    return await settled(core, actor, found, Phase.RUNNING)


async def settled(core: Core, actor: Actor, found: Workspace, phase: Phase) -> Workspace:
    """Once it is in `phase`. Raises HttpError 503 if that took too much time."""
    found = await workspaces.wait(core, actor, found.id, timeout_s=SETTLE_WAIT_S)
    if found.phase is not phase:
        raise HttpError(503, f"sandbox {found.id} is still {found.phase}: {found.reason}")
    return found


async def live_for(core: Core, actor: Actor, found: Workspace, timeout_s: int) -> None:
    """End so many seconds from now; 0 is now."""
    if timeout_s == 0:
        await workspaces.delete(core, actor, found.id)
        return
    life = timedelta(seconds=timeout_s)
    change = WorkspaceChange(ttl=life, idle_stop=life)  # pyright: ignore[reportArgumentType]
    try:
        await workspaces.update(core, actor, found.id, change)
    except Conflict:
        # The reconciler, or somebody else, wrote at the same moment.
        await workspaces.update(core, actor, found.id, change)


async def extend(core: Core, actor: Actor, found: Workspace, timeout_s: int) -> None:
    """Live for at least so many seconds from now, never shorter than before."""
    ends = core.clock() + timedelta(seconds=timeout_s)
    if found.expires_at is not None and found.expires_at < ends:
        await live_for(core, actor, found, timeout_s)


async def _ready(core: Core, actor: Actor, made: Workspace) -> Workspace:
    """Once its start-up has come so far that people could sign in: servers that their clients
    expect are up then. One whose start-up failed is given as it is, and says so in its log."""
    if not any(script.blocks_login for script in made.spec.scripts):
        return made
    with core.bus.subscribe(workspace_topic(made.id)) as changes:
        with anyio.move_on_after(CREATE_WAIT_S):
            while made.health == "starting" and made.phase is Phase.RUNNING:
                await changes.wait(READY_POLL_S)
                made = await workspaces.get(core, actor, made.id)
    return made


async def _made(
    core: Core, actor: Actor, asked: shapes.NewSandbox, start: asking.Origin, timeout_s: int
) -> Workspace:
    try:
        return await _begun(core, actor, asked, start, timeout_s)
    except NotFound as missing:
        if start.snapshot or start.version is not None:
            raise
        # What is no template may be the name of the caller's own snapshot.
        start = replace(start, snapshot=True)
        try:
            return await _begun(core, actor, asked, start, timeout_s)
        except NotFound:
            raise missing from None


async def _begun(
    core: Core, actor: Actor, asked: shapes.NewSandbox, start: asking.Origin, timeout_s: int
) -> Workspace:
    request = asking.new_workspace(asked, start, timeout_s=timeout_s)
    await check_public(core, actor, asked, start)
    return await workspaces.create(core, actor, request)
