"""The whole fleet in numbers: what runs, what waits, how quickly it starts, what failed."""

import pytest

from alcove.core import fleet, workspaces
from alcove.core.timers import Timers
from alcove.drivers.base import Usage
from alcove.model.access import Actor, Role
from alcove.model.errors import Denied, DriverError
from alcove.model.workspace import Isolation, Kind, Phase, StartedFrom, UserId
from alcove.store.fleet import Order, RowFilters, Starts
from tests.core.world import ADA, BOB, ROOT, World

EVE = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)


def names(table: fleet.Table) -> list[str]:
    return [row.workspace.name for row in table.rows]


async def test_people_and_agents_are_counted_apart(world: World) -> None:
    await world.create(name="one")
    await world.create(BOB, name="two")
    await world.create(BOB, template="agent", name="bot")
    await world.settle()
    waiting = await world.create(name="late")
    seen = await fleet.look_at(world.core, EVE)
    assert seen.running == {Kind.HUMAN: 2, Kind.AGENT: 1}
    assert (seen.queued, seen.queued_since) == (1, waiting.created_at)
    assert seen.phases == {Phase.PROVISIONING: 1, Phase.RUNNING: 3}
    assert seen.live == 4


async def test_what_is_stopped_holds_disk_and_nothing_else(world: World) -> None:
    made = await world.create(parameters={"cpu": 4})
    other = await world.create(BOB)
    await world.settle()
    await workspaces.stop(world.core, BOB, other.id)
    await world.settle()
    given = (await fleet.look_at(world.core, EVE)).given
    assert given.cpu_millis == made.spec.resources.cpu_millis
    assert given.memory_mib == made.spec.resources.memory_mib
    assert given.disk_mib == made.spec.resources.disk_mib + other.spec.resources.disk_mib


async def test_first_starts_of_the_last_hour_are_timed(world: World) -> None:
    await world.create(name="old")
    await world.settle()
    world.clock.move(minutes=61)
    await world.create(name="new")
    world.clock.move(seconds=3)
    await world.settle()
    [times] = (await fleet.look_at(world.core, EVE)).starts
    assert times == fleet.StartTimes(Isolation.CONTAINER, StartedFrom.COLD, 1, 3.0, 3.0)


async def test_a_second_start_is_not_taken_for_a_slow_first_one(world: World) -> None:
    made = await world.create()
    await world.settle()
    world.clock.move(minutes=20)
    await workspaces.restart(world.core, ADA, made.id)
    await world.settle()
    assert (await fleet.look_at(world.core, EVE)).starts == []


async def test_what_was_deleted_after_it_ran_still_counts_as_a_start(world: World) -> None:
    made = await world.create()
    await world.settle()
    await workspaces.delete(world.core, ADA, made.id)
    await world.settle()
    seen = await fleet.look_at(world.core, EVE)
    assert [times.many for times in seen.starts] == [1]
    assert seen.live == 0


async def test_a_failure_says_whose_what_and_why(world: World) -> None:
    world.driver.failure = DriverError("no space left on the disk", retry=False)
    world.driver.fail_next = 1
    made = await world.create(name="unlucky")
    await world.settle()
    seen = await fleet.look_at(world.core, EVE)
    [failure] = seen.failures
    assert (failure.workspace, failure.name, failure.owner) == (made.id, "unlucky", "ada")
    assert "no space left on the disk" in failure.error
    assert failure.final
    assert seen.failed_last_hour == 1
    world.clock.move(minutes=61)
    assert (await fleet.look_at(world.core, EVE)).failed_last_hour == 0


async def test_leaks_are_told_by_the_server_that_sweeps(world: World) -> None:
    assert (await fleet.look_at(world.core, EVE)).leaks is None
    await Timers(world.core).tick()
    assert (await fleet.look_at(world.core, EVE)).leaks == 0
    world.clock.move(minutes=5)
    assert (await fleet.look_at(world.core, EVE)).leaks is None


async def test_pools_are_told_with_their_members_apart(world: World) -> None:
    seen = await fleet.look_at(world.core, EVE)
    assert seen.pools == []
    assert seen.pooled == fleet.Given()


