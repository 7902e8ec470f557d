"""Creating a workspace: a claim from a pool where one suits, else a row that is made true later.

A claim is one transaction, the driver's `adopt` and one `/init`; the answer is a workspace that
runs. Whatever goes wrong after the transaction, the workspace is not lost: the reconciler tries
once more, and then starts the same one cold.
"""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

import anyio

from alcove.core import beginnings
from alcove.core.app import Core
from alcove.core.bus import POOLS, RECONCILE, STARTUPS, workspace_topic
from alcove.core.catalog import Entry, Pool
from alcove.core.claims import hand_over
from alcove.core.intents import event
from alcove.core.making import made
from alcove.core.names import made_up_name
from alcove.core.outcomes import STARTING, sentence
from alcove.drivers.base import Capabilities
from alcove.model.access import SYSTEM, Actor, Permission, allows
from alcove.model.errors import (
    AlcoveError,
    Conflict,
    Denied,
    NotFound,
    QuotaExceeded,
)
from alcove.model.event import EventKind
from alcove.model.identity import User
from alcove.model.lifecycle import RECHECK_IDLE
from alcove.model.pool import EMPTY, why_cold
from alcove.model.units import format_duration
from alcove.model.workspace import Phase, Spec, StartedFrom, Workspace
from alcove.store import events, pools, users, workspaces
from alcove.store.pools import Given
from alcove.wire.workspaces import NewWorkspace

log = logging.getLogger(__name__)

NAME_TRIES: Final = 5
HAND_OVER_S: Final = 5.0
NET: Final = timedelta(seconds=8)
"""When the reconciler looks at a claimed workspace of which nobody wrote down that its owner has
it: the server was killed in between."""
assert NET.total_seconds() > HAND_OVER_S, "the net must not be drawn while it is handed over"


async def create(core: Core, actor: Actor, request: NewWorkspace) -> Workspace:
    """A new workspace that is to run; it runs already if it came from a pool.

    Raises Invalid (fields), Unsupported, QuotaExceeded, Conflict (the name is taken), NotFound
    (the template, the owner) and Denied.
    """
    owner = await _owner(core, actor, request)
    if not allows(actor, Permission.WORKSPACE_CREATE, owner=owner.id):
        raise Denied(f"{actor.name} may not create workspaces for {owner.name}")
    capabilities = await core.capabilities()
    beginning, entry = None, None
    if request.snapshot is not None:
        async with core.db.read() as tx:
            beginning = await beginnings.begin(tx, request, owner=owner.id)
        version, request = beginning.version, beginning.request
    else:
        entry = await _entry(core, request, capabilities)
        version = entry.version
    tries = 1 if request.name else NAME_TRIES
    while True:
        tries -= 1
        workspace = made(
            actor,
            request,
            version,
            beginning=beginning,
            name=request.name or made_up_name(),
            owner=owner,
            settings=core.settings,
            capabilities=capabilities,
            driver=core.driver.name,
            now=core.clock(),
        )
        pool, why = choose(entry, workspace.spec)
        workspace = replace(workspace, started_why=why)
        try:
            workspace = await _write(core, actor, workspace, request, pool)
        except Conflict:
            if not tries:
                raise
        else:
            break
    if workspace.started is not StartedFrom.POOL:
        core.bus.wake(RECONCILE)
        return workspace
    return await _given(core, workspace, owner_name=owner.name)


def choose(entry: Entry | None, wanted: Spec) -> tuple[Pool | None, str]:
    """The pool to claim from; or, where the template has one that does not suit, why."""
    if entry is None or not entry.pools:
        return None, ""
    pool = entry.pools.get(wanted.isolation) or next(iter(entry.pools.values()))
    if pool.spec is None:
        return None, pool.problem
    why = why_cold(pool.spec, wanted)
    return (pool, "") if why is None else (None, why)


def as_claimed(workspace: Workspace) -> Workspace:
    """The row that a claim writes: it runs, and its owner is about to have it."""
    now, longest = workspace.created_at, workspace.lifetime.runtime_max_s
    steps = workspace.spec.clone is not None or workspace.spec.scripts
    return replace(
        workspace,
        phase=Phase.RUNNING,
        health=STARTING if steps else "ok",
        started=StartedFrom.POOL,
        stop_at=None if longest is None else now + timedelta(seconds=longest),
        check_at=now + NET,
    )


