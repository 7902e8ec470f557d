"""Pools: started workspaces that nobody owns yet. Pure values and rules.

What a claim changes, what it cannot change, and how many a pool keeps is decided here alone.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from alcove.model.workspace import Isolation, NetworkMode, Phase, Spec, UserId, WorkspaceId

KEEPER: Final = UserId("pool")
"""Owns the members of all pools; cannot sign in."""
SIZE_MAX: Final = 1000
REFILL_MAX: Final = 100.0
REFILL: Final = 20.0
WINDOWS_MAX: Final = 20
EMPTY: Final = "the pool was empty"
"""Why a workspace started cold although its template has a pool that suits."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DEMAND_SLICE: Final = timedelta(seconds=10)
DEMAND_MEMORY: Final = timedelta(minutes=15)
HEADROOM: Final = 1.5
"""An adaptive pool keeps this many times the busiest slice of its memory."""
MEMBER_MIB: Final = 32
"""What a member is taken to use before it was measured."""


def pool_key(template: str, version: int, isolation: Isolation) -> str:
    """Names a pool: members of one key are alike, whoever started them."""
    return f"{template}@{version}/{isolation}"


def read_key(key: str) -> tuple[str, int, Isolation]:
    """Template, version and isolation of a key that `pool_key` made."""
    template, _, rest = key.rpartition("@")
    version, _, isolation = rest.partition("/")
    return template, int(version), Isolation(isolation)


def why_cold(member: Spec, wanted: Spec) -> str | None:
    """Why a member of this Spec cannot become the wanted workspace; None if it can.

    Everything else is given at the claim: environment, identity, clone, scripts and files by
    `/init`; host name, CPU, memory, process limit and network mode by the driver's `adopt`.
    """
    fixed = (
        ("image", member.image.key, wanted.image.key),
        ("isolation", member.isolation, wanted.isolation),
        ("root", member.root, wanted.root),
        ("user", member.user, wanted.user),
    )
    for name, has, wants in fixed:
        if has != wants:
            return f"another {name} than the pool's ({has})"
    if wanted.snapshot is not None:
        return "it begins from a snapshot"
    if wanted.resources.disk_mib != member.resources.disk_mib:
        return f"another disk size than the pool's ({member.resources.disk_mib} MiB)"
    if wanted.isolation is Isolation.GVISOR and wanted.network is not member.network:
        return f"another network mode than the pool's ({member.network}), under gvisor"
    if NetworkMode.ALLOWLIST in (member.network, wanted.network) and (
        wanted.network is not member.network
    ):
        return f"another network mode than the pool's ({member.network})"
    return None


class PoolMode(StrEnum):
    FIXED = "fixed"
    """Always the least size."""
    ADAPTIVE = "adaptive"
    """Between the least and the most, after the demand of the last quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week in which the least size is another one."""

    days: tuple[str, ...]
    """Of `DAYS`: those on which it begins."""
    begins: str
    """`HH:MM`, in the zone of the settings."""
    ends: str
    """`HH:MM`; not later than `begins` means on the next day."""
    min: int

    def holds(self, local: datetime) -> bool:
        today, yesterday = DAYS[local.weekday()], DAYS[(local.weekday() - 1) % 7]
        clock, begins, ends = f"{local:%H:%M}", self.begins, self.ends
        if begins < ends:
            return today in self.days and begins <= clock < ends
        late = today in self.days and clock >= begins
        return late or (yesterday in self.days and clock < ends)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many members a pool keeps; a most of 0 is no pool."""

    min: int = 0
    max: int = 0
    mode: PoolMode = PoolMode.FIXED
    schedule: tuple[Window, ...] = ()
    zone: str = "UTC"
    """Of the schedule's times."""
    refill_per_s: float = REFILL
    """Members begun in a second, at most."""

    @property
    def on(self) -> bool:
        return self.max > 0


NO_POOL: Final = PoolSettings()


def fixed_size(size: int) -> PoolSettings:
    return PoolSettings(min=size, max=size)


@dataclass(frozen=True, slots=True)
class Demand:
    """When workspaces were asked for that the pool could have served, oldest first."""

    asked: tuple[datetime, ...] = ()

    def add(self, more: Sequence[datetime], *, now: datetime) -> "Demand":
        """With these; what is too old to matter is forgotten."""
        return Demand(tuple(at for at in (*self.asked, *more) if now - at < DEMAND_MEMORY))

    def busiest(self, *, now: datetime) -> int:
        """The most that were asked for within one slice of time."""
        recent = sorted(at for at in self.asked if now - at < DEMAND_MEMORY)
        most = first = 0
        for last, at in enumerate(recent):
            while at - recent[first] >= DEMAND_SLICE:
                first += 1
            most = max(most, last - first + 1)
        return most


def target(settings: PoolSettings, demand: Demand, *, now: datetime) -> int:
    """How many members there are to be, now.

    Fixed: the least size, or that of the schedule's windows which hold now (the largest).
    Adaptive: at least that, and one and a half times as many as were asked for in the busiest
    ten seconds of the last quarter of an hour; so that the next burst like the last one finds
    its members, and a pool that nobody uses shrinks back.
    """
    least = settings.min
    if settings.schedule:
        local = now.astimezone(ZoneInfo(settings.zone))
        held = [window.min for window in settings.schedule if window.holds(local)]
        least = max(held, default=least)
    if settings.mode is PoolMode.ADAPTIVE:
        least = max(least, math.ceil(HEADROOM * demand.busiest(now=now)))
    return min(least, settings.max)


