"""All SQL about workspaces that people ask for. Functions take a transaction and never commit.

What the reconciler and the timers need is in `leases.py` and `duties.py`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.functions import count

from alcove.model.errors import Conflict
from alcove.model.pool import KEEPER
from alcove.model.workspace import (
    Desired,
    Kind,
    Lifetime,
    Phase,
    Spec,
    UserId,
    Workspace,
    WorkspaceId,
)
from alcove.store.db import Tx
from alcove.store.rows import (
    dump_json,
    dump_lifetime,
    dump_spec,
    dump_workspace,
    load_workspace,
)
from alcove.store.schema import users, workspaces

LIVE_NAME: Final = re.compile(r"uq_workspaces_live_name|workspaces\.owner, workspaces\.name")
"""How PostgreSQL and SQLite name the index of names."""


# Built once, because they are on the way of every creation.
_INSERT: Final = insert(workspaces)
_TURN: Final = (
    select(users.c.id).where(users.c.id == bindparam("of")).with_for_update(key_share=True)
)
_COUNT_LIVE: Final = (
    select(count(literal_column("1")))
    .select_from(workspaces)
    .where(workspaces.c.owner == bindparam("of"), workspaces.c.phase != Phase.DELETED)
)
_BY_ID: Final = select(workspaces).where(workspaces.c.id == bindparam("of"))


@dataclass(frozen=True, slots=True)
class WorkspaceFilters:
    """All that are set must match. Deleted ones are left out unless asked for by phase."""

    owner: UserId | None = None
    owner_name: str | None = None
    template: str | None = None
    phases: Sequence[Phase] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    id: WorkspaceId | None = None
    kind: Kind | None = None
    text: str = ""
    """Stands somewhere in the name, the template, the repository or the branch."""


class Kept:
    """The type of KEPT."""


KEPT: Final = Kept()
"""The end stays what it is."""
Ends: TypeAlias = datetime | Kept | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: newest first, the id decides among equals."""

    created_at: datetime
    id: str


async def add(tx: Tx, workspace: Workspace, *, request: str = "{}") -> None:
    """`request`: what its owner asked for, as JSON. Raises Conflict when the name is taken."""
    try:
        await tx.execute(_INSERT, {**dump_workspace(workspace), "request": request})
    except IntegrityError as error:
        if LIVE_NAME.search(str(error.orig)):
            raise Conflict(f"there is already a workspace named {workspace.name}") from error
        raise


async def request_of(tx: Tx, id: WorkspaceId) -> str:
    return (
        await tx.execute(select(workspaces.c.request).where(workspaces.c.id == id))
    ).scalar_one()


async def get(tx: Tx, id: WorkspaceId) -> Workspace | None:
    row = (await tx.execute(_BY_ID, {"of": id})).one_or_none()
    return None if row is None else load_workspace(row)


async def by_name(tx: Tx, *, owner: UserId, name: str) -> Workspace | None:
    """The live one of that name; deleted ones have given theirs up."""
    found = select(workspaces).where(
        workspaces.c.owner == owner,
        workspaces.c.name == name,
        workspaces.c.phase != Phase.DELETED,
    )
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else load_workspace(row)


async def by_owner_name(tx: Tx, *, owner_name: str, name: str) -> Workspace | None:
    found = (
        select(workspaces)
        .join(users, users.c.id == workspaces.c.owner)
        .where(
            users.c.name == owner_name,
            workspaces.c.name == name,
            workspaces.c.phase != Phase.DELETED,
        )
    )
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else load_workspace(row)


async def find(
    tx: Tx, filters: WorkspaceFilters, *, after: Position | None, limit: int
) -> Sequence[Workspace]:
    """One page, newest first. Stable while others are added: new ones come before it."""
    query = select(workspaces).where(*_matching(tx, filters))
    if after is not None:
        here = tuple_(workspaces.c.created_at, workspaces.c.id)
        edge = tuple_(literal(after.created_at, workspaces.c.created_at.type), literal(after.id))
        query = query.where(here < edge)
    query = query.order_by(workspaces.c.created_at.desc(), workspaces.c.id.desc()).limit(limit)
    return [load_workspace(row) for row in await tx.execute(query)]


async def count_live(tx: Tx, *, owner: UserId) -> int:
    """How many the owner has. Until the transaction ends, nobody else adds to them."""
    if tx.dialect.name == "postgresql":
        # NO KEY UPDATE: a plain FOR UPDATE would wait for every insert that refers to the user.
        await tx.execute(_TURN, {"of": owner})
    return (await tx.execute(_COUNT_LIVE, {"of": owner})).scalar_one()


async def count_by_phase(tx: Tx) -> Mapping[Phase, int]:
    """How many live workspaces there are in each phase that has any."""
    counted = (
        select(workspaces.c.phase, count(literal(1)).label("many"))
        .where(workspaces.c.phase != Phase.DELETED, workspaces.c.owner != KEEPER)
        .group_by(workspaces.c.phase)
    )
    return {Phase(row.phase): row.many for row in await tx.execute(counted)}


