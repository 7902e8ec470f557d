"""What runs beside the API: images, start-ups, and taking up what a killed server left."""

import anyio
import pytest

from alcove.core import reconciler, service, startups, usages, workspaces
from alcove.core.images import RETRY, Images
from alcove.drivers.base import ImageStatus
from alcove.model.errors import DriverError, Unavailable
from alcove.model.workspace import Clone, LeaseToken, Phase, Workspace
from alcove.store import leases, templates
from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.world import ADA, World, open_world

CLONE = Clone("https://example.com/x.git", None, "x", "Ada", "ada@example.com")


async def _image(world: World) -> str:
    async with world.core.db.read() as tx:
        [version] = await templates.active_versions(tx, ["python"])
    return version.recipe.image.key


async def _kinds(world: World) -> list[str]:
    return [event.kind for event in await world.events() if event.kind.startswith("image.")]


async def test_an_image_that_was_built_is_told_of_once(world: World) -> None:
    images, key = Images(world.core), await _image(world)
    for state in ("building", "building", "ready", "ready"):
        world.driver.image_states[key] = ImageStatus(key, state, "unpacking 34 %", 120)
        await images.tick()
    assert await _kinds(world) == ["image.built"]


async def test_an_image_that_was_there_before_us_is_no_news(world: World) -> None:
    await Images(world.core).tick()
    assert await _kinds(world) == []


async def test_a_failed_build_is_told_and_tried_again_later(world: World) -> None:
    images, key = Images(world.core), await _image(world)
    world.driver.image_states[key] = ImageStatus(key, "failed", "no such package: perk", 0)
    await images.tick()
    await images.tick()
    [told] = [e for e in await world.events() if e.kind == "image.failed"]
    assert told.detail["detail"] == "no such package: perk"
    assert told.detail["templates"] == ["python"]
    world.driver.image_states[key] = ImageStatus(key, "ready", "", 100)
    await images.tick()
    assert await _kinds(world) == ["image.failed"]
    world.clock.now += RETRY
    await images.tick()
    assert await _kinds(world) == ["image.failed", "image.built"]


async def test_a_driver_that_is_away_makes_images_wait(world: World) -> None:
    async def away(_: object) -> ImageStatus:
        raise DriverError("the host process is gone", retry=True)

    world.driver.prepare = away  # pyright: ignore[reportAttributeAccessIssue]
    await Images(world.core).tick()
    assert await _kinds(world) == []


async def _with_clone(world: World) -> Workspace:
    made = await world.create(name="api")
    await world.revise(made, clone=CLONE)
    await world.settle()
    row = await world.row(made.id)
    assert (row.phase, row.health) == (Phase.RUNNING, "starting")
    return row


async def test_the_claim_names_the_clone_before_the_scripts(world: World) -> None:
    made = await _with_clone(world)
    [claim] = world.driver.runtimes[made.id].agent.claims
    [step] = claim["startup"]["steps"]
    assert (step["kind"], step["url"], step["dir"]) == ("clone", CLONE.url, "x")
    assert claim["startup"]["id"] == made.boot


async def test_a_start_up_that_went_well_is_ok(world: World) -> None:
    made = await _with_clone(world)
    await startups.follow(world.core, made)
    assert (await world.row(made.id)).health == "ok"


async def test_a_server_that_starts_takes_up_start_ups_it_never_saw(world: World) -> None:
    made = await _with_clone(world)
    async with anyio.create_task_group() as group:
        group.start_soon(startups.run, world.core)
        with anyio.fail_after(10):
            while (await world.row(made.id)).health == "starting":  # noqa: ASYNC110
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    assert (await world.row(made.id)).health == "ok"


async def test_two_followers_tell_of_it_once(world: World) -> None:
    made = await _with_clone(world)
    async with anyio.create_task_group() as group:
        group.start_soon(startups.follow, world.core, made)
        group.start_soon(startups.follow, world.core, made)
    kinds = [event.kind for event in await world.events(made.id)]
    assert kinds.count("workspace.health_changed") == 1


async def test_the_start_up_of_a_boot_that_is_over_is_not_written(world: World) -> None:
    made = await _with_clone(world)
    await workspaces.stop(world.core, ADA, "api")
    await world.settle()
    await startups.follow(world.core, made)
    assert "workspace.health_changed" not in {e.kind for e in await world.events(made.id)}


@pytest.mark.parametrize(
    ("step", "health"),
    [
        ({"state": "done"}, "ok"),
        ({"state": "skipped"}, "ok"),
        ({"state": "failed", "exit_code": 3}, "degraded: clone failed: exit code 3"),
        ({"state": "failed", "error": "no route"}, "degraded: clone failed: no route"),
        ({"state": "failed"}, "degraded: clone failed: no reason given"),
    ],
)
def test_health_is_a_sentence(step: dict[str, object], health: str) -> None:
    assert startups.health_of([{"name": "clone", **step}]) == health


async def test_on_sqlite_a_killed_servers_leases_end_with_it(
    file_url: str, clock: MovedClock
) -> None:
    db = Database(file_url)
    async with open_world(db, clock) as world:
        made = await world.create()
        async with db.transaction() as tx:
            token, lease = LeaseToken("killed"), reconciler.LEASE
            await leases.lease_due(tx, token=token, now=clock(), lease=lease, limit=9)
        async with anyio.create_task_group() as group:
            group.start_soon(service.run, world.core)
            await workspaces.wait(world.core, ADA, made.id, timeout_s=10)
            group.cancel_scope.cancel()
        assert (await world.row(made.id)).phase is Phase.RUNNING
    await db.aclose()


async def test_usage_is_shown_and_never_an_error(world: World) -> None:
    made = await world.create()
    await world.settle()
    assert (await usages.latest(world.core, [made.id]))[made.id].memory_mib == 8

    async def away(_: object) -> object:
        raise DriverError("the host process is gone", retry=True)

    world.driver.usage = away  # pyright: ignore[reportAttributeAccessIssue]
    assert await usages.latest(world.core, [made.id]) == {}


@pytest.mark.parametrize("loop", ["reconciler", "startups", "timers"])
async def test_a_loop_waits_for_a_database_that_is_away(
    file_url: str, clock: MovedClock, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Database) -> None:
        raise Unavailable("scripted")

    db = Database(file_url)
    async with open_world(db, clock) as world:
        monkeypatch.setattr(Database, "transaction", away)
        monkeypatch.setattr(Database, "read", away)
        with anyio.move_on_after(0.1) as scope:
            await service.loops(world.core)[loop]()
        assert scope.cancelled_caught
    monkeypatch.undo()
    await db.aclose()
