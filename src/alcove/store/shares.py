"""The SQL about shared ports. Functions take an open transaction and never commit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.sql.functions import count

from alcove.model.port import Level, Share
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store.db import Tx
from alcove.store.schema import shares


async def put(tx: Tx, share: Share) -> None:
    """Share the port so, instead of as it was."""
    await remove(tx, share.workspace, share.port)
    await tx.execute(
        insert(shares).values(
            workspace=share.workspace,
            port=share.port,
            level=share.level,
            expires_at=share.expires_at,
            created_at=share.created_at,
            created_by=share.created_by,
        )
    )


async def remove(tx: Tx, workspace: WorkspaceId, port: int) -> bool:
    """Answers whether it was shared."""
    done = (
        delete(shares)
        .where(shares.c.workspace == workspace, shares.c.port == port)
        .returning(shares.c.port)
    )
    return (await tx.execute(done)).one_or_none() is not None


async def get(tx: Tx, workspace: WorkspaceId, port: int) -> Share | None:
    found = select(shares).where(shares.c.workspace == workspace, shares.c.port == port)
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else _load(row)


async def of(tx: Tx, workspace: WorkspaceId, *, now: datetime) -> Sequence[Share]:
    """Those of a workspace that hold, by port."""
    found = select(shares).where(shares.c.workspace == workspace).order_by(shares.c.port)
    return [share for row in await tx.execute(found) if (share := _load(row)).holds(now)]


async def number(tx: Tx, workspace: WorkspaceId) -> int:
    counted = select(count()).select_from(shares).where(shares.c.workspace == workspace)
    return (await tx.execute(counted)).scalar_one()


def _load(row: Row[Any]) -> Share:
    return Share(
        workspace=WorkspaceId(row.workspace),
        port=row.port,
        level=Level(row.level),
        expires_at=row.expires_at,
        created_at=row.created_at,
        created_by=UserId(row.created_by),
    )
