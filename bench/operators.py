"""What the operators' pages cost with many workspaces: the fleet and the log, on SQLite, alone."""

import tempfile
import time
from pathlib import Path
from typing import Final

import anyio

from alcove.config import Settings
from alcove.core import events, fleet
from alcove.core.app import Core
from alcove.drivers.fake import FakeDriver
from alcove.store.db import Database
from alcove.store.events import EventFilters
from alcove.store.fleet import RowFilters
from alcove.store.migrate import migrate
from bench.figures import Figure
from tests.conftest import MovedClock
from tests.core.world import ROOT, SECRET, World, populate

WORKSPACES: Final = 2000
TIMES: Final = 30
GOAL_MS: Final = 50.0


def measure() -> list[Figure]:
    """Looking at the fleet, a page of its table, and a page of the log."""
    return anyio.run(_measure)


async def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="alcove-bench-") as folder:
        db = Database(f"sqlite:///{Path(folder)}/alcove.db")
        await migrate(db)
        await populate(db)
        driver, clock = FakeDriver(), MovedClock()
        settings = Settings(driver="fake", workspaces_max_per_user=WORKSPACES + 1)
        core = Core.build(settings=settings, driver=driver, secret=SECRET, db=db, clock=clock)
        world = World(core, clock, driver)
        for number in range(WORKSPACES):
            await world.create(ROOT, name=f"w{number}")
        await world.settle()
        looks: list[float] = []
        rows: list[float] = []
        logs: list[float] = []
        for _ in range(TIMES):
            began = time.perf_counter()
            await fleet.look_at(core, ROOT)
            looks.append(_ms(began))
            began = time.perf_counter()
            await fleet.find(core, ROOT, RowFilters())
            rows.append(_ms(began))
            began = time.perf_counter()
            await events.page(core, ROOT, filters=EventFilters(kinds=["workspace.*"]), limit=100)
            logs.append(_ms(began))
        await core.aclose()
    return [
        _figure(f"the fleet's numbers, {WORKSPACES} workspaces", looks),
        _figure("a page of 100 of its table", rows),
        _figure("a page of 100 of the log", logs),
    ]


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _figure(name: str, took: list[float]) -> Figure:
    p95 = fleet.percentile(took, 95)
    return Figure(name, "ms", took, f"p95 ≤ {GOAL_MS:.0f}", p95 <= GOAL_MS)
