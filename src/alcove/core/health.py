"""How this server fares, for whoever runs it: database, driver, duties, loops, settings.

What needs root to be known is not here: that is `alcove doctor`, on the server's machine.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from importlib.metadata import version
from typing import Final, cast

import anyio

from alcove.config import Settings
from alcove.core import access
from alcove.core.app import Core
from alcove.core.condition import LoopState, Trouble
from alcove.core.machine import Machine, look
from alcove.drivers.base import Capabilities, Promise
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError
from alcove.model.workspace import Isolation
from alcove.store import about, fleet

CHECK_S: Final = 3.0
HIDDEN: Final = "(set, not shown)"
_SECRET: Final = re.compile(r"secret|password|passphrase|token|private", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")
_PARAMETER: Final = re.compile(r"(?i)((?:password|secret|token|key)=)[^&\s]*")


@dataclass(frozen=True, slots=True)
class DatabaseHealth:
    kind: str
    """`sqlite` or `postgresql`."""
    latency_ms: float
    """Of one small query, from here."""
    size_bytes: int
    revision: str
    """The last migration that was applied."""
    problem: str = ""
    """Why it cannot be asked; the rest is then empty."""


@dataclass(frozen=True, slots=True)
class DutyState:
    """What one server at a time does."""

    name: str
    here: bool
    """This server has it."""
    expires_at: datetime
    held: bool
    """Somebody has it."""


@dataclass(frozen=True, slots=True)
class Tier:
    """An isolation and what it promises here, or why it is absent and what to do about it."""

    isolation: Isolation
    runtime: str
    promise: Promise | None
    absent: str


@dataclass(frozen=True, slots=True)
class DriverHealth:
    name: str
    tiers: Sequence[Tier]
    lacks: Sequence[tuple[str, str]]
    """What else it cannot do, and why."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    value: str
    changed: bool
    """It is not the default."""


@dataclass(frozen=True, slots=True)
class Health:
    at: datetime
    version: str
    began: datetime | None
    url: str
    database: DatabaseHealth
    driver: DriverHealth
    machine: Machine | None
    duties: Sequence[DutyState]
    loops: Sequence[LoopState]
    journal_waiting: int
    """Events that wait to be written."""
    troubles: Sequence[Trouble]
    settings: Sequence[Setting]


async def examine(core: Core, actor: Actor) -> Health:
    """All of it; what cannot be reached says so in its place. Raises Denied."""
    access.require(actor, Permission.SERVER_OPERATE)
    database, duties = await _database(core)
    condition = core.condition
    return Health(
        at=core.clock(),
        version=version("alcove"),
        began=condition.began,
        url=core.settings.url,
        database=database,
        driver=await _driver(core),
        machine=await anyio.to_thread.run_sync(look, core.settings.data_dir),
        duties=duties,
        loops=[condition.loops[name] for name in sorted(condition.loops)],
        journal_waiting=core.journal.waiting,
        troubles=condition.troubles,
        settings=shown(core.settings),
    )


def shown(settings: Settings) -> Sequence[Setting]:
    """The settings in effect, without what gives access to anything."""
    default = Settings()
    return [
        Setting(
            field.name,
            _safe(field.name, getattr(settings, field.name)),
            changed=getattr(settings, field.name) != getattr(default, field.name),
        )
        for field in fields(Settings)
    ]


def _safe(name: str, value: object) -> str:
    parts = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    text = ", ".join(str(part) for part in parts)
    if text and _SECRET.search(name) and not isinstance(value, int):
        return HIDDEN
    return _PARAMETER.sub(r"\1…", _USERINFO.sub("…@", text))


async def _database(core: Core) -> tuple[DatabaseHealth, Sequence[DutyState]]:
    kind = core.db.url.get_backend_name()
    now = core.clock()
    duties: Sequence[fleet.Duty] = ()
    found = DatabaseHealth(kind, 0, 0, "", f"no answer within {CHECK_S:.0f} s")
    with anyio.move_on_after(CHECK_S):
        try:
            async with core.db.read() as tx:
                began = time.perf_counter()
                revision = await about.revision(tx)
                took = (time.perf_counter() - began) * 1000
                found = DatabaseHealth(kind, took, await about.size_bytes(tx), revision)
                duties = await fleet.duties(tx)
        except AlcoveError as error:
            found = DatabaseHealth(kind, 0, 0, "", str(error))
    mine = core.condition.duties
    return found, [
        DutyState(
            name=one.name,
            here=mine.get(one.name) == one.token and one.expires_at > now,
            expires_at=one.expires_at,
            held=one.expires_at > now,
        )
        for one in duties
    ]


async def _driver(core: Core) -> DriverHealth:
    name = core.driver.name
    problem = f"no answer within {CHECK_S:.0f} s"
    with anyio.move_on_after(CHECK_S):
        try:
            can = await core.capabilities()
        except AlcoveError as error:
            problem = str(error)
        else:
            tiers = [_tier(can, isolation) for isolation in Isolation]
            known = {isolation.value for isolation in Isolation}
            lacks = [(what, why) for what, why in sorted(can.absent.items()) if what not in known]
            return DriverHealth(name, tiers, lacks)
    return DriverHealth(name, (), (), problem)


def _tier(can: Capabilities, isolation: Isolation) -> Tier:
    if isolation in can.isolation:
        runtime, promise = can.runtimes.get(isolation, ""), can.promises.get(isolation)
        return Tier(isolation, runtime, promise, "")
    why = can.absent.get(isolation.value, "this driver does not have it")
    return Tier(isolation, "", None, why)
