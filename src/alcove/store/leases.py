"""Who works on what: leases on workspaces and on duties. Functions never commit.

A lease is a token with an end. Whatever is written under it names the token, so that a server
that slept through its lease changes nothing when it wakes.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from alcove.model.workspace import LeaseToken, Phase, Workspace, WorkspaceId
from alcove.store.db import Tx
from alcove.store.rows import dump_handle, load_workspace
from alcove.store.schema import leases, workspaces


async def lease_due(
    tx: Tx, *, token: LeaseToken, now: datetime, lease: timedelta, limit: int
) -> Sequence[Workspace]:
    """Take the workspaces most overdue for a step, so that no other server steps them.

    One statement. PostgreSQL honours SKIP LOCKED, and because the locking query is a CTE it
    runs it exactly once; SQLite has a single writer, and SQLAlchemy leaves the clause out there.
    """
    due = (
        select(workspaces.c.id)
        .where(
            workspaces.c.check_at <= now,
            # Literal, so that PostgreSQL sees that the partial index serves.
            workspaces.c.phase != literal(str(Phase.DELETED), literal_execute=True),
            or_(workspaces.c.lease_token.is_(None), workspaces.c.lease_expires_at < now),
        )
        .order_by(workspaces.c.check_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    rows = await tx.execute(
        update(workspaces)
        .where(workspaces.c.id.in_(select(due.c.id)))
        .values(lease_token=token, lease_expires_at=now + lease)
        .returning(*workspaces.c)
    )
    return [load_workspace(row) for row in rows]


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
    # A person's request made during the step wins: keep the check time, the reason and the
    # fresh failure budget that it wrote.
    unasked = workspaces.c.generation == before.generation
    # What was not changed by this step is left alone, since others may write it too.
    values: dict[str, Any] = {
        "phase": after.phase,
        "handle": dump_handle(after.handle),
        "boot": after.boot,
        "started_at": after.started_at,
        "stop_at": after.stop_at,
        "failures": case((unasked, after.failures), else_=workspaces.c.failures),
        "check_at": case((unasked, after.check_at), else_=workspaces.c.check_at),
        "lease_token": None if keep_until is None else token,
        "lease_expires_at": keep_until,
    }
    for name in ("reason", "retire_boot"):
        if getattr(after, name) != getattr(before, name):
            column = workspaces.c[name]
            values[name] = case((unasked, getattr(after, name)), else_=column)
    if after.health != before.health:
        values["health"] = after.health
    if leftovers:
        values["leftovers"] = json.dumps(list(leftovers))
    done = (
        update(workspaces)
        .where(workspaces.c.id == before.id, workspaces.c.lease_token == token)
        .values(**values)
        .returning(*workspaces.c)
    )
    row = (await tx.execute(done)).one_or_none()
    return None if row is None else load_workspace(row)


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
