"""Two servers on one PostgreSQL claim from the same pools."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from alcove.core import pools, service
from alcove.core.app import Core
from alcove.model.pool import fixed_size
from alcove.model.workspace import StartedFrom, Workspace
from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.test_pools import POOLED, claim, fill, ready
from tests.core.world import ADA, BOB, ROOT, SECRET, World, add_template, open_world

pytestmark = pytest.mark.postgres
MEMBERS = 200


@asynccontextmanager
async def _two_servers(url: str) -> AsyncGenerator[tuple[World, World]]:
    first, second = Database(url), Database(url)
    async with open_world(first, MovedClock()) as world:
        async with first.transaction() as tx:
            await add_template(tx, POOLED)
        other = Core.build(
            settings=world.core.settings,
            driver=world.driver,
            secret=SECRET,
            db=second,
            clock=world.clock,
        )
        try:
            yield world, World(other, world.clock, world.driver)
        finally:
            await other.aclose()
            await first.aclose()


async def test_two_servers_give_none_of_two_hundred_members_twice(server_url: str) -> None:
    async with _two_servers(server_url) as (one, two):
        await pools.put(one.core, ROOT, "pooled", None, fixed_size(MEMBERS))
        await fill(one, times=MEMBERS // 8 + 4)
        assert await ready(one) == MEMBERS
        made: list[Workspace] = []

        async def claims(world: World, many: int) -> None:
            for number in range(many):
                owner = ADA if number % 2 else BOB
                made.append(await world.create(owner, template="pooled"))

        async with anyio.create_task_group() as group:
            for world in (one, two):
                for _ in range(10):
                    group.start_soon(claims, world, MEMBERS // 20)
        assert {workspace.started for workspace in made} == {StartedFrom.POOL}
        assert len({workspace.id for workspace in made}) == MEMBERS
        owners = {workspace.id: workspace.owner for workspace in made}
        for id, runtime in one.driver.runtimes.items():
            [said] = runtime.agent.claims
            assert said["identity"]["owner"] == ("ada" if owners[id] == ADA.id else "bob")
        late = await claim(two)
        assert late.started is None


async def test_a_server_refills_what_another_one_claimed(server_url: str) -> None:
    async with _two_servers(server_url) as (one, two):
        await fill(one)
        async with anyio.create_task_group() as group:
            group.start_soon(service.run, one.core)
            for _ in range(3):
                assert (await claim(two)).started is StartedFrom.POOL
            with anyio.fail_after(30):
                while await ready(one) < 3:
                    one.clock.move(seconds=1)
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()
