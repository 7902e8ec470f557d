"""The verbs of a workspace: create, look, ask for another state.

A verb writes what is wanted, with its event, in one transaction, and wakes the reconciler, which
makes it true. Nothing here talks to a runtime.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import anyio

from alcove.core import access, beginnings
from alcove.core.app import Core
from alcove.core.bus import RECONCILE, workspace_topic
from alcove.core.intents import ask, event, is_settled
from alcove.core.making import made
from alcove.core.names import made_up_name
from alcove.core.pages import Page, PageRequest, position_cursor, read_position
from alcove.core.revisions import update as update
from alcove.drivers.base import Pausable
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Conflict, Denied, NotFound, QuotaExceeded, Unsupported
from alcove.model.event import EventKind
from alcove.model.identity import User
from alcove.model.template import TemplateVersion
from alcove.model.units import format_duration
from alcove.model.workspace import Desired, Phase, Workspace
from alcove.store import events, templates, users, workspaces
from alcove.store.db import Tx
from alcove.store.workspaces import Position, WorkspaceFilters
from alcove.wire.workspaces import NewWorkspace

log = logging.getLogger(__name__)

NAME_TRIES: Final = 5
WAIT_MAX_S: Final = 600.0
WAIT_POLL_S: Final = 1.0
"""Another server may be the one that makes it true."""


async def create(core: Core, actor: Actor, request: NewWorkspace) -> Workspace:
    """Write down a new workspace that is to run.

    Raises Invalid (fields), Unsupported, QuotaExceeded, Conflict (the name is taken), NotFound
    (the template, the owner) and Denied.
    """
    async with core.db.read() as tx:
        owner = await _owner(tx, actor, request)
        beginning = None
        if request.snapshot is not None:
            beginning = await beginnings.begin(tx, request, owner=owner.id)
            version, request = beginning.version, beginning.request
        else:
            version = await _version(tx, request)
    if not allows(actor, Permission.WORKSPACE_CREATE, owner=owner.id):
        raise Denied(f"{actor.name} may not create workspaces for {owner.name}")
    capabilities = await core.capabilities()
    tries = 1 if request.name else NAME_TRIES
    while True:
        tries -= 1
        name = request.name or made_up_name()
        workspace = made(
            request,
            version,
            beginning=beginning,
            name=name,
            owner=owner,
            settings=core.settings,
            capabilities=capabilities,
            driver=core.driver.name,
            now=core.clock(),
        )
        try:
            await _insert(core, actor, workspace, request)
        except Conflict:
            if not tries:
                raise
        else:
            core.bus.wake(RECONCILE)
            return workspace


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
    items = found[: page.limit]
    cursor = None
    if len(found) > page.limit:
        cursor = position_cursor(Position(items[-1].created_at, items[-1].id))
    return Page(items, cursor)


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
    await _need_pause(core)
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
    await _need_pause(core)
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


async def _owner(tx: Tx, actor: Actor, request: NewWorkspace) -> User:
    if request.owner is None or request.owner == actor.name:
        found = await users.get(tx, actor.id)
    elif allows(actor, Permission.USER_READ):
        found = await users.by_name(tx, request.owner)
    else:
        found = None
    if found is None:
        raise NotFound(f"there is no user {request.owner or actor.name!r}")
    if found.disabled:
        raise Conflict(f"user {found.name} is disabled and gets no new workspaces")
    return found


async def _version(tx: Tx, request: NewWorkspace) -> TemplateVersion:
    name = request.template or request.template_id or ""
    if request.template_version is None:
        for active in await templates.active_versions(tx, [name]):
            return active
        number = None
    else:
        number = request.template_version
        found = await templates.version(tx, name, number)
        if found is not None:
            return found
    template = await templates.get(tx, name)
    if template is None:
        raise NotFound(f"there is no template {name!r}")
    if number is None:
        raise Conflict(f"template {name!r} has no promoted version yet; promote one")
    raise NotFound(f"template {name!r} has no version {number}; latest is {template.latest}")


async def _insert(core: Core, actor: Actor, workspace: Workspace, request: NewWorkspace) -> None:
    most = core.settings.workspaces_max_per_user
    ttl_s = workspace.lifetime.ttl_s
    told: dict[str, object] = {
        "template": workspace.template,
        "template_version": workspace.template_version,
        "kind": workspace.kind,
        "isolation": workspace.spec.isolation,
        "network": workspace.spec.network,
        "ephemeral": workspace.spec.ephemeral,
        "repo": workspace.repo,
        "branch": workspace.branch,
        "ttl": None if ttl_s is None else format_duration(ttl_s),
    }
    if workspace.spec.snapshot is not None:
        told["snapshot"] = workspace.spec.snapshot
    # What is asked for later in a change is rendered from this; a field left out stays so.
    asked = request.model_dump_json(exclude_unset=True)
    async with core.db.transaction() as tx:
        if await workspaces.count_live(tx, owner=workspace.owner) >= most:
            raise QuotaExceeded(f"the limit is {most} workspaces per user; delete one first")
        await workspaces.add(tx, workspace, request=asked)
        created = event(EventKind.WORKSPACE_CREATED, actor, workspace, told)
        await events.append(tx, workspace.created_at, created)


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
    return WorkspaceFilters(
        owner=owner,
        owner_name=filters.owner_name,
        template=filters.template,
        phases=filters.phases,
        labels=filters.labels,
        id=only if only is not None else filters.id,
    )


def _refuse_deleted(workspace: Workspace) -> None:
    if workspace.desired is Desired.DELETED:
        raise Conflict(f"workspace {workspace.name} is being deleted")


async def _need_pause(core: Core) -> None:
    capabilities = await core.capabilities()
    if not capabilities.pause or not isinstance(core.driver, Pausable):
        default = f"the driver {core.driver.name} cannot pause; stop it instead"
        raise Unsupported(capabilities.absent.get("pause", default))