async def test_the_table_has_everybodys_with_what_they_use(world: World) -> None:
    made = await world.create(name="mine")
    await world.create(BOB, name="theirs")
    await world.settle()
    usage = Usage(1, 64, 128, 2, 10, 0, 0, 3, 0)
    world.driver.usages[made.id] = usage
    table = await fleet.find(world.core, EVE, RowFilters())
    assert {row.owner for row in table.rows} == {"ada", "bob"}
    assert table.total == 2
    assert table.usage[made.id] == usage


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (RowFilters(phases=[Phase.STOPPED]), ["beta"]),
        (RowFilters(kind=Kind.AGENT), ["gamma"]),
        (RowFilters(owner="bob"), ["beta", "gamma"]),
        (RowFilters(template="python"), ["alpha", "beta"]),
        (RowFilters(isolation=Isolation.CONTAINER), ["alpha", "beta", "gamma"]),
        (RowFilters(isolation=Isolation.GVISOR), []),
        (RowFilters(text="ALPH"), ["alpha"]),
        (RowFilters(text="example.com/thing"), ["alpha"]),
        (RowFilters(text="%"), []),
        (RowFilters(owner="bob", kind=Kind.HUMAN, text="et"), ["beta"]),
    ],
)
async def test_the_table_is_filtered(world: World, filters: RowFilters, found: list[str]) -> None:
    await world.create(name="alpha", repo="https://git.example.com/thing.git")
    beta = await world.create(BOB, name="beta")
    await world.create(BOB, name="gamma", template="agent")
    await world.settle()
    await workspaces.stop(world.core, BOB, beta.id)
    await world.settle()
    table = await fleet.find(world.core, EVE, filters, order=Order.NAME)
    assert names(table) == found
    assert table.total == len(found)


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (Order.NEWEST, ["c", "a", "b"]),
        (Order.OLDEST, ["b", "a", "c"]),
        (Order.NAME, ["a", "b", "c"]),
        (Order.OWNER, ["a", "b", "c"]),
        (Order.TEMPLATE, ["c", "a", "b"]),
        (Order.USED, ["c", "a", "b"]),
    ],
)
async def test_the_table_is_sorted(world: World, order: Order, found: list[str]) -> None:
    for actor, name in ((ADA, "b"), (ADA, "a"), (BOB, "c")):
        await world.create(actor, name=name)
        world.clock.move(seconds=1)
    assert names(await fleet.find(world.core, EVE, RowFilters(), order=order)) == found


async def test_what_failed_comes_first_by_state(world: World) -> None:
    world.driver.failure = DriverError("broken", retry=False)
    await world.create(name="fine")
    await world.settle()
    world.driver.fail_next = 1
    await world.create(name="bad")
    await world.settle()
    await world.create(name="later")
    table = await fleet.find(world.core, EVE, RowFilters(), order=Order.STATE)
    assert names(table)[0] == "bad"


async def test_the_table_comes_in_pages(world: World) -> None:
    for name in "abc":
        await world.create(name=name)
    table = await fleet.find(world.core, EVE, RowFilters(), order=Order.NAME, skip=1, limit=1)
    assert (names(table), table.total) == (["b"], 3)


@pytest.mark.parametrize("many", [1, 20])
async def test_looking_costs_the_same_queries_however_many_there_are(
    world: World, many: int
) -> None:
    for number in range(many):
        await world.create(ADA if number % 2 else BOB, name=f"w{number}")
    await world.settle()
    await fleet.look_at(world.core, EVE)
    before = world.core.db.queries
    await fleet.look_at(world.core, EVE)
    await fleet.find(world.core, EVE, RowFilters())
    assert world.core.db.queries - before == QUERIES


QUERIES = 13


@pytest.mark.parametrize("actor", [ADA, BOB])
async def test_members_do_not_see_the_fleet(world: World, actor: Actor) -> None:
    with pytest.raises(Denied):
        await fleet.look_at(world.core, actor)
    with pytest.raises(Denied):
        await fleet.find(world.core, actor, RowFilters())


async def test_owners_see_it(world: World) -> None:
    assert (await fleet.look_at(world.core, ROOT)).live == 0


def test_percentiles_are_of_each_way_to_start() -> None:
    cold, pool = fleet.summed_up(
        [
            Starts(Isolation.CONTAINER, StartedFrom.COLD, range(1, 101)),
            Starts(Isolation.CONTAINER, StartedFrom.POOL, (0.2, 0.1)),
        ]
    )
    assert (cold.many, cold.p50_s, cold.p95_s) == (100, 50, 95)
    assert (pool.started, pool.p50_s, pool.p95_s) == (StartedFrom.POOL, 0.1, 0.2)


def test_the_percentile_of_one_is_that_one() -> None:
    assert fleet.percentile([7.0], 95) == 7.0
