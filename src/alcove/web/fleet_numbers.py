"""The fleet's numbers: what runs and waits, how starts went, how full pools and machine are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alcove.core.fleet import FAILURES_COUNTED, Fleet, StartTimes
from alcove.core.machine import Machine
from alcove.model.workspace import Kind
from alcove.web.fleet_rows import Asked
from alcove.web.text import cores, mib, seconds

FULL: Final = 0.9
"""From this share on a meter is a warning."""
_HOW: Final = {"cold": "cold", "pool": "from a pool", "snapshot": "from a snapshot"}


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
class Numbers:
    """The upper part, which asks for itself again as things happen."""

    now: datetime
    stats: Sequence[Stat]
    starts: Sequence[StartLine]
    failures: Sequence[FailureLine]
    pools: Sequence[PoolLine]
    gauges: Sequence[Gauge]


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
            f"{hour}+" if hour >= FAILURES_COUNTED else str(hour),
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


def hit_rate(claimed: int, missed: int) -> str:
    asked = claimed + missed
    return f"{claimed / asked:.0%} of {asked} hit" if asked else "nobody asked"
