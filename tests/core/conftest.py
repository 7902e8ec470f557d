from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

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
