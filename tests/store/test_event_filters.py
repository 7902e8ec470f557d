"""What an auditor asks the log for, on both databases: kinds, people, times, words."""

from datetime import timedelta

import pytest

from alcove.model.event import EventKind, NewEvent
from alcove.store import events
from alcove.store.db import Database
from alcove.store.events import EventFilters
from tests.conftest import T0

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def log(db: Database) -> Database:
    """Ten events, a minute apart: created, stopped, created, …"""
    kinds = (EventKind.WORKSPACE_CREATED, EventKind.USER_DISABLED)
    for minute in range(10):
        new = NewEvent(
            kinds[minute % 2],
            actor=f"u{minute % 2}",
            subject=f"ws-{minute}",
            owner=f"o{minute % 3}",
            detail={"name": f"100%_sure {minute}", "said": 'größer "quoted"'},
            address=f"192.0.2.{minute}",
        )
        async with db.transaction() as tx:
            await events.append(tx, T0 + minute * MINUTE, new)
    return db


async def _found(db: Database, **wanted: object) -> list[int]:
    async with db.read() as tx:
        found = await events.newest(tx, filters=EventFilters(**wanted))  # pyright: ignore[reportArgumentType]
    return [event.seq for event in found]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"kinds": ["workspace.*"]}, [9, 7, 5, 3, 1]),
        ({"kinds": ["user.disabled"], "actor": "u1"}, [10, 8, 6, 4, 2]),
        ({"kinds": ["user.*", "workspace.created"], "owner": "o0"}, [10, 7, 4, 1]),
        ({"kinds": ["workspace"]}, []),
        ({"subject": "ws-3"}, [4]),
        ({"since": T0 + 8 * MINUTE}, [10, 9]),
        ({"until": T0 + 2 * MINUTE}, [2, 1]),
        ({"since": T0 + 3 * MINUTE, "until": T0 + 5 * MINUTE}, [5, 4]),
        ({"since": T0 + 90 * MINUTE}, []),
        ({"text": "192.0.2.4"}, [5]),
        ({"text": "SURE 7"}, [8]),
        ({"text": "%"}, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"text": "_sure 2"}, [3]),
        ({"text": "0%s"}, []),
        ({"text": "größer"}, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"text": '"quoted"', "subject": "ws-0"}, [1]),
    ],
)
async def test_a_filter_finds_what_it_says(
    log: Database, wanted: dict[str, object], found: list[int]
) -> None:
    assert await _found(log, **wanted) == found


async def test_a_page_goes_on_below_the_last_one(log: Database) -> None:
    async with log.read() as tx:
        first = await events.newest(tx, limit=4)
        second = await events.newest(tx, limit=4, before=first[-1].seq, above=4)
    assert [event.seq for event in second] == [6, 5]


async def test_counting_ends_at_what_is_asked(log: Database) -> None:
    async with log.read() as tx:
        assert await events.count_matching(tx, EventFilters(kinds=["workspace.*"]), most=3) == 3
        assert await events.count_matching(tx, EventFilters(kinds=["user.*"]), most=99) == 5


async def test_what_was_written_late_is_found_by_when_it_happened(log: Database) -> None:
    late = NewEvent(EventKind.EXEC_FINISHED, "u1", "ws-1", at=T0 + 2 * MINUTE)
    async with log.transaction() as tx:
        await events.append(tx, T0 + 10 * MINUTE, late)
    assert await _found(log, since=T0 + 2 * MINUTE, until=T0 + 3 * MINUTE) == [11, 3]
