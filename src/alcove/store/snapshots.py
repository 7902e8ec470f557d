"""All SQL about snapshots. Functions take an open transaction and never commit.

A snapshot is taken under the lease of its workspace, so that rows here need none of their own:
what is written about one names the state that was seen.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.functions import coalesce, count

from alcove.model.snapshot import Snapshot, SnapshotState
from alcove.model.workspace import (
    LeaseToken,
    Phase,
    SnapshotId,
    UserId,
    Workspace,
    WorkspaceId,
)
from alcove.store.db import Tx
from alcove.store.rows import dump_spec, load_spec, load_workspace
from alcove.store.schema import snapshots, workspaces
from alcove.store.workspaces import Position

_KEPT = (SnapshotState.TAKING, SnapshotState.READY)


@dataclass(frozen=True, slots=True)
class SnapshotFilters:
    """All that are set must match. Hidden ones and those being deleted never do."""

    owner: UserId | None = None
    workspace: WorkspaceId | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What an owner has: hidden ones and failed ones do not count."""

    count: int
    size_mib: int


async def add(tx: Tx, snapshot: Snapshot) -> None:
    await tx.execute(insert(snapshots), _dump(snapshot))


async def get(tx: Tx, id: SnapshotId) -> Snapshot | None:
    row = (await tx.execute(select(snapshots).where(snapshots.c.id == id))).one_or_none()
    return None if row is None else _load(row)


async def by_name(tx: Tx, *, owner: UserId, name: str) -> Snapshot | None:
    """The owner's of that name; one that failed only if no other has the name."""
    found = (
        select(snapshots)
        .where(*_shown(), snapshots.c.owner == owner, snapshots.c.name == name)
        .order_by(
            case((snapshots.c.state == SnapshotState.FAILED, 1), else_=0),
            snapshots.c.created_at.desc(),
        )
        .limit(1)
    )
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else _load(row)


async def find(
    tx: Tx, filters: SnapshotFilters, *, after: Position | None, limit: int
) -> Sequence[Snapshot]:
    """One page, newest first."""
    query = select(snapshots).where(*_shown())
    if filters.owner is not None:
        query = query.where(snapshots.c.owner == filters.owner)
    if filters.workspace is not None:
        query = query.where(snapshots.c.workspace == filters.workspace)
    if after is not None:
        here = tuple_(snapshots.c.created_at, snapshots.c.id)
        edge = tuple_(literal(after.created_at, snapshots.c.created_at.type), literal(after.id))
        query = query.where(here < edge)
    query = query.order_by(snapshots.c.created_at.desc(), snapshots.c.id.desc()).limit(limit)
    return [_load(row) for row in await tx.execute(query)]


async def kept(tx: Tx, *, owner: UserId) -> Kept:
    """What counts against the owner's quota."""
    query = select(
        count(snapshots.c.id).label("many"), coalesce(func.sum(snapshots.c.size_mib), 0)
    ).where(
        snapshots.c.owner == owner,
        snapshots.c.hidden.is_(False),
        snapshots.c.state.in_(_KEPT),
    )
    row = (await tx.execute(query)).one()
    return Kept(count=int(row[0]), size_mib=int(row[1]))


async def due(tx: Tx, *, now: datetime, limit: int) -> Sequence[Snapshot]:
    """Those that the keeper is to look at, the most overdue first."""
    query = (
        select(snapshots)
        .where(snapshots.c.check_at <= now)
        .order_by(snapshots.c.check_at)
        .limit(limit)
    )
    return [_load(row) for row in await tx.execute(query)]


async def settle(
    tx: Tx,
    before: Snapshot,
    state: SnapshotState,
    *,
    check_at: datetime,
    detail: str = "",
    memory: bool = False,
    size_mib: int = 0,
    expires_at: datetime | None = None,
) -> Snapshot | None:
    """Write how it came out; None, and nothing written, if its state is another one by now."""
    changed = (
        update(snapshots)
        .where(snapshots.c.id == before.id, snapshots.c.state == before.state)
        .values(
            state=state,
            detail=detail,
            memory=memory,
            size_mib=size_mib,
            expires_at=expires_at,
            check_at=check_at,
        )
        .returning(*snapshots.c)
    )
    row = (await tx.execute(changed)).one_or_none()
    return None if row is None else _load(row)


