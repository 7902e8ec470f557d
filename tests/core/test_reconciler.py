"""Stories told against the real store and the fake driver, on a clock that tests move."""

from dataclasses import replace
from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest

from alcove.core import execs, reconciler, workspaces
from alcove.core.agent import Call
from alcove.core.app import Core
from alcove.core.reconciler import LEASE
from alcove.drivers.fake import FakeDriver
from alcove.model.errors import DriverError, Unavailable, Unsupported
from alcove.model.lifecycle import FAILURES_MAX
from alcove.model.workspace import LeaseToken, Observed, Phase, WorkspaceId
from alcove.store import leases
from alcove.store import workspaces as rows
from tests.core.world import ADA, SECRET, World


class Killed(BaseException):
    """The server dies here: nothing that comes after happens."""


async def _lease(world: World, token: str) -> int:
    async with world.core.db.transaction() as tx:
        found = await leases.lease_due(
            tx, token=LeaseToken(token), now=world.clock(), lease=LEASE, limit=9
        )
    return len(found)


async def test_gives_up_and_a_new_request_starts_afresh(world: World) -> None:
    world.driver.fail_next = FAILURES_MAX
    made = await world.create(name="api")
    await world.run(times=FAILURES_MAX + 2)
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.FAILED, "create failed: scripted")
    await workspaces.start(world.core, ADA, "api")
    await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.RUNNING, "")


async def test_each_failure_is_told_with_its_reason(world: World) -> None:
    world.driver.fail_next = 2
    made = await world.create()
    await world.run(times=3)
    told = [e.detail for e in await world.events(made.id) if e.kind == "workspace.failed"]
    assert [(d["verb"], d["error"], d["failures"]) for d in told] == [
        ("create", "scripted", 1),
        ("create", "scripted", 2),
    ]


async def test_a_hopeless_failure_is_not_retried(world: World) -> None:
    world.driver.fail_next = 1
    world.driver.failure = DriverError("no such image", retry=False)
    made = await world.create()
    await world.run(times=3)
    assert (await world.row(made.id)).phase is Phase.FAILED
    assert len(world.driver.calls) == 1


async def test_a_bug_met_by_one_workspace_does_not_stop_the_others(world: World) -> None:
    world.driver.fail_next, world.driver.failure = 1, ZeroDivisionError()
    first, second = await world.create(), await world.create()
    await world.run(times=2)
    assert set(world.driver.runtimes) == {first.id, second.id}


