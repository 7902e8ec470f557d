"""The verbs of a snapshot: take, look, delete, and fork a workspace.

A verb writes what is wanted, with its event; `core/snapshot_keeper.py` makes it true. A snapshot
is its workspace's owner's, whoever had it taken.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import anyio

from alcove.core import access, beginnings, identity, intents
from alcove.core.app import Core
from alcove.core.beginnings import SNAPSHOT_ID
from alcove.core.bus import RECONCILE, SNAPSHOTS
from alcove.core.making import made
from alcove.core.names import made_up_name, new_snapshot_id
from alcove.core.pages import Page, PageRequest, page_of, read_position
from alcove.drivers.base import Keeps, Snapshotting
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import (
    Conflict,
    Denied,
    FieldError,
    Invalid,
    NotFound,
    QuotaExceeded,
    Unsupported,
)
from alcove.model.event import EventKind, NewEvent
from alcove.model.identity import User
from alcove.model.snapshot import Snapshot, SnapshotState
from alcove.model.units import format_duration, parse_duration
from alcove.model.workspace import Phase, SnapshotId, Workspace
from alcove.store import events, snapshots, users, workspaces
from alcove.store.db import Tx
from alcove.store.snapshots import SnapshotFilters
from alcove.store.workspaces import Position
from alcove.wire.snapshots import Fork, NewSnapshot
from alcove.wire.workspaces import NewWorkspace

NAME_MAX: Final = 63
TAKEN_OF: Final = frozenset({Phase.RUNNING, Phase.PAUSED, Phase.STOPPED})
WAIT_MAX_S: Final = 600.0
WAIT_POLL_S: Final = 0.5


async def take(core: Core, actor: Actor, ref: str, new: NewSnapshot | None = None) -> Snapshot:
    """Have the state of a workspace kept; it goes on as before.

    Raises Conflict (not a state to take one of, the name is taken), Unsupported, QuotaExceeded.
    """
    new = new or NewSnapshot()
    found = await access.workspace(core, actor, ref, Permission.SNAPSHOT_WRITE)
    await _check_takeable(core, found)
    now = core.clock()
    async with core.db.transaction() as tx:
        snapshot = await _row(tx, core, found, new, hidden=False)
        # The owner's turn: nobody else adds one of theirs until this is committed.
        await workspaces.count_live(tx, owner=found.owner)
        await _check_name(tx, snapshot)
        kept = await snapshots.kept(tx, owner=found.owner)
        _check_quota(core, kept)
        await snapshots.add(tx, snapshot)
        await events.append(tx, now, event(EventKind.SNAPSHOT_REQUESTED, actor, snapshot))
    core.bus.wake(SNAPSHOTS)
    return snapshot


async def get(core: Core, actor: Actor, ref: str) -> Snapshot:
    """By id, or by the caller's own name for it. Raises NotFound."""
    async with core.db.read() as tx:
        return _checked(actor, await _look_up(tx, actor, ref), ref, Permission.SNAPSHOT_READ)


async def find(
    core: Core, actor: Actor, page: PageRequest, *, workspace: str | None = None
) -> Page[Snapshot]:
    """One page of what the actor may see, newest first."""
    read = Permission.SNAPSHOT_READ
    if not allows(actor, read, owner=actor.id, workspace=actor.workspace):
        return Page((), None)
    everyone = allows(actor, read, workspace=actor.workspace)
    filters = SnapshotFilters(owner=None if everyone else actor.id, workspace=actor.workspace)
    if workspace is not None:
        of = await access.workspace(core, actor, workspace, Permission.WORKSPACE_READ)
        filters = replace(filters, workspace=of.id)
    after = read_position(page.cursor)
    async with core.db.read() as tx:
        found = await snapshots.find(tx, filters, after=after, limit=page.limit + 1)
    return page_of(found, page, lambda one: Position(one.created_at, one.id))


async def delete(core: Core, actor: Actor, ref: str) -> None:
    """Want it gone. Workspaces that were begun from it stay, also those that still begin."""
    now = core.clock()
    async with core.db.transaction() as tx:
        found = _checked(actor, await _look_up(tx, actor, ref), ref, Permission.SNAPSHOT_WRITE)
        row = await snapshots.want_deleted(tx, found.id, now=now)
        if row is not None:
            asked = event(EventKind.SNAPSHOT_DELETE_REQUESTED, actor, row)
            await events.append(tx, now, asked)
    core.bus.wake(SNAPSHOTS)


