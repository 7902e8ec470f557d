"""The whole fleet at a glance, for whoever runs it: who runs what, how quickly things start,
what failed and why, what is given out of what there is.

Every number comes from rows and events that are there anyway, in a number of queries that does
not depend on how many workspaces there are. Who may read the audit may read this.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import anyio

from alcove.core import access, identity, pools, usages
from alcove.core.app import Core
from alcove.core.machine import Machine, look
from alcove.core.pages import PAGE_MAX
from alcove.core.pools import PoolState
from alcove.core.timers import DUTY as TIMERS
from alcove.drivers.base import Usage
from alcove.model.access import Actor, Permission
from alcove.model.event import EventKind
from alcove.model.workspace import Isolation, Kind, Phase, StartedFrom, WorkspaceId
from alcove.store import events, fleet
from alcove.store.events import EventFilters
from alcove.store.fleet import Duty, Group, Order, Row, RowFilters, Starts, VersionUse

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
STARTS_MAX: Final = 20_000
FAILURES_SHOWN: Final = 20
FAILURES_COUNTED: Final = 1000
SKIP_MAX: Final = 100_000
NAMED_MAX: Final = 200
QUEUED: Final = frozenset({Phase.PROVISIONING, Phase.STARTING, Phase.RESUMING})
HELD: Final = frozenset({Phase.RUNNING, Phase.PAUSED, Phase.PAUSING, Phase.UNREACHABLE}) | QUEUED
"""The phases in which CPU and memory are given out."""


@dataclass(frozen=True, slots=True)
class StartTimes:
    """How long first starts took that began within the last hour. Seconds."""

    isolation: Isolation
    started: StartedFrom
    many: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A step of a workspace that failed."""

    seq: int
    at: datetime
    workspace: WorkspaceId
    name: str
    owner: str
    verb: str
    error: str
    final: bool
    """It was not tried again."""


@dataclass(frozen=True, slots=True)
class Given:
    """What workspaces may use at most, together. Disk counts for those that are stopped, too."""

    cpu_millis: int = 0
    memory_mib: int = 0
    disk_mib: int = 0


@dataclass(frozen=True, slots=True)
class Fleet:
    at: datetime
    running: Mapping[Kind, int]
    queued: int
    """On their way to run."""
    queued_since: datetime | None
    """When the one that waits longest was asked for."""
    phases: Mapping[Phase, int]
    given: Given
    pooled: Given
    """Of that, what members of pools have."""
    machine: Machine | None
    """None: it cannot be looked at from here."""
    starts: Sequence[StartTimes]
    failures: Sequence[Failure]
    """Newest first, of the last day; at most `FAILURES_SHOWN`."""
    failed_last_hour: int
    """Counted up to `FAILURES_COUNTED`."""
    leaks: int | None
    """None: another server keeps the timers and counts them."""
    orphans_last_day: int
    pools: Sequence[PoolState] = field(default_factory=tuple[PoolState, ...])

    @property
    def live(self) -> int:
        return sum(self.phases.values())


async def look_at(core: Core, actor: Actor) -> Fleet:
    """The numbers that matter. Raises Denied."""
    access.require(actor, Permission.AUDIT_READ)
    now = core.clock()
    async with core.db.scan() as tx:
        groups = await fleet.groups(tx)
        starts = await fleet.starts(tx, since=now - HOUR, limit=STARTS_MAX)
        failed = EventFilters(kinds=[EventKind.WORKSPACE_FAILED], since=now - DAY)
        found = await events.newest(tx, filters=failed, limit=FAILURES_SHOWN)
        lately = EventFilters(kinds=[EventKind.WORKSPACE_FAILED], since=now - HOUR)
        many = await events.count_matching(tx, lately, most=FAILURES_COUNTED)
        removed = EventFilters(kinds=[EventKind.ORPHAN_REMOVED], since=now - DAY)
        orphans = await events.count_matching(tx, removed, most=FAILURES_COUNTED)
        duties = await fleet.duties(tx)
    names = await identity.names(core, {event.owner for event in found if event.owner})
    queue = [one for one in groups if one.phase in QUEUED and not one.pooled]
    return Fleet(
        at=now,
        running=_running(groups),
        queued=sum(one.many for one in queue),
        queued_since=min((one.oldest for one in queue), default=None),
        phases=_phases(groups),
        given=_given(groups),
        pooled=_given([one for one in groups if one.pooled]),
        machine=await anyio.to_thread.run_sync(look, core.settings.data_dir),
        starts=summed_up(starts),
        failures=[
            Failure(
                seq=event.seq,
                at=event.at,
                workspace=WorkspaceId(event.subject),
                name=str(event.detail.get("name", event.subject)),
                owner=names.get(event.owner or "", ""),
                verb=str(event.detail.get("verb", "")),
                error=str(event.detail.get("error", "")),
                final=event.detail.get("final") is True,
            )
            for event in found
        ],
        failed_last_hour=many,
        leaks=_leaks(core, duties),
        orphans_last_day=orphans,
        pools=await pools.find(core, actor),
    )


