from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from alcove.config import Settings
from alcove.store.db import Database
from alcove.store.migrate import migrate
from tests.api.served import Served, copied, served
from tests.conftest import MovedClock


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database, migrated once per run."""
    path = tmp_path_factory.mktemp("migrated") / "alcove.db"

    async def make() -> None:
        db = Database(f"sqlite:///{path}")
        await migrate(db)
        # Closing the last connection moves the write-ahead log into the file.
        await db.aclose()

    anyio.run(make)
    return path


@pytest.fixture
async def sqlite(migrated: Path, tmp_path: Path) -> AsyncGenerator[Database]:
    """For claims that are not about the database."""
    db = Database(copied(migrated, tmp_path / "copy.db"))
    yield db
    await db.aclose()


@pytest.fixture
async def api(sqlite: Database, clock: MovedClock, tmp_path: Path) -> AsyncGenerator[Served]:
    settings = Settings(driver="fake", data_dir=tmp_path)
    settings.server_dir.mkdir()
    async with served(sqlite, clock, settings=settings) as found:
        yield found


@pytest.fixture
async def api_on(db: Database, clock: MovedClock) -> AsyncGenerator[Served]:
    """On each kind of database."""
    async with served(db, clock) as found:
        yield found