async def wait(core: Core, actor: Actor, ref: str, *, timeout_s: float) -> Snapshot:
    """The snapshot once it is ready or has failed, or when the time is over."""
    found = await get(core, actor, ref)
    with core.bus.subscribe(snapshot_topic(found.id)) as changes:
        with anyio.move_on_after(min(timeout_s, WAIT_MAX_S)):
            while True:
                found = await get(core, actor, found.id)
                if found.state is not SnapshotState.TAKING:
                    break
                await changes.wait(WAIT_POLL_S)
    return found


async def fork(core: Core, actor: Actor, ref: str, asked: Fork | None = None) -> list[Workspace]:
    """Make workspaces that begin as this one is now: one hidden snapshot, all in one go.

    All or none: the quota is checked for the whole number. They are written down at once, and
    run when the snapshot has been taken; if it cannot be, they fail with its reason.
    """
    asked = asked or Fork()
    found = await access.workspace(core, actor, ref, Permission.SNAPSHOT_WRITE)
    if not allows(actor, Permission.WORKSPACE_CREATE, owner=found.owner):
        raise Denied(f"{actor.name} may not create workspaces for the owner of {found.name}")
    await _check_takeable(core, found)
    capabilities = await core.capabilities()
    names = fork_names(asked)
    now = core.clock()
    async with core.db.transaction() as tx:
        owner = await users.get(tx, found.owner)
        if owner is None or owner.disabled:
            raise Conflict(f"the owner of {found.name} is disabled and gets no new workspaces")
        hidden = await _row(tx, core, found, NewSnapshot(), hidden=True)
        await _check_room(tx, core, owner, asked.count)
        request = NewWorkspace(snapshot=hidden.id)
        beginning = await beginnings.resolved(tx, hidden, request)
        await snapshots.add(tx, hidden)
        told = [event(EventKind.SNAPSHOT_REQUESTED, actor, hidden, count=asked.count)]
        forks: list[Workspace] = []
        for name in names:
            one = made(
                actor,
                beginning.request,
                beginning.version,
                beginning=beginning,
                name=name,
                owner=owner,
                settings=core.settings,
                capabilities=capabilities,
                driver=core.driver.name,
                now=now,
            )
            await workspaces.add(tx, one, request=hidden.request)
            told.append(_created(actor, one, found))
            forks.append(one)
        await events.append(tx, now, *told)
    core.bus.wake(SNAPSHOTS)
    core.bus.wake(RECONCILE)
    return forks


def fork_names(asked: Fork) -> list[str]:
    """Raises Invalid when the last of them would be too long."""
    if asked.name is None:
        return [made_up_name() for _ in range(asked.count)]
    if asked.count == 1:
        return [asked.name]
    names = [f"{asked.name}-{number}" for number in range(1, asked.count + 1)]
    if len(names[-1]) > NAME_MAX:
        said = f"{names[-1]} would be longer than {NAME_MAX} characters"
        raise Invalid(f"name: {said}", [FieldError("name", said)])
    return names


def snapshot_topic(id: SnapshotId) -> str:
    return f"snapshot:{id}"


def event(kind: EventKind, actor: Actor, snapshot: Snapshot, **detail: object) -> NewEvent:
    said = {"name": snapshot.name, "workspace": snapshot.workspace, **detail}
    return identity.event(actor, kind, subject=snapshot.id, owner=snapshot.owner, detail=said)


async def _look_up(tx: Tx, actor: Actor, ref: str) -> Snapshot | None:
    if len(ref) > NAME_MAX or "\0" in ref:
        return None
    if SNAPSHOT_ID.fullmatch(ref):
        return await snapshots.get(tx, SnapshotId(ref))
    return await snapshots.by_name(tx, owner=actor.id, name=ref)


