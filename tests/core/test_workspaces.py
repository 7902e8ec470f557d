from alcove.core import workspaces
from alcove.model.workspace import Phase
from tests.core.world import ADA, World


async def test_life_of_a_workspace(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.RUNNING
    await workspaces.stop(world.core, ADA, "api")
    await world.settle()
    stopped = await world.row(made.id)
    assert (stopped.phase, stopped.reason) == (Phase.STOPPED, "stopped: ada asked for it")
    await workspaces.start(world.core, ADA, made.id)
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.RUNNING
    await workspaces.delete(world.core, ADA, "ada/api")
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.DELETED
    assert [verb for verb, _ in world.driver.calls] == ["create", "stop", "start", "destroy"]
    assert await world.phases(made.id) == [
        "running", "stopping", "stopped", "starting", "running", "deleting", "deleted",
    ]  # fmt: skip
