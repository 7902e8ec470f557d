from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from alcove.config import Settings
from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.agent_process import AgentProcess
from tests.core.world import World, open_world


@pytest.fixture
async def world(db: Database, clock: MovedClock) -> AsyncGenerator[World]:
    async with open_world(db, clock) as world:
        yield world


@pytest.fixture
async def inhabited(file_url: str, clock: MovedClock, tmp_path: Path) -> AsyncGenerator[World]:
    """A world whose first workspace has the real agent."""
    driver = AgentProcess(directory=tmp_path)
    db = Database(file_url)
    try:
        async with open_world(db, clock, driver=driver) as world:
            yield world
    finally:
        driver.kill()
        await db.aclose()


@pytest.fixture
async def recorded(file_url: str, clock: MovedClock, tmp_path: Path) -> AsyncGenerator[World]:
    """A world that must record, with a workspace `api` that has the real agent."""
    settings = Settings(driver="fake", data_dir=tmp_path / "data", recording="require")
    settings.server_dir.mkdir(parents=True)
    driver = AgentProcess(directory=tmp_path)
    db = Database(file_url)
    try:
        async with open_world(db, clock, driver=driver, settings=settings) as world:
            await world.revise(await world.create(name="api"), user="root")
            await world.settle()
            yield world
    finally:
        driver.kill()
        await db.aclose()
