"""The verbs of a workspace: create, look, ask for another state.

A verb writes what is wanted, with its event, in one transaction, and wakes the reconciler, which
makes it true. Nothing here talks to a runtime.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import anyio

from alcove.core import access
from alcove.core.app import Core
from alcove.core.bus import workspace_topic
from alcove.core.creation import create as create
from alcove.core.intents import ask, is_settled
from alcove.core.pages import Page, PageRequest, page_of, read_position
from alcove.core.rendering import why_no_pause
from alcove.core.revisions import update as update
from alcove.drivers.base import Pausable
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Conflict, Unsupported
from alcove.model.event import EventKind
from alcove.model.workspace import Desired, Phase, Workspace
from alcove.store import users, workspaces
from alcove.store.workspaces import Position, WorkspaceFilters

log = logging.getLogger(__name__)

WAIT_MAX_S: Final = 600.0
WAIT_POLL_S: Final = 1.0
"""Another server may be the one that makes it true."""


async def get(core: Core, actor: Actor, ref: str) -> Workspace:
    return await access.workspace(core, actor, ref, Permission.WORKSPACE_READ)


async def find(
    core: Core, actor: Actor, filters: WorkspaceFilters, page: PageRequest
) -> Page[Workspace]:
    """One page of what the actor may see, newest first, in one query."""
    visible = _visible(actor, filters)
    if visible is None:
        return Page((), None)
    after = read_position(page.cursor)
    async with core.db.read() as tx:
        found = await workspaces.find(tx, visible, after=after, limit=page.limit + 1)
    return page_of(found, page, lambda one: Position(one.created_at, one.id))


async def owner_names(core: Core, found: Sequence[Workspace]) -> Mapping[str, str]:
    """Owners' ids to names, for showing these workspaces; one query."""
    if not found:
        return {}
    async with core.db.read() as tx:
        return await users.names(tx, {workspace.owner for workspace in found})


async def start(core: Core, actor: Actor, ref: str) -> Workspace:
    """Want it running. Repeating it is fine; on one that failed it starts afresh."""
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    _refuse_deleted(found)
    if found.desired is Desired.RUNNING and found.phase is not Phase.FAILED:
        return found
    kind = EventKind.WORKSPACE_START_REQUESTED
    return await ask(core, actor, found, Desired.RUNNING, kind=kind, reason="")


async def stop(core: Core, actor: Actor, ref: str) -> Workspace:
    """Want it stopped; the home is kept. Repeating it is fine."""
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    _refuse_deleted(found)
    if found.desired is Desired.STOPPED:
        return found
    kind = EventKind.WORKSPACE_STOP_REQUESTED
    reason = f"stopped: {actor.name} asked for it"
    return await ask(core, actor, found, Desired.STOPPED, kind=kind, reason=reason)


async def restart(core: Core, actor: Actor, ref: str) -> Workspace:
    """End the boot that runs now and start another, with the spec as it is by then."""
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    _refuse_deleted(found)
    kind = EventKind.WORKSPACE_RESTART_REQUESTED
    reason = f"restarting: {actor.name} asked for it"
    return await ask(
        core, actor, found, Desired.RUNNING, kind=kind, reason=reason, retire_boot=found.boot
    )


async def pause(core: Core, actor: Actor, ref: str) -> Workspace:
    """Freeze it. Raises Unsupported when the driver cannot."""
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    _refuse_deleted(found)
    await _need_pause(core, found)
    if found.desired is Desired.PAUSED:
        return found
    if found.phase is not Phase.RUNNING:
        raise Conflict(f"workspace {found.name} is {found.phase}; only a running one is paused")
    kind = EventKind.WORKSPACE_PAUSE_REQUESTED
    reason = f"paused: {actor.name} asked for it"
    return await ask(core, actor, found, Desired.PAUSED, kind=kind, reason=reason)


async def resume(core: Core, actor: Actor, ref: str) -> Workspace:
    """Let a paused one go on."""
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    _refuse_deleted(found)
    await _need_pause(core, found)
    if found.desired is Desired.RUNNING:
        return found
    if found.desired is not Desired.PAUSED:
        raise Conflict(f"workspace {found.name} is {found.phase}, not paused; start it instead")
    kind = EventKind.WORKSPACE_RESUME_REQUESTED
    return await ask(core, actor, found, Desired.RUNNING, kind=kind, reason="")


async def delete(core: Core, actor: Actor, ref: str) -> Workspace:
    """Want it gone, files and all. Always accepted, from any state; repeating it is fine."""
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_DELETE)
    if found.desired is Desired.DELETED or found.phase is Phase.DELETED:
        return found
    kind = EventKind.WORKSPACE_DELETE_REQUESTED
    reason = f"deleted: {actor.name} asked for it"
    return await ask(core, actor, found, Desired.DELETED, kind=kind, reason=reason)


async def wait(core: Core, actor: Actor, ref: str, *, timeout_s: float) -> Workspace:
    """The workspace once it is what is wanted, or has failed, or when the time is over."""
    found = await get(core, actor, ref)
    with core.bus.subscribe(workspace_topic(found.id)) as changes:
        with anyio.move_on_after(min(timeout_s, WAIT_MAX_S)):
            while True:
                async with core.db.read() as tx:
                    row = await workspaces.get(tx, found.id)
                found = access.checked(actor, row, ref, Permission.WORKSPACE_READ)
                if is_settled(found):
                    break
                await changes.wait(WAIT_POLL_S)
    return found


async def wait_all(
    core: Core, actor: Actor, refs: Sequence[str], *, timeout_s: float
) -> list[Workspace]:
    """All of them, once each is what is wanted or has failed, or when the time is over."""
    deadline = anyio.current_time() + timeout_s
    return [
        await wait(core, actor, ref, timeout_s=max(0.0, deadline - anyio.current_time()))
        for ref in refs
    ]


def _visible(actor: Actor, filters: WorkspaceFilters) -> WorkspaceFilters | None:
    """The filters narrowed to what the actor may read; None when that is nothing."""
    read = Permission.WORKSPACE_READ
    only, owner = actor.workspace, filters.owner
    if not allows(actor, read, owner=actor.id, workspace=only):
        return None
    if not allows(actor, read, workspace=only):
        if owner not in (None, actor.id) or filters.owner_name not in (None, actor.name):
            return None
        owner = actor.id
    return replace(filters, owner=owner, id=only if only is not None else filters.id)


def _refuse_deleted(workspace: Workspace) -> None:
    if workspace.desired is Desired.DELETED:
        raise Conflict(f"workspace {workspace.name} is being deleted")


async def _need_pause(core: Core, workspace: Workspace) -> None:
    if why := why_no_pause(workspace.spec.isolation, await core.capabilities()):
        raise Unsupported(why)
    if not isinstance(core.driver, Pausable):
        raise Unsupported(f"the driver {core.driver.name} cannot pause; stop it instead")
