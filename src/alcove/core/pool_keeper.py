"""Keeping pools at their size: members are begun and removed, one server at a time.

What is to be done is decided in `model/pool.py: plan`; this is the thin part that looks and
writes rows, which the reconciler makes true. A claim needs nothing of it: it works while nobody
keeps the pools, as long as there are members.
"""

import logging
import math
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import anyio

from alcove.core.app import Core
from alcove.core.bus import POOLS, RECONCILE, TIMERS
from alcove.core.catalog import Pool
from alcove.core.names import new_workspace_id
from alcove.core.pools import mib_of, pools_there
from alcove.drivers.base import Metered
from alcove.model.errors import AlcoveError, Unavailable
from alcove.model.pool import (
    DEMAND_MEMORY,
    KEEPER,
    Demand,
    Member,
    Plan,
    PoolMode,
    Want,
    plan,
    target,
)
from alcove.model.units import parse_size_mib
from alcove.model.workspace import (
    Desired,
    Isolation,
    Kind,
    LeaseToken,
    Lifetime,
    Phase,
    Workspace,
    WorkspaceId,
)
from alcove.store import leases, pools, workspaces

log = logging.getLogger(__name__)

DUTY: Final = "pools"
LEASE: Final = timedelta(seconds=30)
RENEW: Final = timedelta(seconds=10)
POLL_S: Final = 2.0
"""Another server's claims wake nobody here."""
BREATH_S: Final = 0.25
"""Between two looks: what was claimed meanwhile is refilled together."""
ASKED_MAX: Final = 20_000
OVERLAP: Final = timedelta(seconds=5)
"""Rows become visible later than they were stamped."""
MEASURE: Final = timedelta(seconds=30)
TIDY: Final = timedelta(hours=1)
TIDY_MAX: Final = 1000
FULL_ENOUGH: Final = 0.25
"""While claims come and a pool is fuller than this, it waits with the refill: those who came get
the machine first."""
assert LEASE > RENEW * 2, "a slow look must not cost the duty"

_FOR_EVER: Final = Lifetime(None, None, None, None)


