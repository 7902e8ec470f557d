"""kill -9 of the host process before and after each step of each verb: the repeated verb finishes,
nothing is left over, and what ran goes on running."""

from collections.abc import AsyncGenerator

import pytest

from alcove.host.crashpoints import every_point
from alcove.model.errors import DriverError
from alcove.model.workspace import Handle, Observed, RootMode, WorkspaceId
from tests.host.installation import Installation, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

_POINTS = list(every_point())


def _of(*verbs: str) -> list[str]:
    return [point for point in _POINTS if point.split(":")[0] in verbs]


@pytest.fixture
async def installation(crash_installation: Installation) -> AsyncGenerator[Installation]:
    """Empty at the beginning of each test, whatever the one before it did."""
    installation = crash_installation
    installation.crash_file.unlink(missing_ok=True)
    if not installation.listens():
        installation.up()
    installation.connect()
    for one in await installation.driver.inventory():
        await installation.driver.destroy(one.workspace, None)
    yield installation
    await installation.disconnect()


async def _cut_off(installation: Installation, point: str, box: WorkspaceId) -> None:
    """Have the verb of `point` cut off there, and bring the host process up again."""
    installation.crash_file.write_text(point)
    handle = (await installation.driver.observe(box, None)).handle or Handle("local", 1, box)
    with pytest.raises(DriverError, match="cannot be reached"):
        await _act(installation, point.partition(":")[0], box, handle)
    installation.kill()
    installation.crash_file.unlink()
    installation.up()


async def _act(installation: Installation, verb: str, box: WorkspaceId, handle: Handle) -> None:
    driver, spec = installation.driver, a_spec(RootMode.CONTAINED)
    key = installation.control_key(box)
    match verb:
        case "create":
            await driver.create(box, spec, control_key=key)
        case "start":
            await driver.start(box, handle, spec, control_key=key)
        case "stop":
            await driver.stop(box, handle, grace_s=2)
        case _:
            await driver.destroy(box, handle)


@pytest.mark.parametrize("point", _of("create"))
async def test_a_create_cut_off_is_finished_by_the_next(
    installation: Installation, point: str
) -> None:
    box = installation.new_id()
    await _cut_off(installation, point, box)
    seen = await installation.driver.observe(box, None)
    assert seen.state in (Observed.ABSENT, Observed.EXITED)
    assert (seen.handle is None) == (seen.state is Observed.ABSENT)
    running = await installation.create(a_spec(RootMode.CONTAINED), box)
    assert (await running.run("echo here")).stdout == "here\n"
    await _only_this_is_there(installation, box)
    await running.destroy()
    assert list(await installation.driver.inventory()) == []


@pytest.mark.parametrize("point", _of("create")[::4])
async def test_a_create_cut_off_is_removed_by_destroy(
    installation: Installation, point: str
) -> None:
    box = installation.new_id()
    await _cut_off(installation, point, box)
    assert (await installation.driver.destroy(box, None)).left == ()
    assert list(await installation.driver.inventory()) == []


@pytest.mark.parametrize("point", _of("start"))
async def test_a_start_cut_off_keeps_the_home(installation: Installation, point: str) -> None:
    running = await installation.create(a_spec(RootMode.CONTAINED))
    await running.run("echo kept > ~/kept; sync")
    await running.stop()
    await _cut_off(installation, point, running.id)
    running = await running.start()
    assert (await running.run("cat ~/kept")).stdout == "kept\n"
    await _only_this_is_there(installation, running.id)
    await running.destroy()


@pytest.mark.parametrize("point", _of("stop"))
async def test_a_stop_cut_off_is_finished_by_the_next(
    installation: Installation, point: str
) -> None:
    running = await installation.create(a_spec(RootMode.CONTAINED))
    await running.run("echo kept > ~/kept")
    await _cut_off(installation, point, running.id)
    await running.stop()
    seen = await installation.driver.observe(running.id, None)
    assert seen.state is Observed.EXITED
    await installation.until_only(running.id, {"record", "volume"})
    seen = await installation.driver.observe(running.id, None)
    assert (seen.state, seen.orderly) == (Observed.EXITED, True)
    running = await running.start()
    assert (await running.run("cat ~/kept")).stdout == "kept\n"
    await running.destroy()


@pytest.mark.parametrize("point", _of("destroy"))
async def test_a_destroy_cut_off_is_finished_by_the_next(
    installation: Installation, point: str
) -> None:
    running = await installation.create(a_spec(RootMode.CONTAINED))
    await _cut_off(installation, point, running.id)
    removal = await installation.driver.destroy(running.id, None)
    assert removal.left == ()
    assert list(await installation.driver.inventory()) == []
    seen = await installation.driver.observe(running.id, None)
    assert seen.state is Observed.ABSENT


async def test_running_workspaces_live_on_without_the_host_process(
    installation: Installation,
) -> None:
    running = await installation.create()
    await running.run("setsid sleep 1000 >/dev/null 2>&1 & echo $! > ~/pid")
    before = await installation.driver.observe(running.id, None)
    installation.kill()
    blind = await installation.driver.observe(running.id, running.handle)
    assert blind.state is Observed.UNKNOWN
    assert (await running.run("kill -0 $(cat ~/pid) && echo alive")).stdout == "alive\n"
    installation.up()
    assert await installation.driver.observe(running.id, None) == before
    assert (await running.run("kill -0 $(cat ~/pid) && echo alive")).stdout == "alive\n"
    await running.destroy()


async def test_after_a_restart_of_the_machine_workspaces_start_again(
    installation: Installation,
) -> None:
    running = await installation.create(a_spec(RootMode.CONTAINED))
    await running.run("echo kept > ~/kept; sync")
    installation.kill()
    installation.lose_the_kernel(running.id, running.pid())
    installation.up()
    seen = await installation.driver.observe(running.id, None)
    assert (seen.state, seen.detail) == (Observed.EXITED, "the host was restarted")
    running = await running.start()
    assert (await running.run("cat ~/kept")).stdout == "kept\n"
    await running.destroy()
    assert list(await installation.driver.inventory()) == []


async def test_teardown_leaves_only_volumes(installation: Installation) -> None:
    running = await installation.create(a_spec(RootMode.CONTAINED))
    installation.end()
    done = installation.tear_down()
    assert (done.returncode, done.stderr.decode()) == (0, "")
    installation.up()
    await installation.until_only(running.id, {"record", "volume"})
    seen = await installation.driver.observe(running.id, None)
    assert (seen.state, seen.orderly) == (Observed.EXITED, True)
    running = await running.start()
    assert (await running.run("echo again")).stdout == "again\n"
    await running.destroy()


async def _only_this_is_there(installation: Installation, box: WorkspaceId) -> None:
    found = await installation.driver.inventory()
    assert [one.workspace for one in found] == [box]
    assert len(set(found[0].what)) == len(found[0].what)
    # The volume, the root and the home, each once.
    assert len(installation.mounts()) == 3