async def _entry(core: Core, request: NewWorkspace, capabilities: Capabilities) -> Entry:
    return await core.catalog.entry(
        core.db,
        request.template or request.template_id or "",
        request.template_version,
        settings=core.settings,
        capabilities=capabilities,
        now=core.clock(),
    )


async def _owner(core: Core, actor: Actor, request: NewWorkspace) -> User:
    own = request.owner is None or request.owner == actor.name
    found = core.gate.user_of(actor.credential, now=core.clock()) if own else None
    if found is None or found.id != actor.id:
        async with core.db.read() as tx:
            if own:
                found = await users.get(tx, actor.id)
            elif request.owner is not None and allows(actor, Permission.USER_READ):
                found = await users.by_name(tx, request.owner)
            else:
                found = None
    if found is None:
        raise NotFound(f"there is no user {request.owner or actor.name!r}")
    if found.disabled:
        raise Conflict(f"user {found.name} is disabled and gets no new workspaces")
    return found


async def _write(
    core: Core, actor: Actor, workspace: Workspace, request: NewWorkspace, pool: Pool | None
) -> Workspace:
    """Claim it from the pool or write it down as new, in one transaction; answers the row."""
    most = core.settings.workspaces_max_per_user
    # What is asked for later in a change is rendered from this; a field left out stays so.
    asked = request.model_dump_json(exclude_unset=True)
    async with core.db.transaction() as tx:
        if await workspaces.count_live(tx, owner=workspace.owner) >= most:
            raise QuotaExceeded(f"the limit is {most} workspaces per user; delete one first")
        claimed = None
        if pool is not None:
            wanted = as_claimed(workspace)
            claimed = await pools.claim(tx, wanted, pool=pool.key, request=asked)
            if claimed is None:
                workspace = replace(workspace, started_why=EMPTY)
            else:
                workspace = replace(
                    wanted, id=claimed.id, handle=claimed.handle, boot=claimed.boot
                )
        if claimed is None:
            await workspaces.add(tx, workspace, request=asked)
        created = event(EventKind.WORKSPACE_CREATED, actor, workspace, _told(workspace))
        await events.append(tx, workspace.created_at, created)
    if pool is not None:
        core.metrics.pool_asked(pool.template, pool.isolation, claimed=claimed is not None)
        core.bus.wake(POOLS)
    return workspace


async def _given(core: Core, workspace: Workspace, *, owner_name: str) -> Workspace:
    """The claimed workspace, with its agent told whose it is; if that fails, it is being made."""
    assert workspace.boot is not None
    try:
        with anyio.fail_after(HAND_OVER_S):
            await hand_over(core, workspace, workspace.boot, owner_name=owner_name)
    except (AlcoveError, TimeoutError) as error:
        log.warning("workspace %s: not handed over: %s", workspace.id, error)
        return await _not_given(core, workspace, why=sentence(error))
    now = core.clock()
    core.journal.given(Given(workspace.id, workspace.boot, now, now + RECHECK_IDLE))
    core.metrics.provision.observe((now - workspace.created_at).total_seconds())
    if workspace.health == STARTING:
        core.bus.wake(STARTUPS)
    return replace(workspace, started_at=now)


async def _not_given(core: Core, workspace: Workspace, *, why: str) -> Workspace:
    """Leave it to the reconciler: it tries again, and then starts the same workspace cold."""
    now = core.clock()
    after = replace(workspace, phase=Phase.PROVISIONING, check_at=now)
    detail = {"from": workspace.phase, "to": after.phase, "reason": why}
    async with core.db.transaction() as tx:
        if await pools.not_given(tx, workspace.id, boot=workspace.boot, now=now):
            changed = event(EventKind.WORKSPACE_PHASE_CHANGED, SYSTEM, workspace, detail)
            await events.append(tx, now, changed)
    core.bus.wake(RECONCILE)
    core.bus.wake(workspace_topic(workspace.id))
    return after


def _told(workspace: Workspace) -> dict[str, object]:
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
    if workspace.started is StartedFrom.POOL:
        told["started"] = workspace.started
    return told
