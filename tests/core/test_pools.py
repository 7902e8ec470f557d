"""Pools over the real store and the fake driver: claims, what they keep, and what may go wrong."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from alcove.config import Settings
from alcove.core import pools, workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.core.pool_keeper import Keeper
from alcove.drivers.fake import FakeDriver
from alcove.model.errors import Conflict, Denied, DriverError, Invalid, NotFound, QuotaExceeded
from alcove.model.pool import (
    EMPTY,
    FAILED_FOR,
    STARTING_MAX,
    PoolMode,
    PoolSettings,
    fixed_size,
)
from alcove.model.workspace import (
    Handle,
    Isolation,
    NetworkMode,
    Phase,
    StartedFrom,
    Workspace,
    WorkspaceId,
)
from alcove.store import leases
from alcove.store import pools as rows
from alcove.store import workspaces as workspace_rows
from alcove.store.db import Database
from alcove.store.workspaces import WorkspaceFilters
from tests.conftest import MovedClock
from tests.core.world import ADA, BOB, ROOT, SECRET, World, add_template, open_world

POOLED = b"""
name: pooled
kind: agent
isolation: container
image: {debian: bookworm, packages: [git]}
ceilings: {networks: [none, open]}
pool: {size: 3}
"""
KEY = "pooled@1/container"


@pytest.fixture
async def pooled(world: World) -> World:
    async with world.core.db.transaction() as tx:
        await add_template(tx, POOLED)
    return world


async def fill(world: World, times: int = 6) -> None:
    """Let the keeper and the reconciler work until nothing is to be done."""
    keeper = Keeper(world.core)
    for _ in range(times):
        await keeper.tick()
        await world.settle()
        world.clock.move(seconds=1)
    await keeper.give_up()


async def ready(world: World, key: str = KEY) -> int:
    async with world.core.db.read() as tx:
        return (await rows.count_ready(tx)).get(key, 0)


async def claim(world: World, **asked: Any) -> Workspace:
    return await world.create(ADA, **{"template": "pooled", **asked})


def agent_of(world: World, id: WorkspaceId) -> Any:
    return world.driver.runtimes[id].agent


async def test_a_pool_is_filled_and_its_agents_are_told_nothing(pooled: World) -> None:
    await fill(pooled)
    assert await ready(pooled) == 3
    assert [agent.claims for agent in _agents(pooled)] == [[], [], []]


async def test_a_claim_runs_at_once_and_its_agent_knows_everything(pooled: World) -> None:
    await fill(pooled)
    made = await claim(
        pooled,
        name="api",
        env={"A": "b"},
        ttl="1h",
        labels={"team": "core"},
        network={"mode": "open"},
        resources={"cpu": 1, "memory": "512Mi"},
        files={"~/task.txt": "fix it"},
    )
    assert (made.phase, made.started, made.started_why) == (Phase.RUNNING, StartedFrom.POOL, "")
    [said] = agent_of(pooled, made.id).claims
    assert said["env"]["A"] == "b"
    assert said["identity"] == {"workspace_id": made.id, "owner": "ada", "name": "api"}
    assert said["files"] == {"~/task.txt": "fix it"}
    there = pooled.driver.runtimes[made.id].spec
    assert (there.hostname, there.network, there.resources.memory_mib) == (
        "api", NetworkMode.OPEN, 512,
    )  # fmt: skip
    row = await pooled.row(made.id)
    assert (row.name, row.owner, row.pool, row.labels) == ("api", ADA.id, None, {"team": "core"})
    assert row.expires_at == made.created_at + timedelta(hours=1)
    told = [event.kind for event in await pooled.events(made.id)]
    assert told == ["workspace.created"]


async def test_what_is_claimed_is_written_down_later_and_then_only_looked_at(
    pooled: World,
) -> None:
    await fill(pooled)
    made = await claim(pooled)
    assert (await pooled.row(made.id)).started_at is None
    await pooled.core.journal.flush(pooled.core)
    row = await pooled.row(made.id)
    assert row.started_at == made.started_at is not None
    pooled.clock.move(minutes=5)
    await pooled.settle()
    assert len(agent_of(pooled, made.id).claims) == 1
    assert (await pooled.row(made.id)).phase is Phase.RUNNING


async def test_a_server_killed_right_after_the_commit_loses_nothing(pooled: World) -> None:
    """The row is claimed, and nobody told the agent."""
    await fill(pooled)
    cut = await _claimed_only(pooled, name="cut")
    pooled.clock.move(seconds=10)
    await pooled.settle()
    row = await pooled.row(cut)
    assert (row.phase, row.started, row.boot) == (
        Phase.RUNNING, StartedFrom.POOL, pooled.driver.runtimes[cut].boot,
    )  # fmt: skip
    assert row.started_at is not None
    assert [c["identity"]["name"] for c in agent_of(pooled, cut).claims] == ["cut"]
    assert pooled.driver.runtimes[cut].spec.hostname == "cut"
    assert [e.kind for e in await pooled.events(cut)] == ["workspace.created"]


async def test_telling_the_agent_twice_says_the_same_both_times(pooled: World) -> None:
    await fill(pooled)
    made = await claim(pooled, env={"A": "b"})
    pooled.clock.move(seconds=10)
    await pooled.settle()
    first, second = agent_of(pooled, made.id).claims
    assert first == second
    assert "first_claim" in first


async def test_an_empty_pool_starts_cold_and_says_so(pooled: World) -> None:
    made = await claim(pooled)
    assert (made.phase, made.started, made.started_why) == (Phase.PROVISIONING, None, EMPTY)
    await pooled.settle()
    row = await pooled.row(made.id)
    assert (row.phase, row.started, row.started_why) == (Phase.RUNNING, StartedFrom.COLD, EMPTY)


async def test_without_a_pool_nothing_is_said_of_one(world: World) -> None:
    made = await world.create()
    await world.settle()
    row = await world.row(made.id)
    assert (row.started, row.started_why) == (StartedFrom.COLD, "")


async def test_what_cannot_be_claimed_goes_cold_with_the_reason(pooled: World) -> None:
    await fill(pooled)
    made = await claim(pooled, resources={"disk": "1Gi"})
    assert (made.started, made.started_why) == (
        None, "another disk size than the pool's (10240 MiB)",
    )  # fmt: skip
    assert await ready(pooled) == 3


async def test_members_are_reached_by_nobody(pooled: World) -> None:
    await fill(pooled)
    [member, *_] = pooled.driver.runtimes
    for ref in (member, f"_pool/{member}", f"pool/{member}"):
        with pytest.raises(NotFound):
            await workspaces.get(pooled.core, ROOT, ref)
    page = await workspaces.find(pooled.core, ROOT, WorkspaceFilters(), PageRequest(50, None))
    assert list(page.items) == []
    async with pooled.core.db.read() as tx:
        assert await workspace_rows.count_by_phase(tx) == {}


async def test_the_quota_holds_for_claims(db: Database, clock: MovedClock) -> None:
    async with open_world(db, clock, settings=Settings(workspaces_max_per_user=1)) as world:
        async with db.transaction() as tx:
            await add_template(tx, POOLED)
        await fill(world)
        await claim(world)
        with pytest.raises(QuotaExceeded):
            await claim(world)
        assert await ready(world) == 2


async def test_a_name_that_is_taken_takes_no_member(pooled: World) -> None:
    await fill(pooled)
    await claim(pooled, name="api")
    with pytest.raises(Conflict, match="already a workspace named api"):
        await claim(pooled, name="api")
    assert await ready(pooled) == 2


async def test_a_hundred_claims_at_once_get_a_hundred_members(pooled: World) -> None:
    await pools.put(pooled.core, ROOT, "pooled", None, fixed_size(100))
    await fill(pooled, times=30)
    assert await ready(pooled) == 100
    made: list[Workspace] = []

    async def one() -> None:
        made.append(await claim(pooled))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(one)
    assert {w.started for w in made} == {StartedFrom.POOL}
    assert len({w.id for w in made}) == 100
    assert all(len(agent.claims) == 1 for agent in _agents(pooled))


async def test_a_member_that_ended_is_replaced_and_never_started_again(pooled: World) -> None:
    await fill(pooled)
    [dead, *_] = pooled.driver.runtimes
    pooled.driver.end(dead, "out of memory")
    pooled.clock.move(minutes=3)
    await pooled.settle()
    async with pooled.core.db.read() as tx:
        [failed] = [m for m in await rows.members(tx, specs={}) if m.phase is Phase.FAILED]
    assert (failed.id, failed.reason) == (dead, "ended by itself: out of memory")
    keeper = Keeper(pooled.core)
    await keeper.tick()
    pooled.clock.now += FAILED_FOR
    for _ in range(3):
        await keeper.tick()
        await pooled.settle()
        pooled.clock.move(seconds=1)
    assert await ready(pooled) == 3
    assert dead not in pooled.driver.runtimes
    assert ("start", dead) not in pooled.driver.calls


async def test_a_member_that_dies_under_the_claim_is_made_cold_under_the_same_id(
    pooled: World,
) -> None:
    await fill(pooled)

    async def die(verb: str, id: WorkspaceId) -> None:
        if verb == "adopt":
            pooled.driver.end(id, "killed")
            raise DriverError("it is not there", retry=True)

    pooled.driver.before = die
    made = await claim(pooled, name="api", env={"A": "b"})
    assert (made.phase, made.started) == (Phase.PROVISIONING, StartedFrom.POOL)
    boot = made.boot
    await pooled.settle()
    row = await pooled.row(made.id)
    assert (row.phase, row.started) == (Phase.RUNNING, StartedFrom.COLD)
    assert "could not be used" in row.started_why
    assert row.boot != boot
    verbs = [verb for verb, id in pooled.driver.calls if id == made.id]
    assert verbs[-2:] == ["destroy", "create"], "never started again with what was in it"
    assert agent_of(pooled, made.id).claims[0]["env"]["A"] == "b"
    assert await pooled.phases(made.id) == ["provisioning", "running"]


async def test_an_agent_that_is_anothers_is_never_handed_out(pooled: World) -> None:
    """As after a restore of an older database: the agent refuses whoever comes second."""
    await fill(pooled)
    used = _agents(pooled)
    for agent in used:
        agent.refuse = 409
    made = await claim(pooled, name="api")
    assert made.phase is Phase.PROVISIONING
    await pooled.settle()
    row = await pooled.row(made.id)
    assert (row.phase, row.started) == (Phase.RUNNING, StartedFrom.COLD)
    assert agent_of(pooled, made.id) not in used


async def test_what_its_owner_stops_before_it_is_written_down_stays_the_owners(
    pooled: World,
) -> None:
    await fill(pooled)
    made = await claim(pooled, name="api", ephemeral=False)
    await workspaces.stop(pooled.core, ADA, "api")
    await pooled.settle()
    assert (await pooled.row(made.id)).phase is Phase.STOPPED
    await workspaces.start(pooled.core, ADA, "api")
    await pooled.settle()
    assert (await pooled.row(made.id)).phase is Phase.RUNNING
    assert ("destroy", made.id) not in pooled.driver.calls


async def test_a_step_under_way_writes_nothing_over_the_claim(pooled: World) -> None:
    """The reconciler looks at a member while somebody claims it."""
    await fill(pooled)
    pooled.clock.move(minutes=3)
    claimed: list[Workspace] = []
    real = pooled.driver.observe

    async def observe(id: WorkspaceId, handle: Handle | None) -> Any:
        seen = await real(id, handle)
        if not claimed:
            claimed.append(await claim(pooled, name="api"))
        return seen

    pooled.driver.observe = observe  # pyright: ignore[reportAttributeAccessIssue]
    await pooled.settle()
    row = await pooled.row(claimed[0].id)
    assert (row.name, row.owner, row.pool, row.started) == (
        "api", ADA.id, None, StartedFrom.POOL,
    )  # fmt: skip


async def test_the_claim_costs_four_statements_one_adopt_and_one_request(pooled: World) -> None:
    """So that it cannot creep: this is on the way of every answer."""
    await fill(pooled)
    await claim(pooled)  # what is remembered, is remembered now
    pooled.driver.calls.clear()
    requests = {id: len(r.agent.requests) for id, r in pooled.driver.runtimes.items()}
    before = pooled.core.db.queries
    made = await claim(pooled, env={"A": "b"}, ttl="1h")
    # The owner (remembered when it comes with a credential); the beginning on SQLite, the
    # owner's turn on PostgreSQL; the count, the claim, the number, the event.
    assert pooled.core.db.queries - before == 6
    assert pooled.driver.calls == [("adopt", made.id)]
    assert len(agent_of(pooled, made.id).requests) - requests[made.id] == 1


async def test_a_new_version_gets_a_pool_and_the_old_one_drains(pooled: World) -> None:
    await fill(pooled)
    old = set(pooled.driver.runtimes)
    async with pooled.core.db.transaction() as tx:
        await add_template(tx, POOLED)
    pooled.core.catalog.forget("pooled")
    await fill(pooled)
    assert await ready(pooled, "pooled@2/container") == 3
    assert await ready(pooled) == 0
    assert not old & set(pooled.driver.runtimes)


async def test_members_survive_a_restart_of_the_server(pooled: World) -> None:
    await fill(pooled)
    before = set(pooled.driver.runtimes)
    async with pooled.core.db.transaction() as tx:
        await leases.give_back_all(tx)
    fresh = Core.build(
        settings=pooled.core.settings,
        driver=pooled.driver,
        secret=SECRET,
        db=pooled.core.db,
        clock=pooled.clock,
    )
    again = World(fresh, pooled.clock, pooled.driver)
    pooled.clock.move(minutes=10)
    await fill(again)
    assert set(pooled.driver.runtimes) == before
    assert (await claim(again)).started is StartedFrom.POOL


async def test_one_server_keeps_the_pools_at_a_time(pooled: World) -> None:
    first, second = Keeper(pooled.core), Keeper(pooled.core)
    await first.tick()
    await second.tick()
    await pooled.settle()
    assert len(pooled.driver.runtimes) == 1, "the second begins none while the first has the duty"
    await first.give_up()
    await second.tick()
    await pooled.settle()
    assert len(pooled.driver.runtimes) == 3


async def test_refilling_leaves_room_for_peoples_own_cold_starts(pooled: World) -> None:
    await pools.put(pooled.core, ROOT, "pooled", None, fixed_size(50))
    keeper = Keeper(pooled.core)
    await keeper.tick()
    await pooled.settle()
    pooled.clock.move(seconds=1)
    await keeper.tick()
    async with pooled.core.db.read() as tx:
        starting = [m for m in await rows.members(tx, specs={}) if m.phase is not Phase.RUNNING]
    assert len(starting) == STARTING_MAX


async def test_a_pool_whose_members_fail_tries_again_slowly_and_says_why(pooled: World) -> None:
    pooled.driver.failure = DriverError("the disk is full", retry=False)
    pooled.driver.fail_next = 100
    await fill(pooled, times=20)
    begun = sum(verb == "create" for verb, _ in pooled.driver.calls)
    assert begun == 1
    state = await pools.get(pooled.core, ADA, "pooled", None)
    assert (state.ready, state.failed) == (0, 1)
    assert "the disk is full" in state.why


async def test_an_adaptive_pool_follows_the_demand(pooled: World) -> None:
    adaptive = PoolSettings(min=1, max=20, mode=PoolMode.ADAPTIVE)
    await pools.put(pooled.core, ROOT, "pooled", None, adaptive)
    await fill(pooled)
    assert await ready(pooled) == 1
    for _ in range(6):
        await claim(pooled)
    await fill(pooled, times=10)
    assert await ready(pooled) == 9, "one and a half times the six of a moment ago"
    pooled.clock.move(minutes=16)
    await fill(pooled)
    assert await ready(pooled) == 1


async def test_only_administrators_set_a_pool(pooled: World) -> None:
    with pytest.raises(Denied):
        await pools.put(pooled.core, ADA, "pooled", None, fixed_size(1))
    with pytest.raises(Invalid, match="min 5 is over max 1"):
        await pools.put(pooled.core, ROOT, "pooled", None, PoolSettings(min=5, max=1))
    with pytest.raises(NotFound):
        await pools.put(pooled.core, ROOT, "nothing", None, fixed_size(1))
    state = await pools.put(pooled.core, ROOT, "pooled", None, fixed_size(7))
    assert (state.wanted, state.pool.own) == (7, False)
    state = await pools.reset(pooled.core, ROOT, "pooled", None)
    assert (state.wanted, state.pool.own) == (3, True)


async def test_what_was_served_and_missed_is_told(pooled: World) -> None:
    await claim(pooled)
    await fill(pooled)
    await claim(pooled)
    state = await pools.get(pooled.core, BOB, "pooled", Isolation.CONTAINER)
    assert (state.last_hour.claimed, state.last_hour.missed) == (1, 1)
    shown = pooled.core.metrics.render({}).decode()
    of = '{isolation="container",template="pooled"}'
    assert f"alcove_pool_misses_total{of} 1.0" in shown
    assert f"alcove_pool_claims_total{of} 1.0" in shown


async def test_the_rows_of_removed_members_go_after_a_while(pooled: World) -> None:
    await fill(pooled)
    await pools.put(pooled.core, ROOT, "pooled", None, fixed_size(0))
    await fill(pooled)
    assert pooled.driver.runtimes == {}
    pooled.clock.move(hours=3)
    await fill(pooled)
    async with pooled.core.db.read() as tx:
        known = await workspace_rows.find(
            tx, WorkspaceFilters(phases=[Phase.DELETED]), after=None, limit=10
        )
        assert known == []
        assert await rows.members(tx, specs={}) == []


def _agents(world: World) -> list[Any]:
    return [runtime.agent for runtime in world.driver.runtimes.values()]


async def _claimed_only(world: World, *, name: str) -> WorkspaceId:
    """What a server leaves that ends between the commit and telling the agent."""

    async def hang(verb: str, _: WorkspaceId) -> None:
        if verb == "adopt":
            await anyio.sleep_forever()

    world.driver.before = hang
    with anyio.move_on_after(0.5):
        await claim(
            world, name=name, repo="https://git.example.com/a.git", network={"mode": "open"}
        )
    world.driver.before = FakeDriver().before
    found = await workspaces.get(world.core, ADA, name)
    assert (found.phase, found.started_at) == (Phase.RUNNING, None)
    return found.id


async def test_the_alert_rules_name_metrics_that_there_are(pooled: World) -> None:
    rules = Path(__file__).parents[2] / "deploy/prometheus/alcove.rules.yml"
    pooled.core.metrics.pool_asked("pooled", Isolation.CONTAINER, claimed=False)
    await fill(pooled)
    shown = pooled.core.metrics.render({}).decode()
    named = set(re.findall(r"alcove_pool_[a-z_]+", rules.read_text()))
    assert named
    assert [name for name in named if f"\n{name}{{" not in shown] == []
