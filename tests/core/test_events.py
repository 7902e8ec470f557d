"""Reading and following the log: nothing is missed, nothing is seen that may not be."""

from dataclasses import replace

import anyio

from alcove.core import events
from alcove.model.access import Actor, Role
from alcove.model.workspace import UserId
from alcove.store.events import EventFilters
from tests.core.world import ADA, BOB, World


async def test_a_follower_misses_nothing_and_wakes_at_once(world: World) -> None:
    seen: list[int] = []

    async def follow() -> None:
        async for batch in events.follow(world.core, ADA, after=0, beat_s=60):
            seen.extend(event.seq for event in batch)
            if len(seen) >= 20:
                return

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        with anyio.fail_after(15):
            for _ in range(20):
                await world.create()
    assert seen == list(range(1, 21))


async def test_a_follower_goes_on_behind_what_it_has(world: World) -> None:
    for _ in range(3):
        await world.create()
    async for batch in events.follow(world.core, ADA, after=2):
        assert [event.seq for event in batch] == [3]
        break


async def test_a_quiet_log_beats(world: World) -> None:
    async for batch in events.follow(world.core, ADA, after=0, beat_s=0.02):
        assert list(batch) == []
        break


async def test_one_sees_what_is_about_ones_own_things(world: World) -> None:
    mine = await world.create()
    await world.create(BOB)
    visible = await events.read(world.core, ADA, after=0)
    assert [event.subject for event in visible] == [mine.id]


async def test_an_auditor_sees_all(world: World) -> None:
    await world.create()
    await world.create(BOB)
    auditor = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)
    assert len(await events.read(world.core, auditor, after=0)) == 2


async def test_a_token_of_one_workspace_sees_only_its_events(world: World) -> None:
    mine, other = await world.create(), await world.create()
    bound = replace(ADA, workspace=mine.id)
    visible = await events.read(world.core, bound, after=0)
    assert [event.subject for event in visible] == [mine.id]
    filters = EventFilters(subject=other.id)
    assert await events.read(world.core, bound, after=0, filters=filters) == ()
