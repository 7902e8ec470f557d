"""Snapshots and forks: what is kept, who may, what is refused, and what a crash leaves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alcove.config import Settings
from alcove.core import snapshots, workspaces
from alcove.core.pages import PageRequest
from alcove.core.snapshot_keeper import FAILED_FOR, GRACE, LEASE, PATIENCE, Keeper
from alcove.drivers.base import Taken
from alcove.drivers.fake import FakeDriver, FakeSnapshot
from alcove.model.access import Actor, Permission, Role
from alcove.model.errors import (
    Conflict,
    Denied,
    DriverError,
    Invalid,
    NotFound,
    QuotaExceeded,
    Unavailable,
    Unsupported,
)
from alcove.model.snapshot import Snapshot, SnapshotState
from alcove.model.workspace import (
    Isolation,
    LeaseToken,
    Observed,
    Phase,
    SnapshotId,
    StartedFrom,
    UserId,
    Workspace,
    WorkspaceId,
)
from alcove.store import leases
from alcove.store import snapshots as rows
from alcove.store.db import Database
from alcove.wire.snapshots import Fork, NewSnapshot
from tests.conftest import MovedClock
from tests.core.world import ADA, BOB, ROOT, World, open_world


class Killed(BaseException):
    """The process is gone."""


AUDITOR = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)


async def keep(world: World, times: int = 1) -> None:
    """What the keeper does when it looks so often."""
    keeper = Keeper(world.core)
    for _ in range(times):
        await keeper.tick()


async def running(world: World, **asked: Any) -> Workspace:
    made = await world.create(**asked)
    await world.settle()
    return await world.row(made.id)


async def taken(world: World, of: Workspace, **new: object) -> Snapshot:
    snapshot = await snapshots.take(world.core, ADA, of.id, NewSnapshot.model_validate(new))
    await keep(world)
    return await snapshots.get(world.core, ADA, snapshot.id)


async def row(world: World, id: SnapshotId) -> Snapshot | None:
    async with world.core.db.read() as tx:
        return await rows.get(tx, id)


def verbs(world: World) -> Sequence[str]:
    return [verb for verb, _ in world.driver.calls]


async def test_a_snapshot_is_taken_and_its_workspace_runs_on(world: World) -> None:
    api = await running(world, name="api")
    snapshot = await snapshots.take(world.core, ADA, "api", NewSnapshot(name="before"))
    assert snapshot.state is SnapshotState.TAKING
    await keep(world)
    found = await snapshots.get(world.core, ADA, "before")
    assert (found.state, found.size_mib) == (SnapshotState.READY, 1)
    assert (await world.row(api.id)).phase is Phase.RUNNING
    assert [e.kind for e in await world.events(snapshot.id)] == [
        "snapshot.requested",
        "snapshot.taken",
    ]


async def test_nothing_steps_a_workspace_while_its_snapshot_is_taken(world: World) -> None:
    api = await running(world)
    seen: list[str] = []

    async def meanwhile(verb: str, _: WorkspaceId) -> None:
        if verb == "take_snapshot":
            await workspaces.stop(world.core, ADA, api.id)
            await world.settle()
            seen.append(world.driver.runtimes[api.id].state)

    world.driver.before = meanwhile
    assert (await taken(world, api)).state is SnapshotState.READY
    assert seen == [Observed.READY]
    await world.settle()
    assert (await world.row(api.id)).phase is Phase.STOPPED


async def test_a_snapshot_waits_for_the_step_of_its_workspace(world: World) -> None:
    api = await running(world)
    async with world.core.db.transaction() as tx:
        token = LeaseToken("another-server")
        held = await rows.lease(tx, api.id, token=token, now=world.clock(), lease=LEASE)
    assert held is not None
    snapshot = await snapshots.take(world.core, ADA, api.id)
    await keep(world)
    assert "take_snapshot" not in verbs(world)
    async with world.core.db.transaction() as tx:
        await leases.give_back(tx, api.id, token=token)
    world.clock.move(seconds=1)
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.READY


async def test_the_lease_of_the_workspace_is_given_back(world: World) -> None:
    api = await running(world)
    await taken(world, api)
    await workspaces.stop(world.core, ADA, api.id)
    await world.settle()
    assert (await world.row(api.id)).phase is Phase.STOPPED


async def test_a_workspace_begins_from_a_snapshot(world: World) -> None:
    api = await running(world, env={"A": "1", "B": "1"}, labels={"team": "core"})
    world.driver.runtimes[api.id].agent.files["/home/dev/x"] = b"kept"
    snapshot = await taken(world, api, name="base")
    copy = await world.create(template=None, snapshot="base", env={"B": "2"}, ttl="1h")
    await world.settle()
    made = await world.row(copy.id)
    assert (made.phase, made.started) == (Phase.RUNNING, StartedFrom.SNAPSHOT)
    assert world.driver.runtimes[copy.id].agent.files["/home/dev/x"] == b"kept"
    assert (made.spec.env["A"], made.spec.env["B"]) == ("1", "2")
    assert dict(made.labels) == {"team": "core"}
    assert made.expires_at == world.clock() + timedelta(hours=1)
    assert made.spec.snapshot == snapshot.id
    assert made.template == "python"


async def test_a_copy_of_a_copy_begins_from_the_second_snapshot(world: World) -> None:
    await taken(world, await running(world), name="one")
    copy = await running(world, template=None, snapshot="one")
    second = await taken(world, copy, name="two")
    again = await running(world, template=None, snapshot="two")
    assert again.spec.snapshot == second.id


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("isolation", {"isolation": "gvisor"}),
        ("template_version", {"template_version": 2}),
        ("repo", {"repo": "https://git.example.com/x.git"}),
        ("rich_parameters", {"rich_parameters": {"cpu": "4"}}),
        ("parameters.flavor", {"parameters": {"flavor": "rich"}}),
        ("resources.disk", {"resources": {"disk": "1Gi"}}),
        ("cpu", {"resources": {"cpu": 16}}),
    ],
)
async def test_what_a_snapshot_fixes_is_refused_by_its_field(
    world: World, field: str, asked: dict[str, Any]
) -> None:
    await taken(world, await running(world), name="base")
    with pytest.raises(Invalid) as refused:
        await world.create(template=None, snapshot="base", **asked)
    assert [e.field for e in refused.value.errors] == [field]


async def test_what_a_snapshot_does_not_fix_may_be_asked_for(world: World) -> None:
    await taken(world, await running(world), name="base")
    made = await running(world, template=None, snapshot="base", parameters={"cpu": 4})
    assert made.spec.resources.cpu_millis == 4000
    assert made.parameters["flavor"] == "plain"


async def test_the_time_to_live_counts_anew_in_a_copy(world: World) -> None:
    await taken(world, await running(world, ttl="2h"), name="base")
    world.clock.move(hours=1)
    made = await world.create(template=None, snapshot="base")
    assert made.expires_at == world.clock() + timedelta(hours=2)


async def test_somebody_elses_snapshot_is_not_there(world: World) -> None:
    snapshot = await taken(world, await running(world), name="base")
    for ref in ("base", snapshot.id):
        with pytest.raises(NotFound, match="no snapshot"):
            await world.create(BOB, template=None, snapshot=ref)
        with pytest.raises(NotFound, match="no snapshot"):
            await snapshots.get(world.core, BOB, ref)
        with pytest.raises(NotFound, match="no snapshot"):
            await snapshots.delete(world.core, BOB, ref)
    assert (await snapshots.find(world.core, BOB, PageRequest())).items == []


async def test_an_administrator_begins_nothing_of_their_own_from_anothers(world: World) -> None:
    snapshot = await taken(world, await running(world))
    with pytest.raises(NotFound, match="not the new owner's"):
        await world.create(ROOT, template=None, snapshot=snapshot.id)
    made = await world.create(ROOT, template=None, snapshot=snapshot.id, owner="ada")
    assert made.owner == ADA.id


async def test_an_auditor_sees_snapshots_and_changes_none(world: World) -> None:
    snapshot = await taken(world, await running(world))
    assert (await snapshots.get(world.core, AUDITOR, snapshot.id)).id == snapshot.id
    with pytest.raises(Denied):
        await snapshots.delete(world.core, AUDITOR, snapshot.id)


async def test_a_token_of_one_workspace_sees_that_ones_snapshots(world: World) -> None:
    api, other = await running(world), await running(world)
    mine, others = await taken(world, api), await taken(world, other, name="other")
    bound = replace(ADA, workspace=api.id)
    found = await snapshots.find(world.core, bound, PageRequest())
    assert [s.id for s in found.items] == [mine.id]
    with pytest.raises(NotFound):
        await snapshots.get(world.core, bound, others.id)
    with pytest.raises(Denied, match="may not create"):
        await snapshots.fork(world.core, bound, api.id)


async def test_a_scope_limits_what_may_be_taken(world: World) -> None:
    api = await running(world)
    reader = replace(ADA, scopes=frozenset({Permission.WORKSPACE_READ}))
    with pytest.raises(Denied):
        await snapshots.take(world.core, reader, api.id)


async def test_a_name_is_taken_once(world: World) -> None:
    api = await running(world)
    await taken(world, api, name="base")
    with pytest.raises(Conflict, match="already a snapshot named base"):
        await taken(world, api, name="base")


async def test_a_name_that_looks_like_an_id_is_refused(world: World) -> None:
    api = await running(world)
    with pytest.raises(Invalid, match="looks like an id"):
        await taken(world, api, name="sn-" + "a" * 16)


async def test_only_what_rests_or_runs_is_taken(world: World) -> None:
    made = await world.create()
    with pytest.raises(Conflict, match="is provisioning"):
        await snapshots.take(world.core, ADA, made.id)


async def test_pages_of_snapshots(world: World) -> None:
    api = await running(world)
    for number in range(3):
        await taken(world, api, name=f"n{number}")
        world.clock.move(seconds=1)
    first = await snapshots.find(world.core, ADA, PageRequest(2))
    second = await snapshots.find(world.core, ADA, PageRequest(2, first.next_cursor))
    assert [s.name for s in (*first.items, *second.items)] == ["n2", "n1", "n0"]
    assert second.next_cursor is None


async def test_quota_of_number(db: Database, clock: MovedClock) -> None:
    settings = Settings(snapshots_max_per_user=1)
    async with open_world(db, clock, settings=settings) as world:
        api = await running(world)
        await taken(world, api)
        with pytest.raises(QuotaExceeded, match="limit is 1 snapshots"):
            await snapshots.take(world.core, ADA, api.id)


async def test_quota_of_size_holds_when_the_size_is_known(db: Database, clock: MovedClock) -> None:
    settings = Settings(snapshot_mib_max_per_user=1)
    async with open_world(db, clock, settings=settings) as world:
        api = await running(world)
        assert (await taken(world, api, name="one")).state is SnapshotState.READY
        with pytest.raises(QuotaExceeded, match="take 1 MiB"):
            await snapshots.take(world.core, ADA, api.id)
        await snapshots.delete(world.core, ADA, "one")
        await keep(world)
        world.driver.shelf.clear()
        big = await snapshots.take(world.core, ADA, api.id)
        world.driver.shelf[big.id] = FakeSnapshot(Taken(big.id, False, 2), "key", {})
        await keep(world)
        failed = await snapshots.get(world.core, ADA, big.id)
        assert failed.state is SnapshotState.FAILED
        assert "over the limit of 1 MiB" in failed.detail
        assert world.driver.shelf == {}


async def test_a_full_disk_fails_the_snapshot_and_not_the_workspace(world: World) -> None:
    api = await running(world)
    snapshot = await snapshots.take(world.core, ADA, api.id)
    world.driver.fail_next = 1
    world.driver.failure = DriverError("no space left on the disk", retry=False)
    await keep(world)
    failed = await snapshots.get(world.core, ADA, snapshot.id)
    assert (failed.state, failed.detail) == (SnapshotState.FAILED, "no space left on the disk")
    assert (await world.row(api.id)).phase is Phase.RUNNING
    assert world.driver.shelf == {}
    with pytest.raises(Conflict, match="no space left"):
        await world.create(template=None, snapshot=snapshot.id)
    world.clock.now += FAILED_FOR
    await keep(world, 2)
    assert await row(world, snapshot.id) is None


async def test_a_driver_that_is_away_for_a_moment_is_asked_again(world: World) -> None:
    api = await running(world)
    snapshot = await snapshots.take(world.core, ADA, api.id)
    world.driver.fail_next = 1
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.TAKING
    world.clock.move(seconds=10)
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.READY


async def test_a_driver_that_stays_away_fails_it(world: World) -> None:
    api = await running(world)
    snapshot = await snapshots.take(world.core, ADA, api.id)
    world.clock.now += PATIENCE
    world.driver.fail_next = 1
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.FAILED


async def test_a_server_killed_while_taking_is_made_good(world: World) -> None:
    api = await running(world)
    snapshot = await snapshots.take(world.core, ADA, api.id)

    async def killed(verb: str, _: WorkspaceId) -> None:
        if verb == "take_snapshot":
            raise Killed

    world.driver.after = killed
    with pytest.raises(BaseExceptionGroup):
        await keep(world)
    world.driver.after = FakeDriver().after
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.READY


async def test_a_database_that_goes_away_meanwhile_costs_no_snapshot(world: World) -> None:
    api = await running(world)
    snapshot = await snapshots.take(world.core, ADA, api.id)

    async def gone(verb: str, _: WorkspaceId) -> None:
        if verb == "take_snapshot":
            raise Unavailable("the database went away")

    world.driver.after = gone
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.TAKING
    assert list(world.driver.shelf) == [snapshot.id]
    world.driver.after = FakeDriver().after
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.READY


async def test_what_was_taken_before_its_workspace_went_is_kept(world: World) -> None:
    api = await running(world)
    snapshot = await snapshots.take(world.core, ADA, api.id)
    world.driver.shelf[snapshot.id] = FakeSnapshot(Taken(snapshot.id, False, 3), "key", {})
    await workspaces.delete(world.core, ADA, api.id)
    await world.settle()
    await keep(world)
    found = await snapshots.get(world.core, ADA, snapshot.id)
    assert (found.state, found.size_mib) == (SnapshotState.READY, 3)


async def test_a_workspace_that_went_before_it_was_taken_fails_it(world: World) -> None:
    api = await running(world)
    snapshot = await snapshots.take(world.core, ADA, api.id)
    await workspaces.delete(world.core, ADA, api.id)
    await world.settle()
    await keep(world)
    found = await snapshots.get(world.core, ADA, snapshot.id)
    assert found.state is SnapshotState.FAILED
    assert "was deleted before it was taken" in found.detail


async def test_a_snapshot_outlives_its_workspace_and_ends_at_its_time(world: World) -> None:
    api = await running(world)
    snapshot = await taken(world, api, ttl="2d")
    await workspaces.delete(world.core, ADA, api.id)
    await world.settle()
    world.clock.move(days=1)
    await keep(world)
    assert (await snapshots.get(world.core, ADA, snapshot.id)).state is SnapshotState.READY
    world.clock.move(days=1)
    await keep(world, 2)
    assert await row(world, snapshot.id) is None
    assert world.driver.shelf == {}
    kinds = [e.kind for e in await world.events(snapshot.id)]
    assert kinds[-2:] == ["snapshot.delete_requested", "snapshot.deleted"]


async def test_one_may_be_kept_for_ever_and_else_the_servers_time_holds(world: World) -> None:
    api = await running(world)
    assert (await taken(world, api, name="a", ttl=None)).expires_at is None
    assert (await taken(world, api, name="b")).expires_at == world.clock() + timedelta(days=30)


async def test_a_deleted_one_is_gone_at_once_and_removed_when_it_can_be(world: World) -> None:
    snapshot = await taken(world, await running(world), name="base")
    copy = await world.create(template=None, snapshot="base")
    await snapshots.delete(world.core, ADA, "base")
    with pytest.raises(NotFound):
        await snapshots.get(world.core, ADA, snapshot.id)
    await keep(world)
    assert snapshot.id in world.driver.shelf, "somebody still begins from it"
    await world.settle()
    assert (await world.row(copy.id)).phase is Phase.RUNNING
    world.clock.move(minutes=1)
    await keep(world)
    assert world.driver.shelf == {}


async def test_what_has_no_row_is_dropped_after_a_while(world: World) -> None:
    stray = SnapshotId("sn-" + "a" * 16)
    world.driver.shelf[stray] = FakeSnapshot(Taken(stray, False, 1), "key", {})
    kept = await taken(world, await running(world))
    keeper = Keeper(world.core)
    await keeper.tick()
    assert stray in world.driver.shelf
    world.clock.now += GRACE
    await keeper.tick()
    assert list(world.driver.shelf) == [kept.id]


async def test_a_database_that_knows_nothing_is_not_believed(world: World) -> None:
    for number in range(20):
        stray = SnapshotId(f"sn-{'a' * 14}{number:02}")
        world.driver.shelf[stray] = FakeSnapshot(Taken(stray, False, 1), "key", {})
    keeper = Keeper(world.core)
    for _ in range(2):
        await keeper.tick()
        world.clock.now += GRACE
    assert len(world.driver.shelf) == 20


async def test_forks_run_as_their_source_was_and_the_hidden_snapshot_goes(world: World) -> None:
    api = await running(world, env={"A": "1"})
    world.driver.runtimes[api.id].agent.files["/home/dev/x"] = b"kept"
    forks = await snapshots.fork(world.core, ADA, api.id, Fork(count=3, name="try"))
    assert [f.name for f in forks] == ["try-1", "try-2", "try-3"]
    await world.settle()
    waiting = await world.row(forks[0].id)
    assert (waiting.phase, waiting.reason) == (
        Phase.PROVISIONING,
        "waiting for its snapshot to be taken",
    )
    assert (await snapshots.find(world.core, ADA, PageRequest())).items == []
    await keep(world)
    await world.settle()
    for fork in forks:
        made = await world.row(fork.id)
        assert (made.phase, made.started) == (Phase.RUNNING, StartedFrom.SNAPSHOT)
        assert world.driver.runtimes[fork.id].agent.files["/home/dev/x"] == b"kept"
    world.clock.move(seconds=10)
    await keep(world, 2)
    assert world.driver.shelf == {}
    assert (await world.row(api.id)).phase is Phase.RUNNING


async def test_a_hidden_snapshot_waits_for_the_slowest_fork(world: World) -> None:
    api = await running(world)
    await snapshots.fork(world.core, ADA, api.id, Fork(count=2))
    await keep(world)
    world.clock.move(seconds=10)
    await keep(world, 2)
    assert len(world.driver.shelf) == 1


async def test_forks_are_all_or_none(db: Database, clock: MovedClock) -> None:
    async with open_world(db, clock, settings=Settings(workspaces_max_per_user=3)) as world:
        api = await running(world)
        with pytest.raises(QuotaExceeded, match="none was made"):
            await snapshots.fork(world.core, ADA, api.id, Fork(count=3))
        await world.create(name="try-2")
        with pytest.raises(QuotaExceeded):
            await snapshots.fork(world.core, ADA, api.id, Fork(count=2, name="try"))
        async with world.core.db.read() as tx:
            assert await rows.due(tx, now=world.clock(), limit=10) == []


async def test_a_name_that_is_taken_makes_no_fork(world: World) -> None:
    api = await running(world)
    await world.create(name="try-2")
    with pytest.raises(Conflict, match="named try-2"):
        await snapshots.fork(world.core, ADA, api.id, Fork(count=2, name="try"))
    async with world.core.db.read() as tx:
        assert await rows.due(tx, now=world.clock(), limit=10) == []


async def test_forks_of_what_cannot_be_taken_fail_with_the_reason(world: World) -> None:
    api = await running(world)
    forks = await snapshots.fork(world.core, ADA, api.id, Fork(count=2))
    world.driver.fail_next = 1
    world.driver.failure = DriverError("no space left on the disk", retry=False)
    await keep(world)
    await world.settle()
    for fork in forks:
        failed = await world.row(fork.id)
        assert failed.phase is Phase.FAILED
        assert "no space left on the disk" in failed.reason
    assert (await world.row(api.id)).phase is Phase.RUNNING


async def test_a_fork_that_is_stopped_before_it_began_is_stopped(world: World) -> None:
    api = await running(world)
    (fork,) = await snapshots.fork(world.core, ADA, api.id)
    await workspaces.stop(world.core, ADA, fork.id)
    await world.settle()
    assert (await world.row(fork.id)).phase is Phase.STOPPED


async def test_start_up_runs_again_from_files_and_not_from_memory(
    db: Database, clock: MovedClock
) -> None:
    driver = FakeDriver(isolation=frozenset({Isolation.CONTAINER, Isolation.GVISOR}))
    async with open_world(db, clock, driver=driver) as world:
        repo = "https://git.example.com/x.git"
        for isolation, again in (("container", True), ("gvisor", False)):
            api = await running(world, isolation=isolation, repo=repo)
            snapshot = await taken(world, api)
            assert snapshot.memory is not again
            copy = await running(world, template=None, snapshot=snapshot.id)
            init = driver.runtimes[copy.id].agent.claims[-1]
            assert ("startup" in init) is again
            assert init["identity"]["workspace_id"] == copy.id


async def test_a_tier_that_keeps_nothing_is_unsupported(world: World) -> None:
    api = await running(world)
    can = await world.core.capabilities()
    world.core.offers.answer = replace(can, snapshot=False, absent={"snapshot": "no room"})
    with pytest.raises(Unsupported, match="no room"):
        await snapshots.take(world.core, ADA, api.id)