async def want(
    tx: Tx,
    id: WorkspaceId,
    desired: Desired,
    *,
    now: datetime,
    reason: str,
    generation: int | None = None,
    retire_boot: str | None = None,
    expires_at: "Ends" = KEPT,
) -> Workspace | None:
    """Ask for another state, and perhaps another end. With `generation`, only if nobody else
    asked in between.

    Deleted stays deleted: answers None when the row is on its way out, or gone, or has moved on.
    """
    asked = and_(workspaces.c.id == id, workspaces.c.phase != Phase.DELETED)
    if desired is not Desired.DELETED:
        asked = and_(asked, workspaces.c.desired != Desired.DELETED)
    if generation is not None:
        asked = and_(asked, workspaces.c.generation == generation)
    values: dict[str, Any] = {
        "desired": desired,
        "generation": workspaces.c.generation + 1,
        "failures": 0,
        "check_at": now,
        "reason": reason,
    }
    if retire_boot is not None:
        values["retire_boot"] = retire_boot
    if not isinstance(expires_at, Kept):
        values["expires_at"] = expires_at
    changed = update(workspaces).where(asked).values(**values).returning(*workspaces.c)
    row = (await tx.execute(changed)).one_or_none()
    return None if row is None else load_workspace(row)


@dataclass(frozen=True, slots=True)
class Revision:
    """The parts of a workspace that its owner may change; the whole of each is given."""

    name: str
    labels: Mapping[str, str]
    template_version: int
    spec: Spec
    parameters: Mapping[str, object]
    repo: str | None
    branch: str | None
    lifetime: Lifetime
    expires_at: datetime | None
    reason: str
    request: str


async def revise(
    tx: Tx, id: WorkspaceId, revision: Revision, *, generation: int, now: datetime
) -> Workspace | None:
    """Write what the owner changed; None if somebody else changed it in between."""
    changed = (
        update(workspaces)
        .where(workspaces.c.id == id, workspaces.c.generation == generation)
        .values(
            name=revision.name,
            labels=dump_json(revision.labels),
            template_version=revision.template_version,
            spec=dump_spec(revision.spec),
            ephemeral=revision.spec.ephemeral,
            parameters=dump_json(revision.parameters),
            repo=revision.repo,
            branch=revision.branch,
            lifetime=dump_lifetime(revision.lifetime),
            expires_at=revision.expires_at,
            reason=revision.reason,
            request=revision.request,
            generation=workspaces.c.generation + 1,
            failures=0,
            check_at=now,
        )
        .returning(*workspaces.c)
    )
    try:
        row = (await tx.execute(changed)).one_or_none()
    except IntegrityError as error:
        if LIVE_NAME.search(str(error.orig)):
            raise Conflict(f"there is already a workspace named {revision.name}") from error
        raise
    return None if row is None else load_workspace(row)


async def set_reason(tx: Tx, workspace: Workspace, *, reason: str) -> bool:
    """False, and nothing written, if somebody asked for something or gave another reason."""
    changed = (
        update(workspaces)
        .where(
            workspaces.c.id == workspace.id,
            workspaces.c.generation == workspace.generation,
            workspaces.c.reason == workspace.reason,
        )
        .values(reason=reason)
        .returning(workspaces.c.id)
    )
    return (await tx.execute(changed)).one_or_none() is not None


async def set_health(tx: Tx, id: WorkspaceId, *, boot: str, health: str) -> str | None:
    """Write what the start-up of this boot came to; answers the former health, None if the
    boot is not the one that runs now or nothing changed."""
    row = (
        await tx.execute(
            select(workspaces.c.health).where(
                workspaces.c.id == id,
                workspaces.c.boot == boot,
                workspaces.c.health != health,
            )
        )
    ).one_or_none()
    if row is None:
        return None
    changed = (
        update(workspaces)
        .where(
            workspaces.c.id == id,
            workspaces.c.boot == boot,
            # Another server may have written it since we looked.
            workspaces.c.health == row.health,
        )
        .values(health=health)
        .returning(workspaces.c.id)
    )
    done = (await tx.execute(changed)).one_or_none()
    return None if done is None else str(row.health)


async def touch(tx: Tx, used: Mapping[WorkspaceId, datetime]) -> None:
    """Move `last_used_at` forward, never back; being used takes back an announcement."""
    for id, at in used.items():
        await tx.execute(
            update(workspaces)
            .where(workspaces.c.id == id, workspaces.c.last_used_at < at)
            .values(last_used_at=at, announced_at=None)
        )


def _matching(tx: Tx, filters: WorkspaceFilters) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [workspaces.c.owner != KEEPER]
    if filters.owner is not None:
        found.append(workspaces.c.owner == filters.owner)
    if filters.owner_name is not None:
        named = select(users.c.id).where(users.c.name == filters.owner_name)
        found.append(workspaces.c.owner == named.scalar_subquery())
    if filters.template is not None:
        found.append(workspaces.c.template == filters.template)
    if filters.id is not None:
        found.append(workspaces.c.id == filters.id)
    if filters.phases:
        found.append(or_(*(workspaces.c.phase == phase for phase in filters.phases)))
    else:
        found.append(workspaces.c.phase != Phase.DELETED)
    if filters.kind is not None:
        found.append(workspaces.c.kind == filters.kind)
    if filters.text:
        of = workspaces.c
        searched = (of.name, of.template, of.repo, of.branch)
        found.append(or_(*(one.icontains(filters.text, autoescape=True) for one in searched)))
    position = func.strpos if tx.dialect.name == "postgresql" else func.instr
    for key, value in filters.labels.items():
        # Exact on canonical JSON: inside a string a quote is always preceded by a backslash.
        pair = dump_json({key: value})[1:-1]
        found.append(position(workspaces.c.labels, pair) > 0)
    return found
