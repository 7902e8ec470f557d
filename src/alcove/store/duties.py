"""What timers, the sweeper and the image keeper read. Functions never commit."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import or_, select, update

from alcove.model.image import Image
from alcove.model.pool import KEEPER
from alcove.model.workspace import Desired, Handle, Phase, UserId, Workspace, WorkspaceId
from alcove.store.db import Tx
from alcove.store.rows import load_handle, load_workspace
from alcove.store.schema import snapshots, workspaces

_SPEC_IMAGE: Any = TypeAdapter(dict[str, Any])
_IMAGE: TypeAdapter[Image] = TypeAdapter(Image)


async def due(tx: Tx, *, now: datetime, limit: int) -> Sequence[Workspace]:
    """Those whose end may have come: the time is over, or ephemeral and stopped."""
    c = workspaces.c
    query = (
        select(workspaces)
        .where(
            c.phase != Phase.DELETED,
            c.desired != Desired.DELETED,
            or_(
                c.expires_at <= now,
                (c.stop_at <= now) & (c.phase == Phase.RUNNING),
                c.ephemeral & (c.phase == Phase.STOPPED),
            ),
        )
        .order_by(c.id)
        .limit(limit)
    )
    return [load_workspace(row) for row in await tx.execute(query)]


async def with_phases(
    tx: Tx, phases: Collection[Phase], *, after: str, limit: int
) -> Sequence[Workspace]:
    """A page in the order of ids, without the members of pools."""
    query = (
        select(workspaces)
        .where(
            workspaces.c.phase.in_(phases),
            workspaces.c.id > after,
            workspaces.c.owner != KEEPER,
        )
        .order_by(workspaces.c.id)
        .limit(limit)
    )
    return [load_workspace(row) for row in await tx.execute(query)]


async def starting_up(tx: Tx, *, limit: int) -> Sequence[Workspace]:
    """Those that run and whose start-up's end nobody has written down."""
    query = (
        select(workspaces)
        .where(workspaces.c.phase == Phase.RUNNING, workspaces.c.health == "starting")
        .order_by(workspaces.c.started_at)
        .limit(limit)
    )
    return [load_workspace(row) for row in await tx.execute(query)]


async def announce(tx: Tx, workspace: Workspace, *, now: datetime) -> bool:
    """Note that the owner was told; False if that was done, or it was used meanwhile."""
    told = (
        update(workspaces)
        .where(
            workspaces.c.id == workspace.id,
            workspaces.c.announced_at.is_(None),
            workspaces.c.last_used_at == workspace.last_used_at,
        )
        .values(announced_at=now)
        .returning(workspaces.c.id)
    )
    return (await tx.execute(told)).one_or_none() is not None


async def end_expiry(tx: Tx, workspace: Workspace) -> bool:
    """Take its end away; False if somebody gave it another one."""
    ended = (
        update(workspaces)
        .where(
            workspaces.c.id == workspace.id,
            workspaces.c.generation == workspace.generation,
            workspaces.c.expires_at.is_not(None),
        )
        .values(expires_at=None)
        .returning(workspaces.c.id)
    )
    return (await tx.execute(ended)).one_or_none() is not None


@dataclass(frozen=True, slots=True)
class Known:
    """What the sweeper needs to know of a row."""

    owner: UserId
    name: str
    phase: Phase
    handle: Handle | None
    leftovers: tuple[str, ...]


async def known(tx: Tx, ids: Collection[WorkspaceId]) -> Mapping[WorkspaceId, Known]:
    """Those of these ids that we have a row of, and all rows with leftovers."""
    c = workspaces.c
    query = select(c.id, c.owner, c.name, c.phase, c.handle, c.leftovers).where(
        or_(c.id.in_(ids), c.leftovers.is_not(None))
    )
    return {
        WorkspaceId(row.id): Known(
            owner=UserId(row.owner),
            name=row.name,
            phase=Phase(row.phase),
            handle=load_handle(row.handle),
            leftovers=tuple(json.loads(row.leftovers)) if row.leftovers else (),
        )
        for row in await tx.execute(query)
    }


async def set_leftovers(tx: Tx, id: WorkspaceId, left: Sequence[str]) -> None:
    values = {"leftovers": json.dumps(list(left)) if left else None}
    await tx.execute(update(workspaces).where(workspaces.c.id == id).values(**values))


async def images_in_use(tx: Tx) -> Collection[str]:
    """Keys of the images of all workspaces that are not deleted, and of all snapshots."""
    query = select(workspaces.c.spec).where(workspaces.c.phase != Phase.DELETED)
    texts = [
        *(await tx.execute(query)).scalars().all(),
        *(await tx.execute(select(snapshots.c.spec))).scalars().all(),
    ]
    return {_IMAGE.validate_python(_SPEC_IMAGE.validate_json(t)["image"]).key for t in texts}
