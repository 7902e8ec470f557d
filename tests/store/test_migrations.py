"""The migrations make the schema that the code speaks of, on both databases."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from alcove.model.access import Role
from alcove.model.exec_output import NOTHING, ExecOutput, ExecOutputId, Kept
from alcove.model.identity import User
from alcove.model.pool import KEEPER
from alcove.model.workspace import Desired, StartedFrom, UserId, WorkspaceId
from alcove.store import exec_outputs, users, workspaces
from alcove.store.db import Database, Tx
from alcove.store.migrate import downgrade, migrate
from alcove.store.schema import metadata
from alcove.store.workspaces import WorkspaceFilters
from tests.conftest import T0
from tests.model.test_lifecycle import WORKSPACE

OUTPUT = ExecOutput(
    id=ExecOutputId("out-1"),
    workspace=WorkspaceId("ws-1"),
    owner=UserId("u1"),
    actor=UserId("u1"),
    command="printf '…'",
    exit_code=0,
    duration_ms=1.25,
    stdout=Kept(b"\x00\xff\x1b[31m", 6_000_000_000),
    stderr=NOTHING,
    at=T0,
    expires_at=None,
)


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


async def test_rows_live_through_the_way_down_and_up(db: Database) -> None:
    rows = 500
    async with db.transaction() as tx:
        await _fill(tx, rows)
    await downgrade(db, revision="0001")
    async with db.transaction() as tx:
        kept = await tx.execute(text("SELECT id, desired FROM workspaces ORDER BY id"))
        wanted = {row.id: row.desired for row in kept}
    assert len(wanted) == rows + 1
    assert wanted.pop("ws-member") == "deleted", "nobody can claim a member any more"
    assert set(wanted.values()) == {"running"}
    await migrate(db)
    async with db.read() as tx:
        found = await workspaces.find(tx, WorkspaceFilters(), after=None, limit=rows + 2)
    assert [w.started for w in found if w.id == "ws-7"] == [StartedFrom.COLD]
    assert len(found) >= rows


async def _fill(tx: Tx, rows: int) -> None:
    await users.add(
        tx, User(UserId("u1"), "ada", "Ada", "", Role.MEMBER, False, False, T0), password_hash=None
    )
    for number in range(rows):
        made = replace(
            WORKSPACE,
            id=WorkspaceId(f"ws-{number}"),
            name=f"w{number}",
            started_at=T0,
            desired=Desired.RUNNING,
        )
        await workspaces.add(tx, made)
    member = replace(WORKSPACE, id=WorkspaceId("ws-member"), owner=KEEPER, pool="t@1/container")
    await workspaces.add(tx, member)


async def test_the_output_of_commands_goes_down_and_the_rest_stays(db: Database) -> None:
    async with db.transaction() as tx:
        await _fill(tx, 3)
        await exec_outputs.add(tx, [(OUTPUT, "text")])
    async with db.read() as tx:
        assert await exec_outputs.get(tx, OUTPUT.id) == OUTPUT
    await downgrade(db, revision="0003")
    async with db.transaction() as tx:
        assert "exec_outputs" not in await tx.run_sync(lambda c: inspect(c).get_table_names())
    await migrate(db)
    async with db.read() as tx:
        assert await exec_outputs.get(tx, OUTPUT.id) is None
        assert len(await workspaces.find(tx, WorkspaceFilters(), after=None, limit=9)) == 3