async def look_later(tx: Tx, before: Snapshot, *, at: datetime, detail: str | None = None) -> None:
    values: dict[str, Any] = {"check_at": at}
    if detail is not None:
        values["detail"] = detail
    await tx.execute(
        update(snapshots)
        .where(snapshots.c.id == before.id, snapshots.c.state == before.state)
        .values(**values)
    )


async def want_deleted(tx: Tx, id: SnapshotId, *, now: datetime) -> Snapshot | None:
    """None if that was asked for already, or it is gone."""
    asked = (
        update(snapshots)
        .where(snapshots.c.id == id, snapshots.c.state != SnapshotState.DELETING)
        .values(state=SnapshotState.DELETING, check_at=now)
        .returning(*snapshots.c)
    )
    row = (await tx.execute(asked)).one_or_none()
    return None if row is None else _load(row)


async def remove(tx: Tx, id: SnapshotId) -> bool:
    gone = delete(snapshots).where(snapshots.c.id == id).returning(snapshots.c.id)
    return (await tx.execute(gone)).one_or_none() is not None


async def known(tx: Tx, ids: Collection[SnapshotId]) -> frozenset[SnapshotId]:
    """Those of these ids that there is a row of."""
    query = select(snapshots.c.id).where(snapshots.c.id.in_(ids))
    return frozenset(SnapshotId(row.id) for row in await tx.execute(query))


async def beginning_from(tx: Tx, snapshot: Snapshot) -> Sequence[WorkspaceId]:
    """Workspaces that have still to make their first start from it."""
    position = func.strpos if tx.dialect.name == "postgresql" else func.instr
    query = (
        select(workspaces.c.id)
        .where(
            workspaces.c.owner == snapshot.owner,
            workspaces.c.started_at.is_(None),
            workspaces.c.phase.not_in([Phase.DELETED, Phase.FAILED]),
            position(workspaces.c.spec, f'"snapshot":"{snapshot.id}"') > 0,
        )
        .limit(1000)
    )
    return [WorkspaceId(row.id) for row in await tx.execute(query)]


async def look_at(tx: Tx, ids: Collection[WorkspaceId], *, now: datetime) -> None:
    """Have these workspaces stepped now."""
    await tx.execute(
        update(workspaces)
        .where(workspaces.c.id.in_(ids), workspaces.c.check_at > now)
        .values(check_at=now)
    )


async def lease(
    tx: Tx, id: WorkspaceId, *, token: LeaseToken, now: datetime, lease: timedelta
) -> Workspace | None:
    """Take the lease of one workspace, so that nobody steps it; None while somebody else has
    it, or when there is no such workspace."""
    taken = (
        update(workspaces)
        .where(
            workspaces.c.id == id,
            or_(workspaces.c.lease_token.is_(None), workspaces.c.lease_expires_at < now),
        )
        .values(lease_token=token, lease_expires_at=now + lease)
        .returning(*workspaces.c)
    )
    row = (await tx.execute(taken)).one_or_none()
    return None if row is None else load_workspace(row)


def _shown() -> tuple[ColumnElement[bool], ...]:
    return (snapshots.c.hidden.is_(False), snapshots.c.state != SnapshotState.DELETING)


def _dump(snapshot: Snapshot) -> Mapping[str, Any]:
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "owner": snapshot.owner,
        "workspace": snapshot.workspace,
        "template": snapshot.template,
        "template_version": snapshot.template_version,
        "spec": dump_spec(snapshot.spec),
        "request": snapshot.request,
        "state": snapshot.state,
        "detail": snapshot.detail,
        "memory": snapshot.memory,
        "size_mib": snapshot.size_mib,
        "hidden": snapshot.hidden,
        "created_at": snapshot.created_at,
        "expires_at": snapshot.expires_at,
        "check_at": snapshot.check_at,
    }


def _load(row: Row[Any]) -> Snapshot:
    return Snapshot(
        id=SnapshotId(row.id),
        name=row.name,
        owner=UserId(row.owner),
        workspace=WorkspaceId(row.workspace),
        template=row.template,
        template_version=row.template_version,
        spec=load_spec(row.spec),
        request=row.request,
        state=SnapshotState(row.state),
        detail=row.detail,
        memory=row.memory,
        size_mib=row.size_mib,
        hidden=row.hidden,
        created_at=row.created_at,
        expires_at=row.expires_at,
        check_at=row.check_at,
    )
