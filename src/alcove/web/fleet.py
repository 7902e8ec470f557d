"""The fleet: the numbers that matter, and who runs what. Nothing needs a second page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import fleet, usage_history
from alcove.core.app import Core
from alcove.core.fleet import Fleet, StartTimes
from alcove.core.machine import Machine
from alcove.drivers.base import Usage
from alcove.http.access import needs
from alcove.model.access import Actor, Permission
from alcove.model.workspace import Isolation, Kind, Phase, Workspace
from alcove.store.fleet import Order, RowFilters
from alcove.web.contexts import Badge, Chip, Command, Frame, Link, badge_of
from alcove.web.frame import frame_of
from alcove.web.live_sessions import Connections, Place, connections
from alcove.web.pages import CoreOf, render, router
from alcove.web.text import cores, mib, seconds

routes = router()
Reader = Annotated[Actor, needs(Permission.AUDIT_READ)]
Text = Annotated[str, Query(max_length=128)]
SHOWN: Final = 100
FULL: Final = 0.9
"""From this share on a meter is a warning."""
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
        query = urlencode({name: value for name, value in known.items() if value})
        return f"{base}?{query}" if query else base


@dataclass(frozen=True, slots=True)
class Stat:
    """A number that matters. `tone`: red or amber where somebody should look."""

    name: str
    value: str
    detail: str
    path: str = ""
    tone: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StartLine:
    """A way to start, with how long that took."""

    name: str
    many: int
    p50: str
    p95: str


@dataclass(frozen=True, slots=True)
class FailureLine:
    at: datetime
    workspace: str
    name: str
    owner: str
    what: str
    final: bool


@dataclass(frozen=True, slots=True)
class PoolLine:
    template: str
    isolation: str
    ready: int
    wanted: int
    other: str
    share: float
    hits: str
    why: str


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    text: str
    share: float
    full: bool


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
class Numbers:
    """The upper part, which asks for itself again as things happen."""

    now: datetime
    stats: Sequence[Stat]
    starts: Sequence[StartLine]
    failures: Sequence[FailureLine]
    pools: Sequence[PoolLine]
    gauges: Sequence[Gauge]


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


@dataclass(frozen=True, slots=True)
class NumbersPart:
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class RowsPart:
    rows: Rows


@dataclass(frozen=True, slots=True)
class FleetPage:
    frame: Frame
    asked: Asked
    numbers: Numbers
    rows: Rows
    live: Connections
    chips: Sequence[Chip]
    commands: Sequence[Command]


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


Filters = Annotated[Asked, Depends(asked_for)]


@routes.get("/fleet")
async def show(request: Request, core: CoreOf, actor: Reader, asked: Filters) -> Response:
    seen = await fleet.look_at(core, actor)
    context = FleetPage(
        frame=frame_of(request, actor, here="/fleet", crumbs=(Link("Fleet"),)),
        asked=asked,
        numbers=numbers_of(seen),
        rows=await _rows(core, actor, asked),
        live=await connections(core, actor, Place.FLEET),
        chips=_chips(asked, seen),
        commands=(Command("alcove list --all"), Command("alcove events -f")),
    )
    return render("fleet.html", context)


@routes.get("/fleet/numbers")
async def numbers(core: CoreOf, actor: Reader) -> Response:
    return render("fleet_numbers.html", NumbersPart(numbers_of(await fleet.look_at(core, actor))))


@routes.get("/fleet/rows")
async def rows(core: CoreOf, actor: Reader, asked: Filters) -> Response:
    return render("fleet_rows.html", RowsPart(await _rows(core, actor, asked)))


def numbers_of(seen: Fleet) -> Numbers:
    return Numbers(
        now=seen.at,
        stats=_stats(seen),
        starts=[_start(one) for one in seen.starts],
        failures=[
            FailureLine(
                one.at, one.workspace, one.name, one.owner, f"{one.verb}: {one.error}", one.final
            )
            for one in seen.failures
        ],
        pools=_pools(seen),
        gauges=() if seen.machine is None else _gauges(seen, seen.machine),
    )


async def _rows(core: Core, actor: Actor, asked: Asked) -> Rows:
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


def _stats(seen: Fleet) -> Sequence[Stat]:
    people, agents = seen.running[Kind.HUMAN], seen.running[Kind.AGENT]
    quick = max(seen.starts, key=lambda one: one.many, default=None)
    claimed = sum(pool.last_hour.claimed for pool in seen.pools)
    missed = sum(pool.last_hour.missed for pool in seen.pools)
    ready, wanted = sum(p.ready for p in seen.pools), sum(p.wanted for p in seen.pools)
    hour = seen.failed_last_hour
    return (
        Stat("People", str(people), "workspaces run", Asked(kind="people").path()),
        Stat("Agents", str(agents), "sandboxes run", Asked(kind="agents").path()),
        Stat(
            "Queue",
            str(seen.queued),
            "nothing waits" if seen.queued_since is None else "the oldest asked for",
            Asked(state="queued").path(),
            at=seen.queued_since,
        ),
        Stat(
            "Start p50",
            "–" if quick is None else seconds(quick.p50_s),
            "nothing started within the hour"
            if quick is None
            else f"p95 {seconds(quick.p95_s)}, {quick.started} in {quick.isolation}",
        ),
        Stat(
            "Failures",
            f"{hour}+" if hour >= fleet.FAILURES_COUNTED else str(hour),
            "within the last hour",
            "/audit?type=workspace.failed",
            tone="red" if hour else "",
        ),
        Stat(
            "Leaks",
            "?" if seen.leaks is None else str(seen.leaks),
            "counted by another server"
            if seen.leaks is None
            else f"{seen.orphans_last_day} orphans removed in a day",
            "/audit?type=orphan.removed",
            tone="red" if seen.leaks else "",
        ),
        Stat(
            "Pools",
            f"{ready} of {wanted}",
            f"ready; {hit_rate(claimed, missed)}",
            tone="amber" if ready < wanted else "",
        ),
    )


def _start(one: StartTimes) -> StartLine:
    return StartLine(
        f"{one.isolation}, {_HOW[one.started]}", one.many, seconds(one.p50_s), seconds(one.p95_s)
    )


_HOW: Final = {"cold": "cold", "pool": "from a pool", "snapshot": "from a snapshot"}


def _pools(seen: Fleet) -> Sequence[PoolLine]:
    found: list[PoolLine] = []
    for state in seen.pools:
        others = (
            ("starting", state.starting),
            ("failed", state.failed),
            ("draining", state.draining),
        )
        found.append(
            PoolLine(
                template=state.pool.template,
                isolation=state.pool.isolation.value,
                ready=state.ready,
                wanted=state.wanted,
                other=", ".join(f"{many} {what}" for what, many in others if many),
                share=min(1.0, state.ready / state.wanted) if state.wanted else 1.0,
                hits=hit_rate(state.last_hour.claimed, state.last_hour.missed),
                why=state.why,
            )
        )
    return found


def _gauges(seen: Fleet, machine: Machine) -> Sequence[Gauge]:
    used = machine.memory_mib - machine.memory_free_mib
    disk = machine.disk_mib - machine.disk_free_mib
    given = seen.given
    return (
        _gauge(
            "Processors at work",
            f"load {machine.load:.1f} of {cores(machine.cpu_millis)}",
            machine.load * 1000,
            machine.cpu_millis,
        ),
        _gauge(
            "Processors given out",
            f"{given.cpu_millis / 1000:g} of {cores(machine.cpu_millis)}",
            given.cpu_millis,
            machine.cpu_millis,
            warns=False,
        ),
        _gauge(
            "Memory in use",
            f"{mib(used)} of {mib(machine.memory_mib)}",
            used,
            machine.memory_mib,
        ),
        _gauge(
            "Memory given out",
            f"{mib(given.memory_mib)} of {mib(machine.memory_mib)}",
            given.memory_mib,
            machine.memory_mib,
            warns=False,
        ),
        _gauge(
            "Disk in use",
            f"{mib(disk)} of {mib(machine.disk_mib)}",
            disk,
            machine.disk_mib,
        ),
        _gauge(
            "Disk given out",
            f"{mib(given.disk_mib)} of {mib(machine.disk_mib)}",
            given.disk_mib,
            machine.disk_mib,
            warns=False,
        ),
    )


def _gauge(name: str, text: str, used: float, of: float, *, warns: bool = True) -> Gauge:
    """What is given out is a promise: more than there is may be well."""
    share = used / of if of else 0.0
    return Gauge(name, text, min(1.0, share), full=warns and share >= FULL)


def _chips(asked: Asked, seen: Fleet) -> Sequence[Chip]:
    """Each turns its filter on, or off again."""
    found = [
        Chip(
            name.capitalize(),
            asked.path(state="" if asked.state == name else name),
            on=asked.state == name,
            count=sum(seen.phases.get(phase, 0) for phase in phases),
        )
        for name, phases in STATES.items()
    ]
    found += [
        Chip(
            f"Of {name}",
            asked.path(kind="" if asked.kind == name else name),
            on=asked.kind == name,
        )
        for name in KINDS
    ]
    for name in ("owner", "template", "isolation"):
        if value := getattr(asked, name):
            found.append(Chip(f"{name.capitalize()} {value}", asked.path(**{name: ""}), on=True))
    return found


def hit_rate(claimed: int, missed: int) -> str:
    asked = claimed + missed
    return f"{claimed / asked:.0%} of {asked} hit" if asked else "nobody asked"