@dataclass(frozen=True, slots=True)
class Table:
    """A page of who runs what."""

    rows: Sequence[Row]
    usage: Mapping[WorkspaceId, Usage]
    """What each used, as far as that is known; never an error."""
    total: int
    skip: int


async def find(
    core: Core,
    actor: Actor,
    filters: RowFilters,
    *,
    order: Order = Order.NEWEST,
    skip: int = 0,
    limit: int = 100,
) -> Table:
    """Everybody's live workspaces. Raises Denied."""
    access.require(actor, Permission.AUDIT_READ)
    skip, limit = max(0, min(skip, SKIP_MAX)), max(1, min(limit, PAGE_MAX))
    async with core.db.scan() as tx:
        found = await fleet.rows(tx, filters, order=order, skip=skip, limit=limit)
        total = await fleet.count_rows(tx, filters)
    running = [row.workspace.id for row in found if row.workspace.phase is Phase.RUNNING]
    return Table(found, await usages.latest(core, running), total, skip)


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """Who has workspaces of a template."""

    versions: Mapping[int, VersionUse]
    workspaces: Sequence[tuple[WorkspaceId, str, str, int]]
    """Id, name, owner's name and version; at most `NAMED_MAX`."""


async def uses(
    core: Core, actor: Actor, template: str, *, but: int | None = None, limit: int = NAMED_MAX
) -> TemplateUse:
    """What is made of which version; `but`: leave those of this version out of the names.
    Raises Denied."""
    access.require(actor, Permission.AUDIT_READ)
    async with core.db.scan() as tx:
        versions = await fleet.uses(tx, template)
        named = await fleet.named(tx, template, but=but, limit=min(limit, NAMED_MAX))
    return TemplateUse(versions, named)


def summed_up(starts: Sequence[Starts]) -> Sequence[StartTimes]:
    """By tier and by how they began; pure."""
    return [
        StartTimes(
            one.isolation,
            one.started,
            len(one.waited_s),
            percentile(one.waited_s, 50),
            percentile(one.waited_s, 95),
        )
        for one in starts
    ]


def percentile(numbers: Sequence[float], share: float) -> float:
    """The smallest that is at least as large as `share` per cent of them (nearest rank)."""
    ordered = sorted(numbers)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def _running(groups: Sequence[Group]) -> Mapping[Kind, int]:
    return {
        kind: sum(
            one.many
            for one in groups
            if one.kind is kind and one.phase is Phase.RUNNING and not one.pooled
        )
        for kind in Kind
    }


def _phases(groups: Sequence[Group]) -> Mapping[Phase, int]:
    found: dict[Phase, int] = {}
    for one in groups:
        if not one.pooled:
            found[one.phase] = found.get(one.phase, 0) + one.many
    return {phase: found[phase] for phase in Phase if phase in found}


def _given(groups: Sequence[Group]) -> Given:
    held = [one for one in groups if one.phase in HELD]
    return Given(
        cpu_millis=sum(one.cpu_millis for one in held),
        memory_mib=sum(one.memory_mib for one in held),
        disk_mib=sum(one.disk_mib for one in groups),
    )


def _leaks(core: Core, duties: Sequence[Duty]) -> int | None:
    """The sweeper's count, if it sweeps here."""
    mine = core.condition.duties.get(TIMERS)
    now = core.clock()
    if not any(d.name == TIMERS and d.token == mine and d.expires_at > now for d in duties):
        return None
    found = core.metrics.registry.get_sample_value("alcove_leaked_runtimes")
    return None if found is None else int(found)
