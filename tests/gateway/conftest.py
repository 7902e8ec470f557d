from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.world import World, open_world
from tests.gateway.reached import Reached, reached


@pytest.fixture
async def gate(file_url: str, tmp_path: Path) -> AsyncGenerator[Reached]:
    """A gateway with nobody at it yet."""
    db = Database(file_url)
    try:
        async with reached(db, tmp_path) as found:
            yield found
    finally:
        await db.aclose()


@pytest.fixture
async def ssh(gate: Reached) -> Reached:
    """With ADA's key and her workspace `api`, running."""
    await gate.key()
    await gate.workspace("api")
    return gate


@pytest.fixture
async def world(file_url: str, clock: MovedClock) -> AsyncGenerator[World]:
    """For claims that need no network."""
    db = Database(file_url)
    try:
        async with open_world(db, clock) as found:
            yield found
    finally:
        await db.aclose()