@dataclass(frozen=True, slots=True)
class Member:
    """One started workspace of a pool, as the keeper sees it."""

    id: WorkspaceId
    pool: str
    phase: Phase
    created_at: datetime
    reason: str = ""
    fits: bool = True
    """False: it was made for another Spec than its pool's of now."""
    failed_for: timedelta = timedelta()
    """How long it is known that it failed."""


@dataclass(frozen=True, slots=True)
class Want:
    """A pool that is to be: its size now, and how many may be begun at this moment."""

    pool: str
    size: int
    may_start: int
    mib: int = MEMBER_MIB
    """What one of its members uses."""


@dataclass(frozen=True, slots=True)
class Plan:
    start: Mapping[str, int] = field(default_factory=dict[str, int])
    remove: tuple[WorkspaceId, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict[str, str])
    """By pool: why it is not full, in a sentence."""


STARTING_MAX: Final = 8
"""Members being made at a time, of all pools: people's own cold starts go first."""
REMOVE_MAX: Final = 16
FAILED_FOR: Final = timedelta(seconds=30)
"""So long one that failed stays, and another is tried only beside some that run."""
STUCK_AFTER: Final = timedelta(seconds=15)
"""One that is being made for longer waits for something, an image perhaps, and takes no turn."""


def plan(
    wants: Sequence[Want], members: Sequence[Member], *, memory_mib: int, now: datetime
) -> Plan:
    """What to begin and what to remove, so that the pools come to what they are to be.

    What has failed, what belongs to no pool of now and what is over is removed. As long as a
    pool has no member that runs, one at a time is tried. The emptiest pool comes first.
    """
    by_pool: dict[str, list[Member]] = {want.pool: [] for want in wants}
    failed: dict[str, str] = {}
    gone: list[Member] = []
    for member in members:
        if member.pool not in by_pool or not member.fits:
            gone.append(member)
        elif member.phase is Phase.FAILED:
            failed[member.pool] = member.reason
            if member.failed_for >= FAILED_FOR:
                gone.append(member)
        else:
            by_pool[member.pool].append(member)
    for want in wants:
        there = by_pool[want.pool]
        # Those that are not ready yet are the cheapest to lose, then the youngest.
        there.sort(key=lambda m: (m.phase is Phase.RUNNING, -m.created_at.timestamp()))
        over = max(0, len(there) - want.size)
        gone += there[:over]
        del there[:over]
    used = sum(want.mib * len(by_pool[want.pool]) for want in wants)
    turns = STARTING_MAX - sum(
        member.phase is not Phase.RUNNING and now - member.created_at < STUCK_AFTER
        for there in by_pool.values()
        for member in there
    )
    start: dict[str, int] = {}
    why: dict[str, str] = {}
    for want in sorted(wants, key=lambda w: len(by_pool[w.pool]) / max(1, w.size)):
        there = by_pool[want.pool]
        room = max(0, (memory_mib - used) // max(1, want.mib))
        many = _begin(want, there, failed=want.pool in failed)
        begun = max(0, min(many, room, want.may_start, turns))
        if begun:
            start[want.pool] = begun
            turns -= begun
            used += begun * want.mib
        short = sum(m.phase is Phase.RUNNING for m in there) < want.size
        if short and room < want.size - len(there):
            why[want.pool] = f"the memory ceiling of all pools, {memory_mib} MiB, is reached"
        elif short:
            why[want.pool] = failed.get(want.pool) or _waits_for(there)
    return Plan(start, tuple(member.id for member in gone[:REMOVE_MAX]), why)


def _begin(want: Want, there: Sequence[Member], *, failed: bool) -> int:
    """How many the pool would begin at once, if it had the turns and the room."""
    missing = want.size - len(there)
    running = sum(member.phase is Phase.RUNNING for member in there)
    if running and not failed:
        return missing
    if failed and not running:
        return 0
    return min(missing, 1 - (len(there) - running))


def _waits_for(there: Sequence[Member]) -> str:
    waiting = [member for member in there if member.phase is not Phase.RUNNING]
    said = next((member.reason for member in waiting if member.reason), "")
    return said or (f"{len(waiting)} are starting" if waiting else "it is about to be refilled")


_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def read_days(text: str) -> tuple[str, ...]:
    """`mon-fri`, `sat,sun` or `daily` as days. Raises ValueError."""
    if text == "daily":
        return DAYS
    found: list[str] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{text!r} is not days; write mon-fri, sat,sun or daily")
        at, until = DAYS.index(first), DAYS.index(last or first)
        found += [DAYS[(at + n) % 7] for n in range((until - at) % 7 + 1)]
    return tuple(day for day in DAYS if day in found)


def write_days(days: Sequence[str]) -> str:
    """The other way round; days one by one unless they are all."""
    return "daily" if len(days) == len(DAYS) else ",".join(days)


def faults(settings: PoolSettings) -> list[tuple[str, str]]:
    """What contradicts itself: the field, and a sentence."""
    found: list[tuple[str, str]] = []
    if settings.min > settings.max:
        found.append(("min", f"min {settings.min} is over max {settings.max}"))
    for at, window in enumerate(settings.schedule):
        if window.min > settings.max:
            said = f"min {window.min} is over max {settings.max}"
            found.append((f"schedule[{at}].min", said))
        for name, text in (("from", window.begins), ("to", window.ends)):
            if not _CLOCK.fullmatch(text):
                found.append((f"schedule[{at}].{name}", f"{text!r} is not a time like 08:00"))
    if not _is_zone(settings.zone):
        said = f"{settings.zone!r} is not a time zone like UTC or Europe/Paris"
        found.append(("zone", said))
    return found


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
