"""The database handle: all or nothing, in order, and Unavailable when it is out of reach."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from alcove.model.errors import Unavailable
from alcove.model.workspace import LeaseToken
from alcove.store import leases, sqlite
from alcove.store.db import Database
from alcove.store.migrate import migrate
from alcove.store.schema import counters
from tests.conftest import T0
from tests.postgres import Postgres


async def _value(db: Database) -> int:
    async with db.read() as tx:
        return (await tx.execute(select(counters.c.value))).scalar_one()


async def _increment(db: Database) -> None:
    async with db.transaction() as tx:
        value = (await tx.execute(select(counters.c.value).with_for_update())).scalar_one()
        await anyio.lowlevel.checkpoint()
        await tx.execute(counters.update().values(value=value + 1))


async def test_read_and_write_transactions_do_not_lose_updates(db: Database) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(_increment, db)
    assert await _value(db) == 30


async def test_an_error_undoes_all_of_it(db: Database) -> None:
    async def fail() -> None:
        async with db.transaction() as tx:
            await tx.execute(counters.update().values(value=5))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await _value(db) == 0


async def test_an_error_does_not_say_what_the_statement_was_given(db: Database) -> None:
    with pytest.raises(DBAPIError) as failed:
        async with db.transaction() as tx:
            await tx.execute(text("SELECT nothing_of_that_name + :secret"), {"secret": "hunter2"})
    assert "hunter2" not in str(failed.value)


async def test_cancelling_a_caller_neither_cuts_nor_blocks(db: Database) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(_increment, db)
        await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    before = await _value(db)
    await _increment(db)
    assert await _value(db) == before + 1


async def test_a_read_cannot_write_on_sqlite(file_url: str) -> None:
    db = Database(file_url)
    with pytest.raises(Unavailable, match="readonly"):
        async with db.read() as tx:
            await tx.execute(counters.update().values(value=5))
    await db.aclose()


async def test_a_reader_does_not_wait_for_a_writer(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute(counters.update().values(value=5))
        with anyio.fail_after(5):
            assert await _value(db) == 0


async def test_a_scan_cannot_write_on_sqlite(file_url: str) -> None:
    db = Database(file_url)
    with pytest.raises(Unavailable, match="readonly"):
        async with db.scan() as tx:
            await tx.execute(counters.update().values(value=5))
    await db.aclose()


async def test_a_program_that_writes_to_the_file_is_waited_for(file_url: str) -> None:
    db, ran = Database(file_url), 0
    other = sqlite3.connect(db.url.database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as group:
        group.start_soon(_increment, db)
        with anyio.move_on_after(0.2):
            while True:
                await anyio.lowlevel.checkpoint()
                ran += 1
        other.execute("ROLLBACK")
    other.close()
    assert ran > 10  # the event loop went on meanwhile
    assert await _value(db) == 1
    await db.aclose()


async def test_what_was_written_is_copied_into_the_file_of_sqlite(
    file_url: str, tmp_path: Path
) -> None:
    db = Database(file_url)
    async with anyio.create_task_group() as group:
        group.start_soon(db.checkpoints)
        for _ in range(sqlite.CHECKPOINT_COMMITS):
            await _increment(db)
        with anyio.fail_after(20):
            while _value_without_log(db, tmp_path / "copy") == 0:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    await db.aclose()


def _value_without_log(db: Database, copy: Path) -> int:
    shutil.copy(db.url.database or "", copy)
    with closing(sqlite3.connect(copy)) as alone:
        return int(alone.execute("SELECT value FROM counters").fetchone()[0])


async def test_a_duty_belongs_to_one_until_its_lease_ends(db: Database) -> None:
    lease = timedelta(seconds=30)

    async def hold(name: str, *, after_s: int) -> bool:
        now = T0 + timedelta(seconds=after_s)
        async with db.transaction() as tx:
            return await leases.hold(tx, "timers", token=LeaseToken(name), now=now, lease=lease)

    assert await hold("a", after_s=0)
    assert not await hold("b", after_s=20)
    assert await hold("a", after_s=20)
    assert not await hold("b", after_s=40)
    assert await hold("b", after_s=60)
    assert not await hold("a", after_s=61)


@pytest.mark.postgres
async def test_a_restarted_postgres_is_unavailable_and_then_well_again(
    postgres_server: Postgres, server_url: str
) -> None:
    db = Database(server_url)
    await _increment(db)
    postgres_server.stop()
    try:
        with pytest.raises(Unavailable):
            await _increment(db)
        with pytest.raises(Unavailable):
            await _value(db)
    finally:
        postgres_server.start()
    with anyio.fail_after(10):
        while True:
            try:
                await _increment(db)
            except Unavailable:
                # One failure per connection that was in the pool, at most.
                continue
            break
    assert await _value(db) == 2
    await db.aclose()


@pytest.mark.postgres
async def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    db = Database(f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(Unavailable):
        await _value(db)
    await db.aclose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of 3 MiB."""
    at = tmp_path / "small"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(at)], check=True)
    yield at
    subprocess.run(["umount", str(at)], check=True)


@pytest.fixture
async def cramped(small_disk: Path) -> AsyncGenerator[Database]:
    db = Database(f"sqlite:///{small_disk}/alcove.db")
    await migrate(db)
    yield db
    await db.aclose()


@pytest.mark.root
async def test_sqlite_on_a_full_disk_is_unavailable_and_loses_nothing(
    cramped: Database, small_disk: Path
) -> None:
    await _increment(cramped)
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        while True:
            try:
                os.write(file.fileno(), b"x" * 4096)
            except OSError:
                break
    refused = 0
    for number in range(200):
        try:
            async with cramped.transaction() as tx:
                statement = text("INSERT INTO counters (name, value) VALUES (:name, 0)")
                await tx.execute(statement, {"name": f"{number}-{'x' * 25}"})
        except Unavailable:
            refused += 1
            break
    assert refused
    async with cramped.read() as tx:
        check = await tx.execute(text("PRAGMA integrity_check"))
        assert check.scalar_one() == "ok"
    filler.unlink()
    async with cramped.transaction() as tx:
        await tx.execute(counters.update().where(counters.c.name == "events").values(value=9))
    async with cramped.read() as tx:
        query = select(counters.c.value).where(counters.c.name == "events")
        assert (await tx.execute(query)).scalar_one() == 9
