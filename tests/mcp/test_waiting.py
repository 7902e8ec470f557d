"""What an agent is told of a sandbox that it waits for."""

import anyio

from alcove.core import workspaces
from alcove.http.addresses import link_url
from alcove.mcp.calls import Use
from alcove.mcp.tools import sandboxes
from alcove.model.errors import DriverError
from alcove.model.workspace import Phase
from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.world import ADA, open_world


async def test_one_that_had_failed_is_waited_for_when_it_is_started_again(
    db: Database, clock: MovedClock
) -> None:
    told: list[str] = []

    async def progress(_: float, __: float | None, said: str) -> None:
        told.append(said)

    async with open_world(db, clock) as world:
        world.driver.fail_next, world.driver.failure = 1, DriverError("no image", retry=False)
        made = await world.create()
        await world.settle()
        use = Use(world.core, ADA, progress, link_url)
        started = await workspaces.start(world.core, ADA, made.id)
        assert "is failed" not in (await sandboxes.shown(use, started)).text
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                found = await sandboxes.until_ready(use, made.id, wait_s=60)
                assert found.phase is Phase.RUNNING

            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await world.settle()
    assert told
    assert not any(said.startswith("failed") for said in told)
