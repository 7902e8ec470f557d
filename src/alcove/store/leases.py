"""Who works on what: leases on workspaces and on duties. Functions never commit.

A lease is a token with an end. Whatever is written under it names the token, so that a server
that slept through its lease changes nothing when it wakes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from alcove.model.workspace import Handle, LeaseToken, Phase, Workspace
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step came to; every field is the new value."""

    phase: Phase
    reason: str
    handle: Handle | None
    boot: str | None
    retire_boot: str | None
    failures: int
    health: str
    started_at: datetime | None
    stop_at: datetime | None
    check_at: datetime
    leftovers: tuple[str, ...] = ()


async def settle(
    tx: Tx,
    before: Workspace,
    outcome: Outcome,
    *,
    token: LeaseToken,
    keep_until: datetime | None,
) -> Workspace | None:
    """Write the outcome of a step; keep the lease until then, or give it back.

    Answers the row as it is now (a person may have asked for something else meanwhile), or None,
    having written nothing, if the lease was lost: then our result is stale.
    """
    # A person's request made during the step wins: keep the check time, the reason and the
    # fresh failure budget that it wrote.
    unasked = workspaces.c.generation == before.generation
    # What was not changed by this step is left alone, since others may write it too.
    values: dict[str, Any] = {
        "phase": outcome.phase,
        "handle": dump_handle(outcome.handle),
        "boot": outcome.boot,
        "started_at": outcome.started_at,
        "stop_at": outcome.stop_at,
        "failures": case((unasked, outcome.failures), else_=workspaces.c.failures),
        "check_at": case((unasked, outcome.check_at), else_=workspaces.c.check_at),
        "lease_token": None if keep_until is None else token,
        "lease_expires_at": keep_until,
    }
    if outcome.reason != before.reason:
        values["reason"] = case((unasked, outcome.reason), else_=workspaces.c.reason)
    if outcome.retire_boot != before.retire_boot:
        values["retire_boot"] = case(
            (unasked, outcome.retire_boot), else_=workspaces.c.retire_boot
        )
    if outcome.health != before.health:
        values["health"] = outcome.health
    if outcome.leftovers:
        values["leftovers"] = json.dumps(outcome.leftovers)
    done = (
        update(workspaces)
        .where(workspaces.c.id == before.id, workspaces.c.lease_token == token)
        .values(**values)
        .returning(*workspaces.c)
    )
    row = (await tx.execute(done)).one_or_none()
    return None if row is None else load_workspace(row)


async def hold(
    tx: Tx, name: str, *, token: LeaseToken, now: datetime, lease: timedelta
) -> bool:
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
