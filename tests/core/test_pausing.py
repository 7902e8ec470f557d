"""Pausing by itself and waking: what expiry and idleness do, and who wakes whom, once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from alcove.core import execs, reconciler, waking, workspaces
from alcove.core.agent import Call
from alcove.core.timers import Timers
from alcove.drivers.base import Keeps, Promise
from alcove.model.access import Permission
from alcove.model.errors import Conflict, DriverError, Invalid, Unsupported
from alcove.model.workspace import (
    Desired,
    Isolation,
    Observed,
    OnExpiry,
    Phase,
    Workspace,
    WorkspaceId,
)
from alcove.wire.workspaces import WorkspaceChange
from tests.core.world import ADA, World


async def running(world: World, **asked: Any) -> Workspace:
    made = await world.create(**asked)
    await world.settle()
    return await world.row(made.id)


async def ticked(world: World, id: WorkspaceId, **by: float) -> Workspace:
    """What the timers and the reconciler make of it after this time."""
    world.clock.move(**by)
    await Timers(world.core).tick()
    await world.settle()
    return await world.row(id)


async def resumes(world: World, id: WorkspaceId) -> list[str]:
    kind = "workspace.resume_requested"
    return [str(e.actor) for e in await world.events(id) if e.kind == kind]


async def reconciling(world: World, done: anyio.Event) -> None:
    while not done.is_set():
        await reconciler.run_once(world.core)
        await anyio.lowlevel.checkpoint()


async def test_one_whose_time_is_over_is_paused_and_has_no_end(world: World) -> None:
    made = await running(world, ttl="2h", on_expiry="pause")
    paused = await ticked(world, made.id, hours=2)
    assert (paused.phase, paused.reason) == (Phase.PAUSED, "paused: lived its 2h")
    assert paused.expires_at is None
    assert world.driver.runtimes[made.id].state is Observed.PAUSED


async def test_resuming_gives_a_fresh_time_to_live(world: World) -> None:
    made = await running(world, ttl="2h", on_expiry="pause")
    await ticked(world, made.id, hours=3)
    await workspaces.resume(world.core, ADA, made.id)
    await world.settle()
    found = await world.row(made.id)
    assert (found.phase, found.boot) == (Phase.RUNNING, made.boot)
    assert found.expires_at == world.clock() + timedelta(hours=2)


async def test_a_pause_by_hand_keeps_the_end(world: World) -> None:
    made = await running(world, ttl="2h")
    await workspaces.pause(world.core, ADA, made.id)
    await world.settle()
    assert (await world.row(made.id)).expires_at == made.expires_at
    gone = await ticked(world, made.id, hours=2)
    assert gone.phase is Phase.DELETED


async def test_one_that_is_paused_already_is_kept_at_the_end_of_its_time(world: World) -> None:
    made = await running(world, ttl="2h", on_expiry="pause")
    await workspaces.pause(world.core, ADA, made.id)
    await world.settle()
    kept = await ticked(world, made.id, hours=2)
    assert (kept.phase, kept.expires_at) == (Phase.PAUSED, None)
    assert kept.generation == made.generation + 1


async def test_a_paused_one_is_deleted_when_nobody_uses_it_and_told_before(world: World) -> None:
    made = await running(world, ttl="2h", on_expiry="pause")
    await ticked(world, made.id, hours=2)
    told = await ticked(world, made.id, days=5)
    assert (told.phase, told.announced_at) == (Phase.PAUSED, world.clock())
    gone = await ticked(world, made.id, days=2)
    assert (gone.phase, gone.reason) == (Phase.DELETED, "deleted: not used for 7d")


async def test_an_idle_one_is_paused_where_that_is_asked_for(world: World) -> None:
    made = await running(world, idle_stop="10m", on_idle="pause")
    timers = Timers(world.core)
    for _ in range(22):
        await timers.tick()
        world.clock.move(seconds=31)
    await world.settle()
    found = await world.row(made.id)
    assert (found.phase, found.reason) == (Phase.PAUSED, "paused: idle for 10 minutes")


async def test_the_longest_run_does_not_count_while_paused(world: World) -> None:
    made = await running(world, template="agent", ttl="30d", on_expiry="pause")
    assert made.stop_at == world.clock() + timedelta(hours=2)
    await workspaces.pause(world.core, ADA, made.id)
    await world.settle()
    assert (await ticked(world, made.id, hours=3)).phase is Phase.PAUSED
    await workspaces.resume(world.core, ADA, made.id)
    await world.settle()
    assert (await world.row(made.id)).stop_at == world.clock() + timedelta(hours=2)


async def test_a_tier_that_keeps_nothing_over_a_pause_refuses_it_at_once(world: World) -> None:
    made = await running(world)
    can = await world.core.capabilities()
    nothing = Promise(Keeps.NOTHING, False, False, Keeps.FILES)
    world.core.offers.answer = replace(
        can, promises={Isolation.CONTAINER: nothing}, absent={"pause": "no freezer here"}
    )
    for field in ("on_expiry", "on_idle"):
        with pytest.raises(Unsupported, match=f"{field}: no freezer here"):
            await running(world, **{field: "pause"})
    with pytest.raises(Unsupported, match="no freezer here"):
        await workspaces.pause(world.core, ADA, made.id)


async def test_a_command_wakes_a_paused_one(world: World) -> None:
    made = await running(world, on_expiry="pause", ttl="2h")
    await ticked(world, made.id, hours=2)
    done = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(reconciling, world, done)
        with anyio.fail_after(20):
            await waking.entered(world.core, ADA, made.id, Permission.WORKSPACE_EXEC)
        done.set()
    found = await world.row(made.id)
    assert (found.phase, found.boot) == (Phase.RUNNING, made.boot)
    assert found.expires_at == world.clock() + timedelta(hours=2)
    assert await resumes(world, made.id) == [ADA.id]


async def test_many_requests_wake_it_once(world: World) -> None:
    made = await running(world, auto_resume=True)
    await workspaces.pause(world.core, ADA, made.id)
    await world.settle()
    paused = await world.row(made.id)
    done = anyio.Event()
    woken: list[Phase] = []

    async def wake() -> None:
        woken.append((await waking.awake(world.core, ADA, paused)).phase)

    async with anyio.create_task_group() as group:
        group.start_soon(reconciling, world, done)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as wakers:
                for _ in range(20):
                    wakers.start_soon(wake)
        done.set()
    assert woken == [Phase.RUNNING] * 20
    assert await resumes(world, made.id) == [ADA.id]
    assert [verb for verb, _ in world.driver.calls].count("resume") == 1


async def test_without_auto_resume_a_command_says_what_to_do(world: World) -> None:
    made = await running(world)
    await workspaces.pause(world.core, ADA, made.id)
    await world.settle()
    with pytest.raises(Conflict, match="is paused; resume it first"):
        await execs.run(world.core, ADA, made.id, Call(["true"]))
    assert (await world.row(made.id)).desired is Desired.PAUSED


async def test_a_stopped_one_is_not_woken(world: World) -> None:
    made = await running(world, auto_resume=True)
    await workspaces.stop(world.core, ADA, made.id)
    await world.settle()
    with pytest.raises(Conflict, match="start it first"):
        await execs.run(world.core, ADA, made.id, Call(["true"]))
    assert (await world.row(made.id)).desired is Desired.STOPPED


async def test_a_resume_that_fails_says_why_and_loses_nothing(world: World) -> None:
    made = await running(world, auto_resume=True)
    await workspaces.pause(world.core, ADA, made.id)
    await world.settle()
    paused = await world.row(made.id)
    world.driver.fail_next = 1
    world.driver.failure = DriverError("the checkpoint is corrupt", retry=False)
    done = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(reconciling, world, done)
        with anyio.fail_after(20), pytest.raises(Conflict, match="the checkpoint is corrupt"):
            await waking.awake(world.core, ADA, paused)
        done.set()
    failed = await world.row(made.id)
    assert failed.phase is Phase.FAILED
    assert world.driver.runtimes[made.id].state is Observed.PAUSED
    await workspaces.start(world.core, ADA, made.id)
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_a_pause_that_fails_leaves_it_running(world: World) -> None:
    made = await running(world)
    await workspaces.pause(world.core, ADA, made.id)
    world.driver.fail_next = 1
    world.driver.failure = DriverError("the disk is full", retry=False)
    await world.settle()
    failed = await world.row(made.id)
    assert (failed.phase, failed.reason) == (Phase.FAILED, "pause failed: the disk is full")
    assert world.driver.runtimes[made.id].state is Observed.READY
    await workspaces.resume(world.core, ADA, made.id)
    await world.settle()
    found = await world.row(made.id)
    assert (found.phase, found.boot) == (Phase.RUNNING, made.boot)


async def test_what_ends_it_may_be_changed(world: World) -> None:
    made = await running(world, ttl="2h")
    changed = await update(world, made, on_expiry=OnExpiry.PAUSE)
    assert changed.lifetime.on_expiry is OnExpiry.PAUSE
    assert changed.lifetime.auto_resume
    assert changed.expires_at == made.expires_at
    assert changed.reason == ""


async def test_limits_change_at_once_while_it_runs(world: World) -> None:
    made = await running(world)
    changed = await update(world, made, resources={"cpu": 4.0, "memory": "8Gi", "pids": 64})
    assert changed.reason == ""
    runs = world.driver.runtimes[made.id]
    assert (runs.spec.resources, runs.boot) == (changed.spec.resources, made.boot)
    assert runs.spec.resources.cpu_millis == 4000


async def test_limits_are_held_against_the_ceilings(world: World) -> None:
    made = await running(world)
    with pytest.raises(Invalid, match="cpu: 9 is over the maximum 8"):
        await update(world, made, resources={"cpu": 9.0})
    assert world.driver.runtimes[made.id].spec.resources == made.spec.resources


async def test_limits_that_cannot_be_applied_now_wait_for_a_restart(world: World) -> None:
    made = await running(world)
    world.driver.fail_next = 1
    changed = await update(world, made, resources={"cpu": 4.0})
    assert changed.reason == "update pending: restart to apply"
    assert changed.spec.resources.cpu_millis == 4000
    more = await update(world, await world.row(made.id), resources={"disk": "20Gi"})
    assert more.reason == "update pending: restart to apply"


async def test_limits_of_a_stopped_one_are_those_of_its_next_start(world: World) -> None:
    made = await running(world)
    await workspaces.stop(world.core, ADA, made.id)
    await world.settle()
    changed = await update(world, await world.row(made.id), resources={"cpu": 4.0})
    assert changed.reason == "stopped: ada asked for it"
    assert "adopt" not in [verb for verb, _ in world.driver.calls]


async def update(world: World, of: Workspace, **change: Any) -> Workspace:
    asked = WorkspaceChange.model_validate(change)
    return await workspaces.update(world.core, ADA, of.id, asked)
