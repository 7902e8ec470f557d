"""Fixtures that every test may use: a clock to move, and a database of each kind."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio._backends._asyncio as asyncio_backend
import pytest
from hypothesis import HealthCheck, settings

from alcove.store.db import Database
from alcove.store.migrate import migrate
from tests.postgres import Postgres

T0 = datetime(2026, 1, 1, tzinfo=UTC)

# A busy machine and a first run (hypothesis then builds its tables of characters) are slow, not
# wrong.
settings.register_profile("alcove", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("alcove")


def _fail_for_real_faults_only() -> None:
    """anyio's Unix sockets on asyncio's own loop may set a future that was cancelled in the same
    round: nothing is lost by it, and uvloop, which the server uses, only logs it. anyio's runner
    would fail whichever test runs at that moment."""
    runner: Any = asyncio_backend.TestRunner
    handle = runner._exception_handler

    def handle_but_that(self: Any, loop: Any, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), asyncio.InvalidStateError):
            handle(self, loop, context)

    runner._exception_handler = handle_but_that


_fail_for_real_faults_only()


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


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "alcove.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_url(postgres_server: Postgres) -> str:
    """A PostgreSQL database with the schema, to be copied."""
    url = postgres_server.database()
    _migrate(url)
    return url


def _migrate(url: str) -> None:
    # In a thread of its own, since the test's event loop may be running already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(anyio.run, _migrated, url).result()


async def _migrated(url: str) -> None:
    db = Database(url)
    await migrate(db)
    await db.aclose()


@pytest.fixture
def file_url(migrated_file: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    shutil.copy(migrated_file, tmp_path / "alcove.db")
    return f"sqlite:///{tmp_path}/alcove.db"


@pytest.fixture
def server_url(postgres_server: Postgres, migrated_url: str) -> Generator[str]:
    """A migrated PostgreSQL database of the test's own."""
    url = postgres_server.database(like=migrated_url)
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def db(request: pytest.FixtureRequest) -> AsyncGenerator[Database]:
    """A database of each kind, migrated."""
    kind = "file_url" if request.param == "sqlite" else "server_url"
    db = Database(str(request.getfixturevalue(kind)))
    yield db
    await db.aclose()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
