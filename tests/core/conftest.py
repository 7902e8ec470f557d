from collections.abc import AsyncGenerator

import pytest

from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.world import World, open_world


@pytest.fixture
async def world(db: Database, clock: MovedClock) -> AsyncGenerator[World]:
    async with open_world(db, clock) as world:
        yield world
