"""Several servers on one PostgreSQL, and a database that goes away in the middle."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from alcove.core import events, service, workspaces
from alcove.core.app import Core
from alcove.drivers.fake import FakeDriver
from alcove.model.access import SYSTEM
from alcove.model.errors import Unavailable
from alcove.model.workspace import Phase, Workspace, WorkspaceId
from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.world import ADA, SECRET, World, open_world
from tests.postgres import Postgres

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def _two_servers(url: str) -> AsyncGenerator[tuple[World, Core]]:
    """A world, and a second server with its own connections, on the same driver and clock."""
    first, second = Database(url), Database(url)
    async with open_world(first, MovedClock()) as world:
        other = Core.build(
            settings=world.core.settings,
            driver=world.driver,
            secret=SECRET,
            db=second,
            clock=world.clock,
        )
        try:
            yield world, other
        finally:
            await other.aclose()
            await first.aclose()


def _watch_overlaps(driver: FakeDriver) -> list[WorkspaceId]:
    busy, overlaps = set[WorkspaceId](), list[WorkspaceId]()

    async def enter(_: str, id: WorkspaceId) -> None:
        if id in busy:
            overlaps.append(id)
        busy.add(id)
        await anyio.sleep(0.005)

    async def leave(_: str, id: WorkspaceId) -> None:
        busy.discard(id)

    driver.before, driver.after = enter, leave
    return overlaps


async def test_two_servers_start_each_workspace_once(server_url: str) -> None:
    async with _two_servers(server_url) as (world, other):
        overlaps = _watch_overlaps(world.driver)
        made: list[Workspace] = []
        async with anyio.create_task_group() as group:
            group.start_soon(service.run, world.core)
            group.start_soon(service.run, other)
            made += [await world.create() for _ in range(30)]
            for workspace in made:
                core = world.core if workspace.id < "ws-m" else other
                with anyio.fail_after(30):
                    done = await workspaces.wait(core, ADA, workspace.id, timeout_s=30)
                assert done.phase is Phase.RUNNING
            group.cancel_scope.cancel()
        created = [id for verb, id in world.driver.calls if verb == "create"]
        assert sorted(created) == sorted(workspace.id for workspace in made)
        assert overlaps == []


async def test_a_follower_on_one_server_sees_what_the_other_commits_at_once(
    server_url: str,
) -> None:
    async with _two_servers(server_url) as (world, other), anyio.create_task_group() as group:
        group.start_soon(service.hear, other)
        follower = events.follow(other, SYSTEM, after=0, beat_s=60)
        await world.create(name="first")
        assert [e.seq for e in await anext(follower)] == [1]
        await world.create(name="second")
        with anyio.fail_after(events.POLL_S * 0.75):
            assert [e.seq for e in await anext(follower)] == [2]
        await follower.aclose()
        group.cancel_scope.cancel()


async def test_a_restart_of_the_database_in_the_middle_starts_nothing_twice(
    postgres_server: Postgres, server_url: str
) -> None:
    async with _two_servers(server_url) as (world, other):
        overlaps = _watch_overlaps(world.driver)
        made = [(await world.create(name=f"w{n}")).id for n in range(10)]
        async with anyio.create_task_group() as group:
            group.start_soon(service.run, world.core)
            group.start_soon(service.run, other)
            await anyio.sleep(0.02)
            await anyio.to_thread.run_sync(postgres_server.restart)
            # Whoever held a lease then could not settle; the lease has to run out.
            world.clock.move(seconds=30)
            with anyio.fail_after(60):
                for id in made:
                    await _running(world, id)
            group.cancel_scope.cancel()
        assert overlaps == []
        assert set(world.driver.runtimes) == set(made)
        for id in made:
            assert await world.phases(id) == ["running"]


async def _running(world: World, id: WorkspaceId) -> None:
    while True:
        with suppress(Unavailable):
            found = await workspaces.wait(world.core, ADA, id, timeout_s=5)
            if found.phase is Phase.RUNNING:
                return
            # Nothing is under way any more: what was lost with a connection has its lease left.
            world.clock.move(seconds=30)
        await anyio.sleep(0.05)