async def test_a_blind_driver_never_deletes_the_record(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    world.driver.blind = True
    await workspaces.delete(world.core, ADA, "api")
    await world.run(times=3)
    assert (await world.row(made.id)).phase is Phase.UNREACHABLE
    assert made.id in world.driver.runtimes
    world.driver.blind = False
    await world.run(times=2)
    assert (await world.row(made.id)).phase is Phase.DELETED
    assert world.driver.runtimes == {}


async def test_a_driver_that_raises_while_it_looks_counts_as_blind(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()

    async def broken(*_: object) -> object:
        raise DriverError("the host process is gone", retry=True)

    world.driver.observe = broken  # pyright: ignore[reportAttributeAccessIssue]
    await workspaces.delete(world.core, ADA, "api")
    await world.run(times=FAILURES_MAX + 2)
    assert (await world.row(made.id)).phase is Phase.UNREACHABLE


async def test_two_servers_never_hold_the_same_workspace(world: World) -> None:
    await world.create()
    assert (await _lease(world, "a"), await _lease(world, "b")) == (1, 0)
    world.clock.move(seconds=LEASE.total_seconds() + 1)
    assert await _lease(world, "b") == 1


async def test_a_lease_that_was_renewed_is_not_given_away(world: World) -> None:
    await world.create()
    await _lease(world, "a")
    world.clock.move(seconds=15)
    async with world.core.db.transaction() as tx:
        now = world.clock()
        kept = await leases.renew(tx, [LeaseToken("a")], now=now, until=now + LEASE)
    assert len(kept) == 1
    world.clock.move(seconds=15)
    assert await _lease(world, "b") == 0


async def test_an_ended_lease_is_not_renewed(world: World) -> None:
    await world.create()
    await _lease(world, "a")
    world.clock.move(minutes=1)
    async with world.core.db.transaction() as tx:
        now = world.clock()
        kept = await leases.renew(tx, [LeaseToken("a")], now=now, until=now + LEASE)
    assert kept == frozenset()


async def test_a_stale_lease_writes_nothing(world: World) -> None:
    made = await world.create()
    await _lease(world, "a")
    stale = await world.row(made.id)
    world.clock.move(minutes=1)
    await _lease(world, "b")
    async with world.core.db.transaction() as tx:
        token = LeaseToken("a")
        assert await leases.settle(tx, stale, stale, token=token, keep_until=None) is None


async def test_a_server_that_slept_through_its_lease_does_not_act(world: World) -> None:
    """It is paused after it decided to create; meanwhile the workspace is deleted elsewhere."""
    made = await world.create(name="api")
    theirs = Core.build(
        settings=world.core.settings,
        driver=world.driver,
        secret=SECRET,
        db=world.core.db,
        clock=world.clock,
    )
    look = world.driver.observe

    async def and_sleep(id: WorkspaceId, handle: object) -> object:
        world.driver.observe = look
        seen = await look(id, None)
        world.clock.move(minutes=5)
        await workspaces.delete(theirs, ADA, "api")
        await reconciler.run_once(theirs)
        return seen

    world.driver.observe = and_sleep  # pyright: ignore[reportAttributeAccessIssue]
    await reconciler.run_once(world.core)
    assert (await world.row(made.id)).phase is Phase.DELETED
    assert world.driver.runtimes == {}


async def test_a_request_made_during_a_step_is_not_forgotten(world: World) -> None:
    made = await world.create(name="api")

    async def meanwhile(verb: str, _: WorkspaceId) -> None:
        if verb == "create":
            await workspaces.stop(world.core, ADA, "api")

    world.driver.after = meanwhile
    await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.STOPPED, "stopped: ada asked for it")


async def test_many_servers_share_the_work_without_overlap(world: World) -> None:
    taken: list[WorkspaceId] = []
    template = await world.create(name="w")
    async with world.core.db.transaction() as tx:
        for n in range(100):
            twin = replace(template, id=WorkspaceId(f"ws-{n}"), name=f"w{n}")
            await rows.add(tx, twin)

    async def serve(name: str) -> None:
        while True:
            async with world.core.db.transaction() as tx:
                batch = await leases.lease_due(
                    tx,
                    token=LeaseToken(name),
                    now=world.clock(),
                    lease=timedelta(hours=1),
                    limit=7,
                )
            assert len(batch) <= 7
            if not batch:
                return
            taken.extend(workspace.id for workspace in batch)

    async with anyio.create_task_group() as group:
        for n in range(8):
            group.start_soon(serve, f"server-{n}")
    assert len(taken) == len(set(taken)) == 101


async def test_an_image_that_is_being_built_is_told_as_the_reason(world: World) -> None:
    world.driver.building = "unpacking 34 %"
    made = await world.create()
    await world.run()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.PROVISIONING, "unpacking 34 %")
    world.driver.building = None
    await world.run(times=2)
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_each_boot_is_claimed_once_with_its_surroundings(world: World) -> None:
    made = await world.create(name="api", env={"COLOR": "blue"})
    await world.settle()
    await world.run(times=3)
    [claim] = world.driver.runtimes[made.id].agent.claims
    assert claim["env"]["COLOR"] == "blue"
    assert claim["env"]["ALCOVE_WORKSPACE_NAME"] == "api"
    assert claim["identity"] == {"workspace_id": made.id, "owner": "ada", "name": "api"}


async def test_an_agent_that_does_not_answer_is_a_failure_with_a_reason(world: World) -> None:
    made = await world.create()

    async def mute(verb: str, id: WorkspaceId) -> None:
        world.driver.runtimes[id].agent.refuse = 500

    world.driver.after = mute
    await world.run()
    row = await world.row(made.id)
    assert (row.phase, row.failures) == (Phase.PROVISIONING, 1)
    assert row.reason == "claim failed: the agent: scripted"
    world.driver.runtimes[made.id].agent.refuse = None
    await world.run()
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_a_persons_workspace_that_died_is_started_again(world: World) -> None:
    made = await world.create()
    await world.settle()
    world.driver.end(made.id, detail="out of memory")
    world.clock.move(minutes=2)
    await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.STARTING, "ended by itself: out of memory")
    world.clock.move(seconds=10)
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_a_dead_agent_that_somebody_calls_is_looked_at_at_once(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    world.driver.end(made.id, detail="out of memory")
    world.clock.move(seconds=1)
    with pytest.raises(Unavailable):
        await execs.run(world.core, ADA, "api", Call(command=("/bin/true",)))
    await world.settle()
    assert (await world.row(made.id)).reason == "ended by itself: out of memory"


async def test_a_long_step_keeps_its_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "RENEW_S", 0.02)
    entered, leave = anyio.Event(), anyio.Event()

    async def slow(*_: object) -> None:
        entered.set()
        await leave.wait()

    world.driver.before = slow
    made = await world.create()
    async with anyio.create_task_group() as group:
        group.start_soon(reconciler.run, world.core)
        await entered.wait()
        for _ in range(4):
            world.clock.move(seconds=15)
            await anyio.sleep(0.2)
            assert await _lease(world, "other") == 0
        leave.set()
        done = await workspaces.wait(world.core, ADA, made.id, timeout_s=20)
        assert done.phase is Phase.RUNNING
        group.cancel_scope.cancel()


async def test_one_that_dies_again_and_again_fails(world: World) -> None:
    made = await world.create()
    await world.settle()
    for _ in range(20):
        if world.driver.runtimes[made.id].state is Observed.READY:
            world.driver.end(made.id, detail="exit code 1")
        world.clock.move(minutes=2)
        await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.FAILED, "ended by itself: exit code 1")
    starts = [verb for verb, _ in world.driver.calls if verb == "start"]
    assert len(starts) == FAILURES_MAX - 1


