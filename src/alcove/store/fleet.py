"""What an operator asks of all workspaces at once: few queries, each counted by the database.

Functions take an open transaction and never commit. A Spec is read by the database's own JSON
functions, because loading thousands of rows costs more than all the rest of a page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, cast, func, literal, or_, select, type_coerce
from sqlalchemy.sql.functions import count

from alcove.model.pool import KEEPER
from alcove.model.workspace import (
    Desired,
    Isolation,
    Kind,
    Phase,
    StartedFrom,
    Workspace,
    WorkspaceId,
)
from alcove.store.db import Tx
from alcove.store.rows import load_workspace
from alcove.store.schema import leases, users, workspaces

_W: Final = workspaces.c
LIVE: Final = (_W.phase != Phase.DELETED, _W.owner != KEEPER)


@dataclass(frozen=True, slots=True)
class Group:
    """Workspaces of one kind in one phase; a pool's members are groups of their own."""

    kind: Kind
    phase: Phase
    pooled: bool
    many: int
    cpu_millis: int
    """Given out to them together; `memory_mib` and `disk_mib` likewise."""
    memory_mib: int
    disk_mib: int
    oldest: datetime
    """When the oldest of them was made."""


async def groups(tx: Tx) -> Sequence[Group]:
    """All that are not deleted, by kind and phase. One query."""
    pooled = _W.owner == KEEPER
    query = (
        select(
            _W.kind,
            _W.phase,
            pooled.label("pooled"),
            count(literal(1)).label("many"),
            *(
                func.sum(_of_spec(tx, ("resources", name)).as_integer()).label(name)
                for name in ("cpu_millis", "memory_mib", "disk_mib")
            ),
            func.min(_W.created_at, type_=_W.created_at.type).label("oldest"),
        )
        .where(_W.phase != Phase.DELETED)
        .group_by(_W.kind, _W.phase, pooled)
    )
    return [
        Group(
            kind=Kind(row.kind),
            phase=Phase(row.phase),
            pooled=bool(row.pooled),
            many=row.many,
            cpu_millis=int(row.cpu_millis or 0),
            memory_mib=int(row.memory_mib or 0),
            disk_mib=int(row.disk_mib or 0),
            oldest=row.oldest,
        )
        for row in await tx.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Starts:
    """How long people waited for workspaces of a tier that began in one way, in seconds."""

    isolation: Isolation
    started: StartedFrom
    waited_s: Sequence[float]


def _first_starts(since: datetime) -> Sequence[ColumnElement[bool]]:
    """Of what was made since then. What its owner started again is left out: when it first ran
    is not written down any more."""
    return (
        _W.created_at >= since,
        _W.owner != KEEPER,
        _W.started_at.is_not(None),
        _W.started.is_not(None),
        or_(_W.generation == 1, (_W.generation == 2) & (_W.desired != Desired.RUNNING)),
    )


@dataclass(frozen=True, slots=True)
class TemplateStart:
    """A first start of a workspace of this version."""

    template: str
    version: int
    started: StartedFrom
    seconds: float


async def starts_of_templates(tx: Tx, *, since: datetime, limit: int) -> Sequence[TemplateStart]:
    """First starts of what was made since then, newest first. One query."""
    query = (
        select(_W.template, _W.template_version, _W.started, _waited_s(tx))
        .where(*_first_starts(since))
        .order_by(_W.created_at.desc(), _W.id)
        .limit(limit)
    )
    return [
        TemplateStart(template, version, StartedFrom(started), float(waited_s))
        for template, version, started, waited_s in await tx.execute(query)
    ]


async def starts(tx: Tx, *, since: datetime, limit: int) -> Sequence[Starts]:
    """First starts of what was made since then, at most the newest `limit`. One query."""
    found = (
        select(
            _of_spec(tx, "isolation").as_string().label("isolation"),
            _W.started,
            _waited_s(tx).label("waited_s"),
        )
        .where(*_first_starts(since))
        .order_by(_W.created_at.desc(), _W.id)
        .limit(limit)
        .subquery()
    )
    gather = func.json_agg if tx.dialect.name == "postgresql" else func.json_group_array
    way = (found.c.isolation, found.c.started)
    gathered: ColumnElement[Any] = gather(found.c.waited_s, type_=JSON)
    query = select(*way, gathered).group_by(*way).order_by(*way)
    return [
        Starts(Isolation(isolation), StartedFrom(started), waited_s)
        for isolation, started, waited_s in await tx.execute(query)
    ]


class Order(StrEnum):
    """How the table is sorted."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    OWNER = "owner"
    TEMPLATE = "template"
    STATE = "state"
    USED = "used"
    """Used last, first."""


_URGENT: Final = (Phase.FAILED, Phase.UNREACHABLE)


def _by(order: Order) -> Sequence[ColumnElement[Any]]:
    newest = (_W.created_at.desc(), _W.id)
    match order:
        case Order.NEWEST:
            return newest
        case Order.OLDEST:
            return (_W.created_at, _W.id)
        case Order.NAME:
            return (_W.name, _W.id)
        case Order.OWNER:
            return (users.c.name, _W.name, _W.id)
        case Order.TEMPLATE:
            return (_W.template, *newest)
        case Order.STATE:
            return (_W.phase.not_in(_URGENT), _W.phase, *newest)
        case Order.USED:
            return (_W.last_used_at.desc(), _W.id)


@dataclass(frozen=True, slots=True)
class RowFilters:
    """All that are set must match."""

    phases: Sequence[Phase] = ()
    kind: Kind | None = None
    owner: str | None = None
    """A user's name."""
    template: str | None = None
    isolation: Isolation | None = None
    text: str | None = None
    """Stands in the name, the repository, the branch, the labels or the reason."""


@dataclass(frozen=True, slots=True)
class Row:
    workspace: Workspace
    owner: str
    """The owner's name."""


async def rows(
    tx: Tx, filters: RowFilters, *, order: Order, skip: int, limit: int
) -> Sequence[Row]:
    """A page of the live workspaces of everybody, with their owners' names. One query."""
    query = (
        select(workspaces, users.c.name.label("owner_name"))
        .join(users, users.c.id == _W.owner)
        .where(*LIVE, *_matching(tx, filters))
        .order_by(*_by(order))
        .offset(skip)
        .limit(limit)
    )
    return [Row(load_workspace(row), row.owner_name) for row in await tx.execute(query)]


async def count_rows(tx: Tx, filters: RowFilters) -> int:
    query = (
        select(count(literal(1)))
        .select_from(workspaces)
        .join(users, users.c.id == _W.owner)
        .where(*LIVE, *_matching(tx, filters))
    )
    return (await tx.execute(query)).scalar_one()


@dataclass(frozen=True, slots=True)
class VersionUse:
    """Live workspaces that were made from one version of a template."""

    version: int
    many: int
    running: int
    pooled: int


async def uses(tx: Tx, template: str) -> Mapping[int, VersionUse]:
    """By version; versions that nothing uses are not in it."""
    query = (
        select(
            _W.template_version,
            (_W.owner == KEEPER).label("pooled"),
            (_W.phase == Phase.RUNNING).label("running"),
            count(literal(1)).label("many"),
        )
        .where(_W.template == template, _W.phase != Phase.DELETED)
        .group_by(_W.template_version, "pooled", "running")
    )
    found: dict[int, VersionUse] = {}
    for row in await tx.execute(query):
        one = found.get(row.template_version, VersionUse(row.template_version, 0, 0, 0))
        pooled = row.many if row.pooled else 0
        mine = row.many - pooled
        found[row.template_version] = VersionUse(
            version=one.version,
            many=one.many + mine,
            running=one.running + (mine if row.running else 0),
            pooled=one.pooled + pooled,
        )
    return found


async def named(
    tx: Tx, template: str, *, but: int | None = None, limit: int
) -> Sequence[tuple[WorkspaceId, str, str, int]]:
    """Id, name, owner's name and version of live workspaces of a template, by owner and name."""
    query = (
        select(_W.id, _W.name, users.c.name.label("owner_name"), _W.template_version)
        .join(users, users.c.id == _W.owner)
        .where(*LIVE, _W.template == template)
        .order_by(users.c.name, _W.name)
        .limit(limit)
    )
    if but is not None:
        query = query.where(_W.template_version != but)
    return [
        (WorkspaceId(row.id), row.name, row.owner_name, row.template_version)
        for row in await tx.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Duty:
    """What one server at a time does. `token` tells which."""

    name: str
    token: str
    expires_at: datetime


async def duties(tx: Tx) -> Sequence[Duty]:
    query = select(leases).order_by(leases.c.name)
    return [Duty(row.name, row.token, row.expires_at) for row in await tx.execute(query)]


def _of_spec(tx: Tx, path: str | tuple[str, ...]) -> Any:
    """A part of the Spec, read where the row is."""
    # A cast to JSON is a number to SQLite, whose functions take the text as it is.
    spec: Any = (
        cast(_W.spec, JSON) if tx.dialect.name == "postgresql" else type_coerce(_W.spec, JSON)
    )
    return spec[path]


def _waited_s(tx: Tx) -> ColumnElement[Any]:
    """From being asked for to running, to the millisecond. To make moments of thousands of rows
    costs more than to find them."""
    if tx.dialect.name == "postgresql":
        return func.extract("epoch", _W.started_at - _W.created_at)
    days = func.julianday(_W.started_at) - func.julianday(_W.created_at)
    return func.round(days * 86400.0, 3)


def _matching(tx: Tx, filters: RowFilters) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.phases:
        found.append(_W.phase.in_(filters.phases))
    if filters.kind is not None:
        found.append(_W.kind == filters.kind)
    if filters.owner is not None:
        found.append(users.c.name == filters.owner)
    if filters.template is not None:
        found.append(_W.template == filters.template)
    if filters.isolation is not None:
        found.append(_of_spec(tx, "isolation").as_string() == filters.isolation.value)
    if filters.text is not None:
        places = (_W.id, _W.name, _W.repo, _W.branch, _W.labels, _W.reason, users.c.name)
        found.append(or_(*(place.icontains(filters.text, autoescape=True) for place in places)))
    return found
