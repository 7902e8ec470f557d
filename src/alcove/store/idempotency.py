"""The SQL about `Idempotency-Key`s. Functions take an open transaction and never commit.

A key is claimed before the request runs and gets its answer afterwards; whoever comes in
between finds it under way.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from alcove.model.workspace import UserId
from alcove.store.db import Tx
from alcove.store.schema import idempotency_keys as keys


@dataclass(frozen=True, slots=True)
class Kept:
    """`status` is None while the first request is under way."""

    request_sha256: str
    status: int | None
    answer: str | None


async def claim(
    tx: Tx,
    *,
    user: UserId,
    key: str,
    request_sha256: str,
    now: datetime,
    kept_since: datetime,
    abandoned_before: datetime,
) -> Kept | None:
    """Take the key; None if it is ours now, else what is kept under it.

    A key older than `kept_since` is free again, and so is one whose request never came to its
    end (the server was killed) and began before `abandoned_before`.
    """
    mine = (keys.c.user_id == user, keys.c.key == key)
    await tx.execute(
        delete(keys).where(
            *mine,
            or_(
                keys.c.created_at < kept_since,
                keys.c.status.is_(None) & (keys.c.created_at < abandoned_before),
            ),
        )
    )
    row = (await tx.execute(select(keys).where(*mine))).one_or_none()
    if row is None:
        try:
            async with tx.begin_nested():
                await tx.execute(
                    insert(keys).values(
                        user_id=user, key=key, request_sha256=request_sha256, created_at=now
                    )
                )
        except IntegrityError:
            row = (await tx.execute(select(keys).where(*mine))).one()
        else:
            return None
    return Kept(request_sha256=row.request_sha256, status=row.status, answer=row.answer)


async def finish(tx: Tx, *, user: UserId, key: str, status: int, answer: str) -> None:
    await tx.execute(
        update(keys)
        .where(keys.c.user_id == user, keys.c.key == key)
        .values(status=status, answer=answer)
    )


async def release(tx: Tx, *, user: UserId, key: str) -> None:
    """Give the key up: the request failed in a way that trying again may mend."""
    await tx.execute(
        delete(keys).where(keys.c.user_id == user, keys.c.key == key, keys.c.status.is_(None))
    )


async def drop_old(tx: Tx, *, kept_since: datetime) -> None:
    await tx.execute(delete(keys).where(keys.c.created_at < kept_since))