async def test_one_that_ran_for_long_is_forgiven_its_failures(world: World) -> None:
    world.driver.fail_next = 2
    made = await world.create()
    await world.run(times=3)
    assert (await world.row(made.id)).failures == 2
    await world.run(times=2)
    assert (await world.row(made.id)).failures == 0


async def test_an_ephemeral_one_that_died_is_not_replaced(world: World) -> None:
    made = await world.create(template="agent")
    await world.settle()
    world.driver.end(made.id, detail="out of memory")
    world.clock.move(minutes=2)
    await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.reason) == (Phase.FAILED, "ended by itself: out of memory")


async def test_a_crash_after_a_stop_is_not_blamed_on_the_runtime(world: World) -> None:
    """The server dies between the driver's stop and its record; then the owner starts it."""
    made = await world.create(template="agent", name="api")
    await world.settle()

    async def die(verb: str, _: WorkspaceId) -> None:
        if verb == "stop":
            raise Killed

    world.driver.after = die
    await workspaces.stop(world.core, ADA, "api")
    with pytest.raises(BaseExceptionGroup):
        await world.settle()
    await workspaces.start(world.core, ADA, "api")
    world.clock.move(minutes=1)
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_restarting_ends_one_boot_and_starts_another(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    before = (await world.row(made.id)).boot
    await workspaces.restart(world.core, ADA, "api")
    await world.settle()
    after = await world.row(made.id)
    assert (after.phase, after.failures) == (Phase.RUNNING, 0)
    assert after.boot != before
    assert [verb for verb, _ in world.driver.calls] == ["create", "stop", "start"]
    await world.run(times=3)
    assert (await world.row(made.id)).boot == after.boot


async def test_a_paused_one_is_resumed(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    await workspaces.pause(world.core, ADA, "api")
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.PAUSED
    await workspaces.resume(world.core, ADA, "api")
    await world.settle()
    assert await world.phases(made.id) == ["running", "pausing", "paused", "resuming", "running"]


async def test_a_driver_that_cannot_pause_says_so(world: World) -> None:
    class Plain(FakeDriver):
        pause = None  # pyright: ignore[reportAssignmentType]

    core = Core.build(
        settings=world.core.settings,
        driver=Plain(),  # pyright: ignore[reportArgumentType]
        secret=SECRET,
        db=world.core.db,
        clock=world.clock,
    )
    await world.create(name="api")
    with pytest.raises(Unsupported, match="pause"):
        await workspaces.pause(core, ADA, "api")


async def test_a_driver_that_cannot_destroy_does_not_keep_the_record(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    world.driver.fail_next = 99
    world.driver.failure = DriverError("device is busy", retry=True)
    await workspaces.delete(world.core, ADA, "api")
    await world.run(times=FAILURES_MAX + 2)
    row = await world.row(made.id)
    assert row.phase is Phase.DELETED
    assert "device is busy" in row.reason
    [told] = [e for e in await world.events(made.id) if e.detail.get("left")]
    assert told.detail["left"] == ["destroy failed: device is busy"]


async def test_a_half_made_one_can_be_deleted(world: World) -> None:
    world.driver.building = "unpacking 1 %"
    made = await world.create(name="api")
    await world.run()
    await workspaces.delete(world.core, ADA, "api")
    await world.run(times=2)
    assert (await world.row(made.id)).phase is Phase.DELETED
    assert world.driver.begun == set()


async def test_files_that_vanished_are_told(world: World) -> None:
    made = await world.create()
    await world.settle()
    world.driver.vanish(made.id)
    world.clock.move(minutes=2)
    await world.run(times=1)
    row = await world.row(made.id)
    assert row.reason == "its runtime and files are gone: removed from outside"
    await world.run(times=2)
    assert (await world.row(made.id)).phase is Phase.RUNNING


async def test_a_hint_wakes_the_loop_at_once(world: World) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(reconciler.run, world.core)
        await anyio.lowlevel.checkpoint()
        made = await world.create(name="api")
        with anyio.fail_after(reconciler.POLL_S * 0.9):
            done = await workspaces.wait(world.core, ADA, made.id, timeout_s=60)
        assert done.phase is Phase.RUNNING
        group.cancel_scope.cancel()


async def test_a_stopped_server_gives_its_leases_back(world: World) -> None:
    entered = anyio.Event()

    async def hang(*_: object) -> None:
        entered.set()
        await anyio.sleep_forever()

    world.driver.before = hang
    made = await world.create()
    async with anyio.create_task_group() as group:
        group.start_soon(reconciler.run, world.core)
        await entered.wait()
        assert await _lease(world, "other") == 0
        group.cancel_scope.cancel()
    assert await _lease(world, "other") == 1
    assert (await world.row(made.id)).phase is Phase.PROVISIONING
