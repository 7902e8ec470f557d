"""What is written a moment later is written all the same."""

import anyio
import pytest

from alcove.core import journal
from alcove.core.bus import Bus
from alcove.model.errors import Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.workspace import Phase
from alcove.store import duties
from alcove.store.db import Database
from tests.core.world import ADA, World


def _event(number: int) -> NewEvent:
    return NewEvent(EventKind.EXEC_FINISHED, ADA.id, "ws-1", detail={"number": number})


async def test_an_orderly_stop_writes_all_that_waits(world: World) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(world.core.journal.run, world.core)
        for number in range(450):
            await world.core.journal.record(_event(number))
        group.cancel_scope.cancel()
    told = [event.detail["number"] for event in await world.events("ws-1")]
    assert told == list(range(450))


async def test_two_that_write_at_once_write_each_event_once(world: World) -> None:
    for number in range(300):
        await world.core.journal.record(_event(number))
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(world.core.journal.flush, world.core)
    told = [event.detail["number"] for event in await world.events("ws-1")]
    assert told == list(range(300))


async def test_when_the_database_is_away_events_wait_in_their_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Database) -> None:
        raise Unavailable("scripted")

    for number in range(3):
        await world.core.journal.record(_event(number))
    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", away)
        with pytest.raises(Unavailable):
            await world.core.journal.flush(world.core)
    assert world.core.journal.waiting == 3
    await world.core.journal.flush(world.core)
    assert [e.detail["number"] for e in await world.events("ws-1")] == [0, 1, 2]


async def test_a_full_queue_makes_callers_wait_and_drops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "WAITING_MAX", 2)
    for number in range(2):
        await world.core.journal.record(_event(number))
    async with anyio.create_task_group() as group:
        group.start_soon(world.core.journal.record, _event(2))
        await anyio.wait_all_tasks_blocked()
        assert world.core.journal.waiting == 2
        await world.core.journal.flush(world.core)
    await world.core.journal.flush(world.core)
    assert len(await world.events("ws-1")) == 3


async def test_the_last_use_never_moves_back(world: World) -> None:
    made = await world.create()
    later = world.clock()
    world.clock.move(hours=-1)
    world.core.journal.used(made.id, world.clock())
    await world.core.journal.flush(world.core)
    assert (await world.row(made.id)).last_used_at == later


async def test_being_used_takes_an_announcement_back(world: World) -> None:
    made = await world.create()
    async with world.core.db.transaction() as tx:
        assert await duties.announce(tx, made, now=world.clock())
    world.clock.move(minutes=5)
    world.core.journal.used(made.id, world.clock())
    await world.core.journal.flush(world.core)
    assert (await world.row(made.id)).announced_at is None


async def test_a_wake_up_between_two_waits_is_not_lost() -> None:
    bus = Bus()
    with bus.subscribe("topic") as subscription:
        bus.wake("topic")
        assert await subscription.wait(0)
        assert not await subscription.wait(0)


async def test_too_many_listeners_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alcove.core.bus.SUBSCRIPTIONS_MAX", 1)
    bus = Bus()
    with bus.subscribe("a"), pytest.raises(Unavailable), bus.subscribe("b"):
        pass
    with bus.subscribe("a"):
        pass


async def test_metrics_count_what_happened(world: World) -> None:
    world.driver.fail_next = 1
    await world.create()
    await world.run(times=2)
    text = world.core.metrics.render({Phase.RUNNING: 1}).decode()
    assert 'alcove_workspaces{phase="running"} 1.0' in text
    assert 'alcove_workspaces{phase="failed"} 0.0' in text
    assert 'alcove_workspace_failures_total{verb="create"} 1.0' in text
    assert "alcove_provision_seconds_count 1.0" in text
    assert 'alcove_driver_verb_seconds_count{outcome="done",verb="create"} 1.0' in text