@dataclass(slots=True)
class Keeper:
    """The holder's memory; all of it can be lost."""

    core: Core
    token: LeaseToken = field(default_factory=lambda: LeaseToken(str(uuid.uuid4())))
    demand: dict[tuple[str, Isolation], Demand] = field(
        default_factory=dict[tuple[str, Isolation], Demand]
    )
    _held_until: datetime | None = None
    _counted: dict[WorkspaceId, datetime] = field(default_factory=dict[WorkspaceId, datetime])
    _asked_until: datetime | None = None
    _failed_at: dict[WorkspaceId, datetime] = field(default_factory=dict[WorkspaceId, datetime])
    _allowed: dict[str, tuple[datetime, float]] = field(
        default_factory=dict[str, tuple[datetime, float]]
    )
    _ready: dict[str, int] = field(default_factory=dict[str, int])
    _next: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def __post_init__(self) -> None:
        self.core.condition.duties[DUTY] = self.token

    async def tick(self) -> bool:
        """Do what is due, if the duty is ours. Answers whether there is more to do soon."""
        core, now = self.core, self.core.clock()
        if not await self._ours(now):
            return False
        found = [pool for pool in await pools_there(core) if pool.spec is not None]
        specs = {pool.key: pool.spec for pool in found if pool.spec is not None}
        async with core.db.read() as tx:
            members = await pools.members(tx, specs=specs)
        await self._count_demand(found, now)
        members = self._dated(members, now)
        known = self.core.catalog.member_mib
        fresh = any(m.pool not in known for m in members if m.phase is Phase.RUNNING)
        if self._due("measure", MEASURE, now) or fresh:
            await self._measure(members)
        wants = [self._want(pool, members, now) for pool in found]
        ceiling = parse_size_mib(core.settings.pool_memory_max)
        todo = plan(wants, members, memory_mib=ceiling, now=now)
        await self._carry_out(todo, {pool.key: pool for pool in found}, now)
        self._show(found, wants, members)
        if self._due("tidy", TIDY, now):
            async with core.db.transaction() as tx:
                await pools.forget_removed(tx, before=now - TIDY, limit=TIDY_MAX)
        return bool(todo.why or todo.remove)

    async def give_up(self) -> None:
        """Let another server have the duty at once."""
        core = self.core
        async with core.db.transaction() as tx:
            await leases.release(tx, DUTY, token=self.token, now=core.clock())

    async def _ours(self, now: datetime) -> bool:
        if self._held_until is not None and now < self._held_until - LEASE + RENEW:
            return True
        async with self.core.db.transaction() as tx:
            ours = await leases.hold(tx, DUTY, token=self.token, now=now, lease=LEASE)
        self._held_until = now + LEASE if ours else None
        if not ours:
            self.demand.clear()
            self._counted.clear()
            self._asked_until = None
        return ours

    async def _count_demand(self, found: Sequence[Pool], now: datetime) -> None:
        """For adaptive pools: what was asked for since the last look, by any server."""
        if not any(pool.settings.mode is PoolMode.ADAPTIVE for pool in found):
            return
        after = now - DEMAND_MEMORY if self._asked_until is None else self._asked_until - OVERLAP
        async with self.core.db.read() as tx:
            asked = await pools.asked(tx, after=after, limit=ASKED_MAX)
        fresh: dict[tuple[str, Isolation], list[datetime]] = {}
        for one in asked:
            if one.id not in self._counted:
                fresh.setdefault((one.template, one.isolation), []).append(one.at)
        for of, times in fresh.items():
            self.demand[of] = self.demand.get(of, Demand()).add(times, now=now)
        self._counted = {one.id: one.at for one in asked if one.at >= now - 2 * OVERLAP}
        self._asked_until = now

    def _dated(self, members: Sequence[Member], now: datetime) -> Sequence[Member]:
        """With how long those that failed are known to have."""
        failed = {member.id for member in members if member.phase is Phase.FAILED}
        self._failed_at = {id: self._failed_at.get(id, now) for id in failed}
        return [
            replace(member, failed_for=now - self._failed_at[member.id])
            if member.id in failed
            else member
            for member in members
        ]

    def _want(self, pool: Pool, members: Sequence[Member], now: datetime) -> Want:
        size = target(
            pool.settings, self.demand.get((pool.template, pool.isolation), Demand()), now=now
        )
        ready = sum(m.pool == pool.key and m.phase is Phase.RUNNING for m in members)
        before, self._ready[pool.key] = self._ready.get(pool.key, 0), ready
        may_start = self._may_start(pool, now)
        if ready < before and ready > size * FULL_ENOUGH:
            may_start = 0
        return Want(pool.key, size, may_start, mib_of(self.core, pool.key))

    def _may_start(self, pool: Pool, now: datetime) -> int:
        """A bucket that fills with the refill rate and holds a second of it."""
        rate = pool.settings.refill_per_s
        full = max(1.0, rate)
        at, had = self._allowed.get(pool.key, (now, full))
        allowed = min(full, had + max(0.0, (now - at).total_seconds()) * rate)
        self._allowed[pool.key] = (now, allowed)
        return math.floor(allowed)

    async def _carry_out(self, todo: Plan, by_key: Mapping[str, Pool], now: datetime) -> None:
        core = self.core
        if not todo.start and not todo.remove:
            return
        async with core.db.transaction() as tx:
            for key, many in todo.start.items():
                for _ in range(many):
                    await workspaces.add(tx, new_member(by_key[key], now=now))
            if todo.remove:
                await pools.give_up(tx, todo.remove, now=now)
        for key, many in todo.start.items():
            at, had = self._allowed[key]
            self._allowed[key] = (at, had - many)
        core.bus.wake(RECONCILE)

    async def _measure(self, members: Sequence[Member]) -> None:
        """What a member of each pool uses, in the mean."""
        driver = self.core.driver
        ready = {m.id: m.pool for m in members if m.phase is Phase.RUNNING}
        if not isinstance(driver, Metered) or not ready:
            return
        try:
            used = await driver.usage(list(ready))
        except AlcoveError as error:
            log.warning("what pools use is not known: %s", error)
            return
        by_pool: dict[str, list[int]] = {}
        for id, usage in used.items():
            by_pool.setdefault(ready[id], []).append(usage.memory_mib)
        for pool, mib in by_pool.items():
            self.core.catalog.member_mib[pool] = max(1, math.ceil(sum(mib) / len(mib)))

    def _show(
        self, found: Sequence[Pool], wants: Sequence[Want], members: Sequence[Member]
    ) -> None:
        metrics = self.core.metrics
        metrics.pool_ready.clear()
        metrics.pool_wanted.clear()
        for pool, want in zip(found, wants, strict=True):
            of = {"template": pool.template, "isolation": pool.isolation.value}
            ready = sum(m.pool == pool.key and m.phase is Phase.RUNNING for m in members)
            metrics.pool_ready.labels(**of).set(ready)
            metrics.pool_wanted.labels(**of).set(want.size)

    def _due(self, name: str, every: timedelta, now: datetime) -> bool:
        if name in self._next and now < self._next[name]:
            return False
        self._next[name] = now + every
        return True


def new_member(pool: Pool, *, now: datetime) -> Workspace:
    """A row that the reconciler makes run, and that is nobody's."""
    assert pool.spec is not None
    id = new_workspace_id()
    return Workspace(
        id=id,
        name=id,
        owner=KEEPER,
        kind=Kind.AGENT,
        template=pool.template,
        template_version=pool.version,
        spec=pool.spec,
        parameters={},
        labels={},
        repo=None,
        branch=None,
        lifetime=_FOR_EVER,
        desired=Desired.RUNNING,
        phase=Phase.PROVISIONING,
        reason="",
        health="ok",
        handle=None,
        boot=None,
        retire_boot=None,
        generation=1,
        failures=0,
        created_at=now,
        started_at=None,
        last_used_at=now,
        expires_at=None,
        stop_at=None,
        announced_at=None,
        check_at=now,
        pool=pool.key,
    )


async def run(core: Core) -> None:
    """Keep the pools, or wait for the duty, until cancelled."""
    keeper = Keeper(core)
    with core.bus.subscribe(POOLS, TIMERS) as hints:
        async with _released(keeper):
            while True:
                more = False
                try:
                    more = await keeper.tick()
                except Unavailable as error:
                    log.warning("pools wait: %s", error)
                except Exception:
                    log.exception("bug in the keeper of pools")
                await anyio.sleep(BREATH_S)
                await hints.wait(BREATH_S if more else POLL_S)


@asynccontextmanager
async def _released(keeper: Keeper) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with anyio.move_on_after(2, shield=True):
            try:
                await keeper.give_up()
            except Unavailable:
                log.warning("the duty of the pools was not given back; its lease runs out")
