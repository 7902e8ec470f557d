"""The verbs of pools: look at them, and set how many they keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from alcove.core import access, identity
from alcove.core.app import Core
from alcove.core.bus import POOLS
from alcove.core.catalog import Pool
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, NotFound
from alcove.model.event import EventKind, NewEvent
from alcove.model.pool import (
    DEMAND_MEMORY,
    MEMBER_MIB,
    Demand,
    Member,
    PoolSettings,
    Want,
    faults,
    plan,
    target,
)
from alcove.model.units import parse_size_mib
from alcove.model.workspace import Isolation, Phase
from alcove.store import events, pools, templates
from alcove.store.pools import Tally

HOUR: Final = timedelta(hours=1)
ASKED_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool as it is: what it is to have, what it has, and why it has less."""

    pool: Pool
    wanted: int
    ready: int
    starting: int
    failed: int
    draining: int
    """Members of other versions of the template, and those that are over."""
    why: str
    """Why it is not full; empty when it is."""
    last_hour: Tally


async def find(core: Core, actor: Actor) -> Sequence[PoolState]:
    """All that are on, or have a setting, by template."""
    access.require(actor, Permission.POOL_READ)
    return await _states(core)


async def get(core: Core, actor: Actor, template: str, isolation: Isolation | None) -> PoolState:
    """The pool of a template: its own, or the one of an isolation. Raises NotFound."""
    access.require(actor, Permission.POOL_READ)
    return _one(await _states(core, template), template, isolation)


async def put(
    core: Core,
    actor: Actor,
    template: str,
    isolation: Isolation | None,
    settings: PoolSettings,
) -> PoolState:
    """Set what a pool keeps, over what the template says. Raises Invalid, NotFound, Denied."""
    access.require(actor, Permission.POOL_WRITE)
    if found := faults(settings):
        errors = [FieldError(name, said) for name, said in found]
        raise Invalid(f"{errors[0].field}: {errors[0].message}", errors)
    tier = await _tier(core, template, isolation)
    now = core.clock()
    told = {
        "isolation": tier,
        "min": settings.min,
        "max": settings.max,
        "mode": settings.mode,
        "windows": len(settings.schedule),
        "refill_per_second": settings.refill_per_s,
    }
    async with core.db.transaction() as tx:
        await pools.put_settings(tx, template, tier, settings, by=actor.id, now=now)
        await events.append(tx, now, _event(EventKind.POOL_CHANGED, actor, template, told))
    return await _changed(core, template, tier)


async def reset(core: Core, actor: Actor, template: str, isolation: Isolation | None) -> PoolState:
    """Let the template decide again."""
    access.require(actor, Permission.POOL_WRITE)
    tier = await _tier(core, template, isolation)
    now = core.clock()
    async with core.db.transaction() as tx:
        await pools.drop_settings(tx, template, tier)
        told = {"isolation": tier, "reset": True}
        await events.append(tx, now, _event(EventKind.POOL_CHANGED, actor, template, told))
    return await _changed(core, template, tier)


async def pools_there(core: Core, template: str | None = None) -> list[Pool]:
    """Those of the promoted versions of all templates, or of one."""
    capabilities = await core.capabilities()
    async with core.db.read() as tx:
        names = None if template is None else [template]
        active = await templates.active_versions(tx, names)
        overrides = await pools.settings(tx, template)
    return [
        pool
        for version in active
        for pool in core.catalog.pools_of(
            version, overrides, settings=core.settings, capabilities=capabilities
        )
        if template is not None or pool.settings.on or not pool.own
    ]


def mib_of(core: Core, pool: str) -> int:
    """What one member of the pool is taken to use."""
    return core.catalog.member_mib.get(pool, MEMBER_MIB)


async def _states(core: Core, template: str | None = None) -> list[PoolState]:
    now = core.clock()
    found = await pools_there(core, template)
    specs = {pool.key: pool.spec for pool in found if pool.spec is not None}
    async with core.db.read() as tx:
        members = await pools.members(tx, specs=specs)
        asked = await pools.asked(tx, after=now - DEMAND_MEMORY, limit=ASKED_MAX)
        tallies = await pools.tallies(tx, since=now - HOUR)
    demand: dict[tuple[str, Isolation], Demand] = {}
    for one in asked:
        of = (one.template, one.isolation)
        demand[of] = Demand((*demand.get(of, Demand()).asked, one.at))
    wants: dict[str, Want] = {}
    for pool in found:
        sought = demand.get((pool.template, pool.isolation), Demand())
        size = target(pool.settings, sought, now=now)
        wants[pool.key] = Want(pool.key, size, 0, mib_of(core, pool.key))
    ceiling = parse_size_mib(core.settings.pool_memory_max)
    why = plan(list(wants.values()), members, memory_mib=ceiling, now=now).why
    none = Tally()
    return [
        _state(
            pool,
            members,
            wanted=wants[pool.key].size if pool.spec is not None else 0,
            why=pool.problem or why.get(pool.key, ""),
            last_hour=tallies.get((pool.template, pool.isolation), none),
        )
        for pool in found
    ]


def _state(
    pool: Pool, members: Sequence[Member], *, wanted: int, why: str, last_hour: Tally
) -> PoolState:
    of_it = [m for m in members if m.pool == pool.key and m.fits]
    others = [
        m
        for m in members
        if (m.pool != pool.key or not m.fits)
        and m.pool.startswith(f"{pool.template}@")
        and m.pool.endswith(f"/{pool.isolation}")
    ]
    ready = sum(m.phase is Phase.RUNNING for m in of_it)
    failed = sum(m.phase is Phase.FAILED for m in of_it)
    return PoolState(
        pool=pool,
        wanted=wanted,
        ready=ready,
        starting=len(of_it) - ready - failed,
        failed=failed,
        draining=len(others),
        why=why,
        last_hour=last_hour,
    )


def _one(found: Sequence[PoolState], template: str, isolation: Isolation | None) -> PoolState:
    for state in found:
        if isolation is None or state.pool.isolation is isolation:
            return state
    tier = "" if isolation is None else f" for isolation {isolation}"
    raise NotFound(f"there is no pool of template {template[:64]!r}{tier}")


async def _tier(core: Core, template: str, isolation: Isolation | None) -> Isolation:
    """The pool's isolation; the template's own unless one is named. Raises NotFound."""
    found = await pools_there(core, template)
    if not found:
        raise NotFound(f"there is no template {template[:64]!r} with a promoted version")
    return found[0].isolation if isolation is None else isolation


async def _changed(core: Core, template: str, tier: Isolation) -> PoolState:
    core.catalog.forget(template)
    core.bus.wake(POOLS)
    return _one(await _states(core, template), template, tier)


def _event(kind: EventKind, actor: Actor, template: str, detail: Mapping[str, object]) -> NewEvent:
    said = {"template": template, **detail}
    return identity.event(actor, kind, subject=f"pool:{template}"[:64], owner=None, detail=said)