def _checked(actor: Actor, found: Snapshot | None, ref: str, permission: Permission) -> Snapshot:
    def may(what: Permission) -> bool:
        assert found is not None
        return allows(actor, what, owner=found.owner, workspace=found.workspace)

    gone = found is None or found.hidden or found.state is SnapshotState.DELETING
    if gone or not may(Permission.SNAPSHOT_READ):
        raise NotFound(f"there is no snapshot {ref[:NAME_MAX]!r}, or it is not yours to see")
    assert found is not None
    if not may(permission):
        raise Denied(f"{actor.name} may not {permission} snapshot {found.name}")
    return found


async def _check_takeable(core: Core, found: Workspace) -> None:
    can = await core.capabilities()
    isolation = found.spec.isolation
    promise = can.promises.get(isolation)
    keeps_nothing = promise is not None and promise.snapshot is Keeps.NOTHING
    if not can.snapshot or keeps_nothing or not isinstance(core.driver, Snapshotting):
        default = f"the driver {core.driver.name} takes no snapshots of isolation {isolation}"
        raise Unsupported(can.absent.get("snapshot", default))
    if found.phase not in TAKEN_OF:
        raise Conflict(
            f"workspace {found.name} is {found.phase}; a snapshot is taken of one that is "
            "running, paused or stopped"
        )


async def _row(
    tx: Tx, core: Core, found: Workspace, new: NewSnapshot, *, hidden: bool
) -> Snapshot:
    asked = NewWorkspace.model_validate_json(await workspaces.request_of(tx, found.id))
    now = core.clock()
    id = new_snapshot_id()
    name = new.name or f"{found.name[: NAME_MAX - 7].rstrip('-')}-{id[-6:]}"
    if SNAPSHOT_ID.fullmatch(name):
        said = "looks like an id; choose another"
        raise Invalid(f"name: {said}", [FieldError("name", said)])
    return Snapshot(
        id=id,
        name=name,
        owner=found.owner,
        workspace=found.id,
        template=found.template,
        template_version=found.template_version,
        spec=found.spec,
        request=beginnings.kept_request(found, asked),
        state=SnapshotState.TAKING,
        detail="",
        memory=False,
        size_mib=0,
        hidden=hidden,
        created_at=now,
        expires_at=None if hidden else _expires(core, new, now),
        check_at=now,
    )


def _expires(core: Core, new: NewSnapshot, now: datetime) -> datetime | None:
    if "ttl" in new.model_fields_set:
        return intents.ends_at(now, new.ttl)
    default = core.settings.snapshot_ttl
    return now + timedelta(seconds=parse_duration(default)) if default else None


async def _check_name(tx: Tx, snapshot: Snapshot) -> None:
    other = await snapshots.by_name(tx, owner=snapshot.owner, name=snapshot.name)
    if other is not None and other.state is not SnapshotState.FAILED:
        raise Conflict(f"there is already a snapshot named {snapshot.name}")


def _check_quota(core: Core, kept: snapshots.Kept) -> None:
    most, most_mib = (
        core.settings.snapshots_max_per_user,
        core.settings.snapshot_mib_max_per_user,
    )
    if kept.count >= most:
        raise QuotaExceeded(f"the limit is {most} snapshots per user; delete one first")
    if kept.size_mib >= most_mib:
        raise QuotaExceeded(
            f"snapshots take {kept.size_mib} MiB and the limit is {most_mib} MiB per user; "
            "delete one first"
        )


async def _check_room(tx: Tx, core: Core, owner: User, count: int) -> None:
    most = core.settings.workspaces_max_per_user
    has = await workspaces.count_live(tx, owner=owner.id)
    if has + count > most:
        raise QuotaExceeded(
            f"{count} more than the {has} that {owner.name} has are over the limit of {most} "
            "workspaces per user; none was made"
        )


def _created(actor: Actor, made: Workspace, source: Workspace) -> NewEvent:
    ttl_s = made.lifetime.ttl_s
    detail: dict[str, object] = {
        "template": made.template,
        "template_version": made.template_version,
        "kind": made.kind,
        "isolation": made.spec.isolation,
        "forked_from": source.id,
        "snapshot": made.spec.snapshot,
        "ttl": None if ttl_s is None else format_duration(ttl_s),
    }
    return intents.event(EventKind.WORKSPACE_CREATED, actor, made, detail)
