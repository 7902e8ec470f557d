"""Which isolation a workspace gets when it is created, and that it keeps it."""

from typing import Any

import pytest

from alcove.config import Settings, load
from alcove.core import workspaces
from alcove.core.templates import render_dry
from alcove.drivers.fake import FakeDriver
from alcove.model.errors import Denied, Invalid, Unsupported
from alcove.model.workspace import Isolation
from alcove.store.db import Database
from alcove.wire.workspaces import NewWorkspace, WorkspaceChange
from tests.conftest import MovedClock
from tests.core.world import ADA, AGENT, PYTHON, World, add_template, open_world

C, G = Isolation.CONTAINER, Isolation.GVISOR


def both() -> FakeDriver:
    return FakeDriver(isolation=frozenset({C, G}))


async def got(world: World, **asked: Any) -> Isolation:
    return (await world.create(**asked)).spec.isolation


async def test_agents_get_gvisor_where_it_is_to_be_had(db: Database, clock: MovedClock) -> None:
    async with open_world(db, clock, driver=both()) as world:
        assert await got(world, template="agent") is G
        assert await got(world, template="python") is C
        assert await got(world, template="agent", isolation="container") is C
        dry = await render_dry(world.core, ADA, "agent", NewWorkspace(template="agent"))
        assert dry[1].spec.isolation is G


async def test_agents_get_a_container_where_there_is_no_gvisor(world: World) -> None:
    assert await got(world, template="agent") is C


async def test_a_template_that_says_container_stays_so(db: Database, clock: MovedClock) -> None:
    async with open_world(db, clock, driver=both()) as world:
        async with db.transaction() as tx:
            await add_template(tx, AGENT + b"isolation: container\n")
        assert await got(world, template="agent") is C


async def test_the_operators_minimum_lifts_and_denies(db: Database, clock: MovedClock) -> None:
    settings = Settings(isolation_min="gvisor")
    async with open_world(db, clock, driver=both(), settings=settings) as world:
        assert await got(world, template="python") is G
        with pytest.raises(Denied, match="weaker than gvisor, the least on this server"):
            await world.create(isolation="container")


async def test_a_minimum_that_is_not_to_be_had_is_an_error(
    db: Database, clock: MovedClock
) -> None:
    async with open_world(db, clock, settings=Settings(isolation_min="gvisor")) as world:
        for template in ("python", "agent"):
            with pytest.raises(Unsupported, match="gvisor"):
                await world.create(template=template)


async def test_a_template_may_allow_less_than_it_gives(db: Database, clock: MovedClock) -> None:
    async with open_world(db, clock, driver=both()) as world:
        async with db.transaction() as tx:
            await add_template(tx, PYTHON + b"isolation: gvisor\n")
        with pytest.raises(Denied, match="the least of the template"):
            await world.create(isolation="container")
        clock.move(minutes=1)
        async with db.transaction() as tx:
            text = PYTHON + b"isolation: gvisor\nisolation_min: container\n"
            await add_template(tx, text)
        assert await got(world) is G
        assert await got(world, isolation="container") is C


async def test_what_exists_keeps_its_isolation(db: Database, clock: MovedClock) -> None:
    driver = FakeDriver()
    async with open_world(db, clock, driver=driver) as world:
        made = await world.create(template="agent")
        driver.isolation = frozenset({C, G})
        clock.move(minutes=5)
        change = WorkspaceChange.model_validate({"ttl": "1h"})
        changed = await workspaces.update(world.core, ADA, made.id, change)
        assert changed.spec.isolation is C


def test_a_setting_that_means_nothing_stops_the_start() -> None:
    with pytest.raises(Invalid, match="isolation_min: 'strong' is not one of"):
        load({"ALCOVE_ISOLATION_MIN": "strong"})
    with pytest.raises(Invalid, match="snapshot_ttl"):
        load({"ALCOVE_SNAPSHOT_TTL": "soon"})
