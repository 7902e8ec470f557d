"""Who works on what: leases on workspaces and on duties. Functions never commit.

A lease is a token with an end. Whatever is written under it names the token, so that a server
that slept through its lease changes nothing when it wakes.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Case,
    Column,
    Integer,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from alcove.model.workspace import LeaseToken, Phase, Workspace, WorkspaceId
from alcove.store.db import Tx
from alcove.store.rows import dump_handle, load_workspace
from alcove.store.schema import leases, workspaces

_W: Final = workspaces.c
_DUE: Final = (
    select(_W.id)
    .where(
        _W.check_at <= bindparam("now", type_=_W.check_at.type),
        # Literal, so that PostgreSQL sees that the partial index serves.
        _W.phase != literal_column(f"'{Phase.DELETED}'"),
        or_(
            _W.lease_token.is_(None),
            _W.lease_expires_at < bindparam("now", type_=_W.check_at.type),
        ),
    )
    .order_by(_W.check_at)
    .limit(bindparam("rows", type_=Integer))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_LEASE_DUE: Final = (
    update(workspaces)
    .where(_W.id.in_(select(_DUE.c.id)))
    .values(lease_token=bindparam("token"), lease_expires_at=bindparam("until"))
    .returning(*_W)
)
# A person's request made during the step wins: keep the check time, the reason and the fresh
# failure budget that it wrote. And what this step did not change is left alone, since others
# may write it too.
_UNASKED: Final = _W.generation == bindparam("generation_seen", type_=Integer)


def _if_changed(column: Column[Any], name: str, *, unasked: bool) -> Case[Any]:
    changed = bindparam(f"{name}_changed", type_=Boolean)
    if_so = and_(_UNASKED, changed) if unasked else changed
    return case((if_so, bindparam(f"{name}_now", type_=column.type)), else_=column)


# Built once: building them anew for each step costs more than sending them.
_SETTLE: Final = (
    update(workspaces)
    .where(_W.id == bindparam("of"), _W.lease_token == bindparam("under"))
    .values(
        phase=bindparam("phase"),
        handle=bindparam("handle"),
        boot=bindparam("boot"),
        started_at=bindparam("started_at"),
        started=bindparam("started"),
        started_why=bindparam("started_why"),
        stop_at=bindparam("stop_at"),
        failures=case((_UNASKED, bindparam("failures_now", type_=Integer)), else_=_W.failures),
        check_at=case((_UNASKED, bindparam("look_at", type_=_W.check_at.type)), else_=_W.check_at),
        lease_token=bindparam("lease_token"),
        lease_expires_at=bindparam("lease_expires_at"),
        reason=_if_changed(_W.reason, "reason", unasked=True),
        retire_boot=_if_changed(_W.retire_boot, "retire", unasked=True),
        health=_if_changed(_W.health, "health", unasked=False),
        leftovers=func.coalesce(bindparam("left_now", type_=_W.leftovers.type), _W.leftovers),
    )
    .returning(*_W)
)


async def lease_due(
    tx: Tx, *, token: LeaseToken, now: datetime, lease: timedelta, limit: int
) -> Sequence[Workspace]:
    """Take the workspaces most overdue for a step, so that no other server steps them.

    One statement. PostgreSQL honours SKIP LOCKED, and because the locking query is a CTE it
    runs it exactly once; SQLite has a single writer, and SQLAlchemy leaves the clause out there.
    """
    given = {"now": now, "rows": limit, "token": token, "until": now + lease}
    return [load_workspace(row) for row in await tx.execute(_LEASE_DUE, given)]


async def settle(
    tx: Tx,
    before: Workspace,
    after: Workspace,
    *,
    token: LeaseToken,
    keep_until: datetime | None,
    leftovers: Sequence[str] = (),
) -> Workspace | None:
    """Write what a step changed; keep the lease until then, or give it back.

    Answers the row as it is now (a person may have asked for something else meanwhile), or None,
    having written nothing, if the lease was lost: then our result is stale.
    """
    given = {
        "of": before.id,
        "under": token,
        "generation_seen": before.generation,
        "phase": after.phase,
        "handle": dump_handle(after.handle),
        "boot": after.boot,
        "started_at": after.started_at,
        "started": after.started,
        "started_why": after.started_why,
        "stop_at": after.stop_at,
        "failures_now": after.failures,
        "look_at": after.check_at,
        "lease_token": None if keep_until is None else token,
        "lease_expires_at": keep_until,
        "reason_changed": after.reason != before.reason,
        "reason_now": after.reason,
        "retire_changed": after.retire_boot != before.retire_boot,
        "retire_now": after.retire_boot,
        "health_changed": after.health != before.health,
        "health_now": after.health,
        "left_now": json.dumps(list(leftovers)) if leftovers else None,
    }
    row = (await tx.execute(_SETTLE, given)).one_or_none()
    return None if row is None else load_workspace(row)


async def look_now(tx: Tx, ids: Collection[WorkspaceId], *, now: datetime) -> None:
    """Have those that should be running looked at before their time."""
    await tx.execute(
        update(workspaces)
        .where(_W.id.in_(ids), _W.phase == Phase.RUNNING, _W.check_at > now)
        .values(check_at=now)
    )


async def renew(
    tx: Tx, tokens: Sequence[LeaseToken], *, now: datetime, until: datetime
) -> frozenset[WorkspaceId]:
    """Keep the leases that are still ours; one that has ended is not taken back."""
    kept = (
        update(workspaces)
        .where(workspaces.c.lease_token.in_(tokens), workspaces.c.lease_expires_at >= now)
        .values(lease_expires_at=until)
        .returning(workspaces.c.id)
    )
    return frozenset(WorkspaceId(row.id) for row in await tx.execute(kept))


async def give_back(tx: Tx, id: WorkspaceId, *, token: LeaseToken) -> None:
    """End a lease early, nothing being settled."""
    await tx.execute(
        update(workspaces)
        .where(workspaces.c.id == id, workspaces.c.lease_token == token)
        .values(lease_token=None, lease_expires_at=None)
    )


async def give_back_all(tx: Tx) -> None:
    """End every lease: for a database that only this server uses, when it starts."""
    await tx.execute(
        update(workspaces)
        .where(workspaces.c.lease_token.is_not(None))
        .values(lease_token=None, lease_expires_at=None)
    )


async def hold(tx: Tx, name: str, *, token: LeaseToken, now: datetime, lease: timedelta) -> bool:
    """Take or renew a duty. Answers whether it is ours until `now + lease`."""
    taken = (
        update(leases)
        .where(leases.c.name == name, or_(leases.c.token == token, leases.c.expires_at < now))
        .values(token=token, expires_at=now + lease)
        .returning(leases.c.name)
    )
    if (await tx.execute(taken)).one_or_none() is not None:
        return True
    known = select(leases.c.name).where(leases.c.name == name)
    if (await tx.execute(known)).one_or_none() is not None:
        return False
    try:
        async with tx.begin_nested():
            await tx.execute(insert(leases).values(name=name, token=token, expires_at=now + lease))
    except IntegrityError:
        return False
    return True


async def release(tx: Tx, name: str, *, token: LeaseToken, now: datetime) -> None:
    """Give a duty up, so that another server need not wait for its end."""
    await tx.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.token == token)
        .values(expires_at=now - timedelta(seconds=1))
    )
