"""Workspaces end by themselves when their time has come, also while no server ran."""

from datetime import timedelta

import pytest

from alcove.core import workspaces
from alcove.core.timers import Timers
from alcove.drivers.base import ImageStatus, Leftover, Usage
from alcove.model.workspace import Phase, WorkspaceId
from tests.core.world import ADA, World


@pytest.fixture
def timers(world: World) -> Timers:
    return Timers(world.core)


async def _pass(world: World, timers: Timers, **by: float) -> None:
    """Time goes by in steps of 5 minutes, with everybody doing their duty."""
    end = world.clock.now + timedelta(**by)
    await timers.tick()
    while world.clock.now < end:
        world.clock.now = min(end, world.clock.now + timedelta(minutes=5))
        await timers.tick()
        await world.settle()


async def test_the_time_to_live_ends_it(world: World, timers: Timers) -> None:
    made = await world.create(ttl="4h", name="api")
    await world.settle()
    world.clock.move(hours=4, seconds=1)
    await timers.tick()
    await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.DELETED, "deleted: lived its 4h")


async def test_an_idle_workspace_is_stopped_and_says_why(world: World, timers: Timers) -> None:
    made = await world.create(name="api")
    await world.settle()
    await _pass(world, timers, minutes=29)
    assert (await world.row(made.id)).phase is Phase.RUNNING
    await _pass(world, timers, minutes=2)
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.STOPPED, "stopped: idle for 30 minutes")


@pytest.mark.parametrize("field", ["execs_running", "terminals", "tcp_established"])
async def test_what_somebody_has_open_is_not_idle(
    world: World, timers: Timers, field: str
) -> None:
    made = await world.create(name="api")
    await world.settle()
    world.driver.runtimes[made.id].agent.stats[field] = 1
    await _pass(world, timers, minutes=40)
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_what_computes_is_not_idle(world: World, timers: Timers) -> None:
    made = await world.create(name="api")
    await world.settle()
    for seconds in range(0, 40 * 60, 5 * 60):
        world.driver.usages[made.id] = Usage(seconds * 100_000, 8, 1024, 1, 1024, 0, 0, 1, 0)
        await _pass(world, timers, minutes=5)
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_asking_the_api_does_not_keep_it_awake(world: World, timers: Timers) -> None:
    made = await world.create(name="api")
    await world.settle()
    for _ in range(7):
        await workspaces.get(world.core, ADA, "api")
        await _pass(world, timers, minutes=5)
    assert (await world.row(made.id)).phase is Phase.STOPPED


async def test_a_restarted_server_begins_to_count_idleness_anew(
    world: World, timers: Timers
) -> None:
    made = await world.create(name="api")
    await world.settle()
    await _pass(world, timers, minutes=29)
    await timers.give_up()
    await _pass(world, Timers(world.core), minutes=29)
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_an_agents_workspace_ends_after_its_runtime_and_leaves_nothing(
    world: World, timers: Timers
) -> None:
    made = await world.create(template="agent", ttl="24h")
    await world.settle()
    world.driver.runtimes[made.id].agent.stats["execs_running"] = 1
    await _pass(world, timers, hours=2, minutes=1)
    row = await world.row(made.id)
    assert row.phase is Phase.DELETED
    assert row.reason == "deleted: ephemeral, and stopped (ran its 2h)"
    assert world.driver.runtimes == {}


async def test_what_nobody_uses_is_announced_before_it_is_deleted(
    world: World, timers: Timers
) -> None:
    made = await world.create(name="api")
    await world.settle()
    await workspaces.stop(world.core, ADA, "api")
    await world.settle()
    world.clock.move(days=6)
    await timers.tick()
    kinds = [event.kind for event in await world.events(made.id)]
    assert kinds.count("workspace.expiry_announced") == 1
    assert (await world.row(made.id)).phase is Phase.STOPPED
    world.clock.move(days=2)
    await timers.tick()
    await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.DELETED, "deleted: not used for 7d")


async def test_a_long_outage_does_not_skip_the_notice(world: World, timers: Timers) -> None:
    made = await world.create(name="api")
    await world.settle()
    await workspaces.stop(world.core, ADA, "api")
    await world.settle()
    world.clock.move(days=20)
    await timers.tick()
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.STOPPED
    world.clock.move(days=2)
    await timers.tick()
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.DELETED


async def test_one_server_at_a_time_has_the_duty(world: World, timers: Timers) -> None:
    other = Timers(world.core)
    assert await timers.tick()
    assert not await other.tick()
    world.clock.move(minutes=1)
    assert await other.tick()
    assert not await timers.tick()


async def test_an_orphan_is_removed_after_its_grace(world: World, timers: Timers) -> None:
    made = await world.create()
    await world.settle()
    orphan = WorkspaceId("ws-aaaaaaaaaaaaaaaa")
    world.driver.runtimes[orphan] = world.driver.runtimes[made.id]
    await _pass(world, timers, minutes=5)
    assert orphan in world.driver.runtimes
    assert world.core.metrics.registry.get_sample_value("alcove_leaked_runtimes") == 1
    await _pass(world, timers, minutes=7)
    assert set(world.driver.runtimes) == {made.id}
    assert world.core.metrics.registry.get_sample_value("alcove_leaked_runtimes") == 0
    assert [e.kind for e in await world.events(orphan)] == ["orphan.removed"]


async def test_an_empty_database_removes_nothing(world: World, timers: Timers) -> None:
    """The operator may have pointed us at the wrong one."""
    made = await world.create()
    await world.settle()
    runtime = world.driver.runtimes[made.id]
    strangers = [WorkspaceId(f"ws-{letter * 16}") for letter in "abcdefghijklmnop"]
    world.driver.runtimes.update(dict.fromkeys(strangers, runtime))
    await _pass(world, timers, minutes=15)
    assert set(strangers) < set(world.driver.runtimes)


async def test_what_destroy_left_is_removed_later(world: World, timers: Timers) -> None:
    made = await world.create(name="api")
    await world.settle()
    world.driver.leave = ("mount /x",)
    await workspaces.delete(world.core, ADA, "api")
    await world.settle()
    row = await world.row(made.id)
    assert row.phase is Phase.DELETED
    assert "mount /x" in row.reason
    assert await world.driver.inventory() == [Leftover(made.id, ("mount /x",))]
    world.driver.leave = ()
    await _pass(world, timers, minutes=2)
    assert await world.driver.inventory() == []
    assert world.core.metrics.registry.get_sample_value("alcove_leaked_runtimes") == 0


async def test_images_of_active_versions_are_kept_and_others_collected(
    world: World, timers: Timers
) -> None:
    world.driver.image_states["old"] = ImageStatus("old", "ready", "")
    await _pass(world, timers, minutes=21)
    assert world.driver.collected == ["old"]
    assert len(world.driver.image_states) == 2
