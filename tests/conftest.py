"""Fixtures that every test may use: a clock to move, and a database of each kind."""

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alcove.store.db import Database
from alcove.store.migrate import migrate
from tests.postgres import Postgres

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class MovedClock:
    """Stands still until a test moves it."""

    now: datetime = T0

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Postgres]:
    """One per run (and per xdist worker)."""
    server = Postgres.start_new()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Generator[str]:
    """A fresh database, empty."""
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database of each kind is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/alcove.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    """A database of each kind, migrated."""
    db = Database(database_url)
    await migrate(db)
    yield db
    await db.aclose()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
