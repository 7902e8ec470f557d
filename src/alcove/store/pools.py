"""All SQL about pools: their settings, their members, and the claim. Functions never commit.

A member is a row of `workspaces` that the keeper owns. `pool` says what it may be claimed from,
and is null from the moment it is claimed or given up: that alone decides who has it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import (
    ColumnElement,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.functions import count

from alcove.model.errors import Conflict
from alcove.model.pool import EMPTY, KEEPER, Member, PoolSettings
from alcove.model.workspace import (
    Desired,
    Handle,
    Isolation,
    Phase,
    Spec,
    StartedFrom,
    UserId,
    Workspace,
    WorkspaceId,
)
from alcove.store.db import Tx
from alcove.store.rows import dump_spec, dump_workspace, load_handle
from alcove.store.schema import pools, workspaces
from alcove.store.workspaces import LIVE_NAME

_W: Final = workspaces.c
_SETTINGS: Final = TypeAdapter(PoolSettings)
_KEPT: Final = frozenset({"id", "handle", "boot", "retire_boot", "failures"})
"""Of a member, when it is claimed; everything else is the new owner's."""

_FREE: Final = (
    select(_W.id)
    .where(
        _W.pool == bindparam("of_pool"),
        _W.phase == Phase.RUNNING,
        _W.desired == Desired.RUNNING,
        _W.boot.is_not(None),
    )
    .order_by(_W.created_at)
    .limit(1)
    .with_for_update(skip_locked=True)
    .cte("free")
)
# The lease goes too: whoever looks at the member at this moment finds that what they saw is not
# theirs to write any more.
_NEW: Final[dict[str, Any]] = {
    column.name: bindparam(column.name)
    for column in workspaces.columns
    if column.name not in {*_KEPT, "lease_token", "lease_expires_at", "leftovers"}
}
# Built once, because it is on the way of every claim.
_CLAIM: Final = (
    update(workspaces)
    .where(_W.id.in_(select(_FREE.c.id)))
    .values(**_NEW, lease_token=None, lease_expires_at=None)
    .returning(_W.id, _W.handle, _W.boot)
)
_CONFIRM: Final = (
    update(workspaces)
    .where(_W.id == bindparam("of"), _W.boot == bindparam("of_boot"), _W.started_at.is_(None))
    .values(
        started_at=bindparam("started_at"),
        # A wish made meanwhile has set it to now.
        check_at=case(
            (_W.generation == 1, bindparam("look_at", type_=_W.check_at.type)),
            else_=_W.check_at,
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The member that became somebody's."""

    id: WorkspaceId
    handle: Handle | None
    boot: str | None


async def claim(tx: Tx, wanted: Workspace, *, pool: str, request: str) -> Claimed | None:
    """Make the oldest member that runs into this workspace, but for its id; None if there is
    none. Nobody else gets it: one statement takes it, skipping what others are taking.

    Raises Conflict when the name is taken.
    """
    values = {k: v for k, v in dump_workspace(wanted).items() if k not in _KEPT}
    given = {**values, "request": request, "pool": None, "of_pool": pool}
    try:
        row = (await tx.execute(_CLAIM, given)).one_or_none()
    except IntegrityError as error:
        if LIVE_NAME.search(str(error.orig)):
            raise Conflict(f"there is already a workspace named {wanted.name}") from error
        raise
    if row is None:
        return None
    return Claimed(WorkspaceId(row.id), load_handle(row.handle), row.boot)


@dataclass(frozen=True, slots=True)
class Given:
    """A claimed workspace whose agent was told whose it is."""

    id: WorkspaceId
    boot: str
    at: datetime
    look_at: datetime
    """When the reconciler is to look at it next."""


async def confirm(tx: Tx, given: Collection[Given]) -> None:
    """Write down that these are with their owners."""
    rows = [
        {"of": one.id, "of_boot": one.boot, "started_at": one.at, "look_at": one.look_at}
        for one in given
    ]
    await tx.execute(_CONFIRM, rows)


async def not_given(tx: Tx, id: WorkspaceId, *, boot: str | None, now: datetime) -> bool:
    """Write down that it is being made again, unless that is done, or it was given after all."""
    back = (
        update(workspaces)
        .where(
            _W.id == id,
            _W.boot == boot,
            _W.started_at.is_(None),
            _W.phase == Phase.RUNNING,
        )
        .values(phase=Phase.PROVISIONING, check_at=now, lease_token=None, lease_expires_at=None)
        .returning(_W.id)
    )
    return (await tx.execute(back)).one_or_none() is not None


_MEMBERS: Final = select(_W.id, _W.pool, _W.phase, _W.created_at, _W.reason, _W.spec).where(
    _W.pool.is_not(None), _W.phase != Phase.DELETED, _W.desired == Desired.RUNNING
)


async def members(tx: Tx, *, specs: Mapping[str, Spec]) -> Sequence[Member]:
    """All that are not on their way out. `specs`: what those of a pool are to be made of."""
    fits = {pool: dump_spec(spec) for pool, spec in specs.items()}
    return [
        Member(
            id=WorkspaceId(row.id),
            pool=row.pool,
            phase=Phase(row.phase),
            created_at=row.created_at,
            reason=row.reason,
            fits=fits.get(row.pool) == row.spec,
        )
        for row in await tx.execute(_MEMBERS)
    ]


async def give_up(tx: Tx, ids: Collection[WorkspaceId], *, now: datetime) -> int:
    """Have these members removed, unless they were claimed meanwhile; answers how many."""
    gone = (
        update(workspaces)
        .where(_W.id.in_(ids), _W.pool.is_not(None), _W.owner == KEEPER)
        .values(
            pool=None,
            desired=Desired.DELETED,
            generation=_W.generation + 1,
            failures=0,
            check_at=now,
        )
        .returning(_W.id)
    )
    return len((await tx.execute(gone)).all())


async def forget_removed(tx: Tx, *, before: datetime, limit: int) -> None:
    """Drop the rows of members that are gone: nobody ever had them."""
    old = (
        select(_W.id)
        .where(
            _W.owner == KEEPER,
            _W.phase == Phase.DELETED,
            _W.leftovers.is_(None),
            _W.check_at < before,
        )
        .limit(limit)
    )
    await tx.execute(delete(workspaces).where(_W.id.in_(old)))


async def settings(
    tx: Tx, template: str | None = None
) -> Mapping[tuple[str, Isolation], PoolSettings]:
    """What operators set, by template and isolation."""
    query = select(pools.c.template, pools.c.isolation, pools.c.settings)
    if template is not None:
        query = query.where(pools.c.template == template)
    return {
        (row.template, Isolation(row.isolation)): _SETTINGS.validate_json(row.settings)
        for row in await tx.execute(query)
    }


async def put_settings(
    tx: Tx,
    template: str,
    isolation: Isolation,
    new: PoolSettings,
    *,
    by: UserId,
    now: datetime,
) -> None:
    values = {
        "settings": _SETTINGS.dump_json(new).decode(),
        "updated_at": now,
        "updated_by": by,
    }
    of = (pools.c.template == template, pools.c.isolation == isolation)
    done = update(pools).where(*of).values(**values).returning(pools.c.template)
    if (await tx.execute(done)).one_or_none() is None:
        row = {"template": template, "isolation": isolation, **values}
        await tx.execute(insert(pools).values(**row))


async def drop_settings(tx: Tx, template: str, isolation: Isolation) -> None:
    """The template's own hold again."""
    await tx.execute(
        delete(pools).where(pools.c.template == template, pools.c.isolation == isolation)
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A workspace that a pool served or would have served."""

    id: WorkspaceId
    template: str
    isolation: Isolation
    at: datetime


def _isolation() -> ColumnElement[str]:
    """Of a row, read off its Spec's text: good enough for counting."""
    return case(
        *(
            (_W.spec.like(f'{{"image":%,"isolation":"{one}","root":%'), literal(one.value))
            for one in Isolation
        ),
        else_=literal(Isolation.CONTAINER.value),
    )


_SERVED: Final = (_W.started == StartedFrom.POOL) & (_W.owner != KEEPER)
_MISSED: Final = _W.started_why == EMPTY
_ISOLATION: Final = _isolation()


_ASKED: Final = (
    select(_W.id, _W.template, _W.created_at, _ISOLATION.label("tier"))
    .where(_W.created_at > bindparam("after"), _SERVED | _MISSED)
    .order_by(_W.created_at.desc(), _W.id)
    .limit(bindparam("limit"))
)


async def asked(tx: Tx, *, after: datetime, limit: int) -> Sequence[Asked]:
    """Newest first."""
    return [
        Asked(WorkspaceId(row.id), row.template, Isolation(row.tier), row.created_at)
        for row in await tx.execute(_ASKED, {"after": after, "limit": limit})
    ]


@dataclass(frozen=True, slots=True)
class Tally:
    claimed: int = 0
    missed: int = 0


async def tallies(tx: Tx, *, since: datetime) -> Mapping[tuple[str, Isolation], Tally]:
    """How many were served and missed since then, by template and isolation."""
    query = (
        select(
            _W.template,
            _ISOLATION.label("tier"),
            func.sum(case((_SERVED, 1), else_=0)).label("claimed"),
            func.sum(case((_MISSED, 1), else_=0)).label("missed"),
        )
        .where(_W.created_at > since, _SERVED | _MISSED)
        .group_by(_W.template, "tier")
    )
    return {
        (row.template, Isolation(row.tier)): Tally(int(row.claimed), int(row.missed))
        for row in await tx.execute(query)
    }


async def count_ready(tx: Tx) -> Mapping[str, int]:
    """Members that may be claimed, by pool."""
    query = (
        select(_W.pool, count(literal(1)).label("many"))
        .where(_W.pool.is_not(None), _W.phase == Phase.RUNNING, _W.desired == Desired.RUNNING)
        .group_by(_W.pool)
    )
    return {row.pool: row.many for row in await tx.execute(query)}
