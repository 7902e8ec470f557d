"""The fleet's table: everybody's workspaces, and the filters as they stand in its address."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Query

from alcove.core import fleet, usage_history
from alcove.core.app import Core
from alcove.drivers.base import Usage
from alcove.model.access import Actor
from alcove.model.workspace import Isolation, Kind, Phase, Workspace
from alcove.store.fleet import Order, RowFilters
from alcove.web.addresses import filtered
from alcove.web.contexts import Badge, badge_of
from alcove.web.text import mib

Text = Annotated[str, Query(max_length=128)]
SHOWN: Final = 100
STATES: Final[dict[str, tuple[Phase, ...]]] = {
    "running": (Phase.RUNNING,),
    "queued": tuple(fleet.QUEUED),
    "changing": (Phase.PAUSING, Phase.STOPPING, Phase.DELETING),
    "stopped": (Phase.STOPPED,),
    "paused": (Phase.PAUSED,),
    "failed": (Phase.FAILED, Phase.UNREACHABLE),
}
KINDS: Final = {"people": Kind.HUMAN, "agents": Kind.AGENT}
COLUMNS: Final = (
    ("State", Order.STATE),
    ("Name", Order.NAME),
    ("Owner", Order.OWNER),
    ("Template", Order.TEMPLATE),
    ("Last used", Order.USED),
    ("Made", Order.NEWEST),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters as they stand in the address."""

    state: str = ""
    kind: str = ""
    owner: str = ""
    template: str = ""
    isolation: str = ""
    q: str = ""
    order: str = ""
    skip: int = 0

    def path(self, *, base: str = "/fleet", **changed: object) -> str:
        """Another filter begins at the first page."""
        known = {**asdict(self), "skip": 0, **changed}
        return filtered(base, known)


@dataclass(frozen=True, slots=True)
class Line:
    """A workspace in the table."""

    workspace: Workspace
    owner: str
    badge: Badge
    cpu: str
    memory: str
    share: float | None
    """Of its memory limit."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    path: str
    on: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """The table, likewise."""

    now: datetime
    lines: Sequence[Line]
    columns: Sequence[Column]
    here: str
    total: int
    first: int
    last: int
    previous: str
    next: str
    live: bool


async def asked_for(
    state: Text = "",
    kind: Text = "",
    owner: Text = "",
    template: Text = "",
    isolation: Text = "",
    q: Text = "",
    order: Text = "",
    skip: Annotated[int, Query(ge=0, le=fleet.SKIP_MAX)] = 0,
) -> Asked:
    return Asked(state, kind, owner, template, isolation, q.strip(), order, skip)


async def rows_of(core: Core, actor: Actor, asked: Asked) -> Rows:
    order = _order(asked)
    found = await fleet.find(
        core, actor, _filters(asked), order=order, skip=asked.skip, limit=SHOWN
    )
    lines = [
        _line(core, row.workspace, row.owner, found.usage.get(row.workspace.id))
        for row in found.rows
    ]
    end = asked.skip + len(lines)
    return Rows(
        now=core.clock(),
        lines=lines,
        columns=[
            Column(name, asked.path(order=one.value), on=order is one) for name, one in COLUMNS
        ],
        here=asked.path(base="/fleet/rows", skip=asked.skip),
        total=found.total,
        first=asked.skip + 1 if lines else 0,
        last=end,
        previous=asked.path(skip=max(0, asked.skip - SHOWN)) if asked.skip else "",
        next=asked.path(skip=end) if end < found.total else "",
        live=asked.skip == 0,
    )


def _order(asked: Asked) -> Order:
    return Order(asked.order) if asked.order in set(Order) else Order.STATE


def _filters(asked: Asked) -> RowFilters:
    """What is no state, kind or tier of ours filters nothing."""
    tiers = {tier.value: tier for tier in Isolation}
    return RowFilters(
        phases=STATES.get(asked.state, ()),
        kind=KINDS.get(asked.kind),
        owner=asked.owner or None,
        template=asked.template or None,
        isolation=tiers.get(asked.isolation),
        text=asked.q or None,
    )


def _line(core: Core, workspace: Workspace, owner: str, usage: Usage | None) -> Line:
    history = usage_history.of(core, workspace.id)
    running = workspace.phase is Phase.RUNNING
    limit = 0 if usage is None else usage.memory_limit_mib
    return Line(
        workspace=workspace,
        owner=owner,
        badge=badge_of(workspace),
        cpu=f"{history[-1].cpu_share:.2f}" if history and running else "",
        memory="" if usage is None else f"{mib(usage.memory_mib)} of {mib(limit)}",
        share=None if usage is None or not limit else min(1.0, usage.memory_mib / limit),
    )
