"""kill -9 of the host process before and after each step of each verb: the repeated verb finishes,
nothing is left over, and what ran goes on running."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from alcove.host.crashpoints import every_point
from alcove.model.errors import DriverError
from alcove.model.workspace import (
    Handle,
    Observed,
    Resources,
    RootMode,
    SnapshotId,
    Spec,
    WorkspaceId,
)
from tests.host.installation import Installation, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

_POINTS = list(every_point())
SPEC = a_spec(RootMode.CONTAINED)
ADOPTED = replace(SPEC, hostname="adopted", resources=Resources(2000, 512, 128, 300))
KEPT = SnapshotId("sn-abcdefgh2345672a")
_COUNT = (
    "setsid sh -c 'i=0; while true; do i=$((i+1)); echo $i > ~/count; sleep 0.02; done'"
    " >/dev/null 2>&1 & while [ ! -s ~/count ]; do sleep 0.01; done"
)
_COUNTS = "a=$(cat ~/count); while [ $(cat ~/count) = $a ]; do sleep 0.01; done; echo on"


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
    await installation.driver.drop_snapshot(KEPT)
    yield installation
    await installation.disconnect()


async def _cut_off(
    installation: Installation, point: str, box: WorkspaceId, spec: Spec = SPEC
) -> None:
    """Have the verb of `point` cut off there, and bring the host process up again."""
    installation.crash_file.write_text(point)
    handle = (await installation.driver.observe(box, None)).handle or Handle("local", 1, box)
    with pytest.raises(DriverError, match="cannot be reached"):
        await _act(installation, point.partition(":")[0], box, handle, spec)
    installation.kill()
    installation.crash_file.unlink()
    installation.up()


async def _act(
    installation: Installation, verb: str, box: WorkspaceId, handle: Handle, spec: Spec
) -> None:
    driver = installation.driver
    key = installation.control_key(box)
    match verb:
        case "create":
            await driver.create(box, spec, control_key=key)
        case "start":
            await driver.start(box, handle, spec, control_key=key)
        case "stop":
            await driver.stop(box, handle, grace_s=2)
        case "adopt":
            await driver.adopt(box, handle, ADOPTED)
        case "pause":
            await driver.pause(box, handle)
        case "resume":
            await driver.resume(box, handle)
        case "take_snapshot":
            await driver.take_snapshot(box, handle, KEPT)
        case "drop_snapshot":
            await driver.drop_snapshot(KEPT)
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


@pytest.mark.parametrize("point", _of("adopt"))
async def test_an_adoption_cut_off_is_finished_by_the_next(
    installation: Installation, point: str
) -> None:
    running = await installation.create(SPEC)
    await running.run(_COUNT)
    await _cut_off(installation, point, running.id)
    await installation.driver.adopt(running.id, running.handle, ADOPTED)
    assert (await running.run("hostname; cat /etc/hostname")).stdout == "adopted\nadopted\n"
    limits = installation.cgroups().limits(running.id)
    assert (limits.memory_bytes, limits.pids) == (512 << 20, 300)
    assert (await running.run(_COUNTS)).stdout == "on\n"
    await running.destroy()
    assert list(await installation.driver.inventory()) == []


@pytest.mark.parametrize("point", _of("pause", "resume"))
async def test_a_pause_or_resume_cut_off_is_one_or_the_other(
    installation: Installation, point: str
) -> None:
    running = await installation.create(SPEC)
    await running.run(_COUNT)
    if point.startswith("resume"):
        await installation.driver.pause(running.id, running.handle)
    await _cut_off(installation, point, running.id)
    seen = await installation.driver.observe(running.id, None)
    assert seen.state in (Observed.PAUSED, Observed.READY)
    assert installation.cgroups().frozen(running.id) == (seen.state is Observed.PAUSED)
    await _act(installation, point.partition(":")[0], running.id, running.handle, SPEC)
    seen = await installation.driver.observe(running.id, None)
    expected = Observed.PAUSED if point.startswith("pause") else Observed.READY
    assert seen.state is expected
    await installation.driver.resume(running.id, running.handle)
    assert (await running.run(_COUNTS)).stdout == "on\n"
    await running.destroy()
    assert list(await installation.driver.inventory()) == []


_TAKING = _of("take_snapshot")


@pytest.mark.parametrize(
    ("point", "paused"), [*((p, False) for p in _TAKING), *((p, True) for p in _TAKING[2:8])]
)
async def test_a_snapshot_cut_off_leaves_nothing_and_nobody_standing(
    installation: Installation, point: str, paused: bool
) -> None:
    running = await installation.create(SPEC)
    await running.run(_COUNT)
    if paused:
        await installation.driver.pause(running.id, running.handle)
    await _cut_off(installation, point, running.id)
    there = installation.data_dir / "host/snapshots"
    finished = point == "take_snapshot:keep:after"
    assert [p.name for p in there.iterdir()] == ([KEPT] if finished else [])
    assert installation.cgroups().frozen(running.id) == paused
    await installation.driver.resume(running.id, running.handle)
    # It writes to its files again.
    assert (await running.run(_COUNTS)).stdout == "on\n"
    taken = await installation.driver.take_snapshot(running.id, running.handle, KEPT)
    assert list(await installation.driver.snapshots()) == [taken]
    copy = await installation.create(replace(SPEC, snapshot=KEPT))
    assert (await copy.run("test -s ~/count && echo kept")).stdout == "kept\n"
    await copy.destroy()
    await running.destroy()
    assert list(await installation.driver.inventory()) == []


@pytest.mark.parametrize("point", _of("create"))
async def test_a_create_from_a_snapshot_cut_off_begins_with_all_of_it(
    installation: Installation, point: str
) -> None:
    origin = await installation.create(SPEC)
    await origin.run("echo mine > ~/kept; sudo sh -c 'echo root > /etc/added'")
    await installation.driver.take_snapshot(origin.id, origin.handle, KEPT)
    await origin.destroy()
    box, spec = installation.new_id(), replace(SPEC, snapshot=KEPT)
    await _cut_off(installation, point, box, spec)
    seen = await installation.driver.observe(box, None)
    if seen.handle is None:
        running = await installation.create(spec, box)
    else:
        key = installation.control_key(box)
        handle = await installation.driver.start(box, seen.handle, spec, control_key=key)
        running = await installation.running(box, handle, spec)
    assert (await running.run("cat ~/kept /etc/added")).stdout == "mine\nroot\n"
    await _only_this_is_there(installation, box)
    await running.destroy()
    assert list(await installation.driver.inventory()) == []


@pytest.mark.parametrize("point", _of("drop_snapshot"))
async def test_a_snapshot_half_dropped_is_gone(installation: Installation, point: str) -> None:
    running = await installation.create(SPEC)
    await installation.driver.take_snapshot(running.id, running.handle, KEPT)
    await _cut_off(installation, point, running.id)
    there = installation.data_dir / "host/snapshots"
    whole = point == "drop_snapshot:hide:before"
    assert [p.name for p in there.iterdir()] == ([KEPT] if whole else [])
    await installation.driver.drop_snapshot(KEPT)
    assert list(there.iterdir()) == []
    await running.destroy()


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
