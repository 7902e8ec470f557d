"""Sequence numbers have no gaps and follow the order of commits, on both databases."""

from dataclasses import replace
from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest

from alcove.model.event import EventKind, NewEvent
from alcove.store import events
from alcove.store.db import Database
from tests.conftest import T0

NEW = NewEvent(EventKind.WORKSPACE_CREATED, actor="u1", subject="ws-1", owner="u1")


async def _all(db: Database) -> list[int]:
    async with db.read() as tx:
        return [event.seq for event in await events.read(tx, after=0, limit=10_000)]


async def _append_and_fail(db: Database) -> None:
    async with db.transaction() as tx:
        await events.append(tx, T0, NEW)
        await anyio.lowlevel.checkpoint()
        raise ZeroDivisionError


async def test_numbers_begin_at_one_and_go_up_by_one(db: Database) -> None:
    for _ in range(3):
        async with db.transaction() as tx:
            await events.append(tx, T0, NEW, NEW)
    assert await _all(db) == [1, 2, 3, 4, 5, 6]


async def test_a_rolled_back_transaction_leaves_no_gap(db: Database) -> None:
    async with db.transaction() as tx:
        await events.append(tx, T0, NEW)
    with pytest.raises(ZeroDivisionError):
        await _append_and_fail(db)
    async with db.transaction() as tx:
        await events.append(tx, T0, NEW)
    assert await _all(db) == [1, 2]


async def test_who_saw_a_number_has_seen_all_before_it(db: Database) -> None:
    """Writers run side by side and some roll back; a reader never finds a smaller number later."""
    seen: list[int] = []
    done = anyio.Event()

    async def write(number: int) -> None:
        for turn in range(10):
            if (number + turn) % 3 == 0:
                with pytest.raises(ZeroDivisionError):
                    await _append_and_fail(db)
                continue
            async with db.transaction() as tx:
                await events.append(tx, T0, NEW)
                await anyio.lowlevel.checkpoint()

    async def read() -> None:
        after = 0
        while True:
            last = done.is_set()
            async with db.read() as tx:
                batch = await events.read(tx, after=after)
            for event in batch:
                assert event.seq == after + 1
                after = event.seq
                seen.append(after)
            if last and not batch:
                return
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as readers:
        readers.start_soon(read)
        async with anyio.create_task_group() as writers:
            for number in range(6):
                writers.start_soon(write, number)
        done.set()
    assert len(seen) == 40


async def test_readers_are_woken_by_the_commit_and_not_before(db: Database) -> None:
    woken: list[str] = []
    db.on_events = lambda: woken.append("woken")
    async with db.transaction() as tx:
        await events.append(tx, T0, NEW)
        assert woken == []
    assert woken == ["woken"]
    with pytest.raises(ZeroDivisionError):
        await _append_and_fail(db)
    assert len(woken) == 1


async def test_hostile_text_comes_back_as_it_was(db: Database) -> None:
    detail = {"command": "a\x00b\ud800", "quote": '"; DROP TABLE events; --'}
    async with db.transaction() as tx:
        await events.append(tx, T0, NewEvent(EventKind.EXEC_FINISHED, "u1", "ws-1", detail=detail))
    async with db.read() as tx:
        [event] = await events.read(tx, after=0)
    assert event.detail == detail


async def test_a_detail_that_is_too_long_is_cut_and_says_so(db: Database) -> None:
    long = NewEvent(EventKind.EXEC_FINISHED, "u1", "ws-1", detail={"text": "x" * 100_000})
    async with db.transaction() as tx:
        await events.append(tx, T0, long)
    async with db.read() as tx:
        [event] = await events.read(tx, after=0)
    assert list(event.detail) == ["truncated"]
    assert len(str(event.detail)) <= events.DETAIL_MAX


async def test_filters_must_all_match(db: Database) -> None:
    news = [
        NewEvent(EventKind.WORKSPACE_CREATED, actor="u1", subject="ws-1", owner="u1"),
        NewEvent(EventKind.EXEC_FINISHED, actor="u2", subject="ws-1", owner="u1"),
        NewEvent(EventKind.EXEC_FINISHED, actor="u2", subject="ws-2", owner="u2"),
    ]
    async with db.transaction() as tx:
        await events.append(tx, T0, *news)

    async def found(filters: events.EventFilters) -> list[int]:
        async with db.read() as tx:
            return [e.seq for e in await events.read(tx, after=0, filters=filters)]

    assert await found(events.EventFilters(subject="ws-1")) == [1, 2]
    assert await found(events.EventFilters(kinds=["exec.finished"], actor="u2")) == [2, 3]
    assert await found(events.EventFilters(subject="ws-1", kinds=["exec.finished"])) == [2]
    assert await found(events.EventFilters(readable_by="u1")) == [1, 2]
    assert await found(events.EventFilters(readable_by="u2")) == [2, 3]


async def test_the_newest_come_first_and_no_more_than_asked_for(db: Database) -> None:
    async with db.transaction() as tx:
        await events.append(tx, T0, NEW, NEW, NEW)
    async with db.read() as tx:
        assert [event.seq for event in await events.newest(tx, limit=2)] == [3, 2]


async def test_what_is_written_later_keeps_the_time_when_it_happened(db: Database) -> None:
    happened = T0 - timedelta(seconds=3)
    async with db.transaction() as tx:
        await events.append(tx, T0, replace(NEW, at=happened), NEW)
    async with db.read() as tx:
        assert [event.at for event in await events.read(tx, after=0)] == [happened, T0]
