"""The migrations make the schema that the code speaks of, on both databases."""

from collections.abc import AsyncGenerator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from alcove.store.db import Database
from alcove.store.migrate import downgrade, migrate
from alcove.store.schema import metadata


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    """Migrated here and now, from nothing."""
    db = Database(database_url)
    await migrate(db)
    yield db
    await db.aclose()


async def test_the_migrated_schema_is_the_one_in_the_code(db: Database) -> None:
    async with db.transaction() as tx:
        assert await tx.run_sync(_differences) == []


async def test_migrating_twice_changes_nothing(db: Database) -> None:
    await migrate(db)
    async with db.transaction() as tx:
        assert await tx.run_sync(_differences) == []


@pytest.mark.parametrize("revision", ["base"])
async def test_down_and_up_again(db: Database, revision: str) -> None:
    await downgrade(db, revision=revision)
    async with db.transaction() as tx:
        left = await tx.run_sync(lambda c: inspect(c).get_table_names())
    assert left == ["alembic_version"]
    await migrate(db)
    async with db.transaction() as tx:
        assert await tx.run_sync(_differences) == []
