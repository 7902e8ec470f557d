"""Processes and memory in snapshots and pauses of the tier `gvisor`."""

import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from alcove.core.agent import Broken, Call
from alcove.host.crashpoints import every_point
from alcove.model.errors import DriverError, Unavailable
from alcove.model.workspace import Isolation, SnapshotId, Spec
from tests.host.installation import Installation, Running, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

COUNTER = """
import itertools, os, time
kept = open(os.path.expanduser("~/counter"), "w")
gone = open(os.path.expanduser("~/gone"), "w+")
gone.write("still here")
gone.flush()
os.unlink(gone.name)
for n in itertools.count(1):
    kept.seek(0)
    gone.seek(0)
    kept.write(f"{os.getpid()} {n:08d} {gone.read()}\\n")
    kept.flush()
    time.sleep(0.01)
"""


def a_gvisor_spec(**fields: object) -> Spec:
    return replace(a_spec(isolation=Isolation.GVISOR), **fields)  # pyright: ignore[reportArgumentType]


async def count(box: Running) -> None:
    """Start the counter, and wait until it counts."""
    call = Call(["/usr/bin/python3", "-c", COUNTER], detach=True)
    async with box.installation.agents.exec(box.reach, call) as frames:
        async for _ in frames:
            break
    await counted(box, 1)


async def counted(box: Running, least: int) -> tuple[int, int, str]:
    """Wait until it has counted to `least`: the process, the number, and what it read."""
    with anyio.fail_after(30):
        while True:
            done = await box.run("cat ~/counter")
            found = re.fullmatch(r"(\d+) (\d{8}) (.*)\n", done.stdout)
            if found and int(found[2]) >= least:
                return int(found[1]), int(found[2]), found[3]
            await anyio.sleep(0.02)


@pytest.fixture
async def mortal(crash_installation: Installation) -> AsyncGenerator[Installation]:
    """One whose host process may be killed."""
    crash_installation.connect()
    yield crash_installation
    await crash_installation.disconnect()


@pytest.fixture
async def box(installation: Installation) -> AsyncGenerator[Running]:
    made = await installation.create(a_gvisor_spec())
    yield made
    await made.destroy()


def spoil(directory: Path) -> None:
    image = next(directory.rglob("pages.img"))
    with image.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 100)


def snapshot_id(box: Running) -> SnapshotId:
    return SnapshotId("sn-" + box.id[3:])


async def test_a_fork_goes_on_with_the_processes_and_files_of_that_moment(
    installation: Installation, box: Running
) -> None:
    await count(box)
    taken = await installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    assert taken.memory
    _, later, _ = await counted(box, 2)  # it went on itself
    fork = await installation.create(a_gvisor_spec(snapshot=snapshot_id(box), hostname="fork"))
    pid, first, read = await counted(fork, 1)
    assert read == "still here"
    assert (await counted(fork, first + 5))[0] == pid
    assert (await counted(box, later + 5))[1] > later
    await fork.destroy()
    await installation.driver.drop_snapshot(snapshot_id(box))


WHO = """
echo name=$(hostname); echo file=$(cat /etc/hostname); echo machine=$(cat /etc/machine-id)
echo boot=$(cat /proc/sys/kernel/random/boot_id)
echo random=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' ')
echo ids=$(python3 -c 'import os; print(os.getrandom(16).hex())')
"""


async def test_two_forks_share_no_random_bytes_and_no_identity(
    installation: Installation, box: Running
) -> None:
    await installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    seen: list[dict[str, str]] = []
    for name in ("one", "two"):
        fork = await installation.create(a_gvisor_spec(snapshot=snapshot_id(box), hostname=name))
        told = (await fork.run(WHO)).stdout.splitlines()
        seen.append(dict(line.split("=", 1) for line in told))
        assert seen[-1]["name"] == seen[-1]["file"] == name
        await fork.destroy()
    for what in ("name", "machine", "boot", "random", "ids"):
        assert seen[0][what] != seen[1][what] != "", what
    await installation.driver.drop_snapshot(snapshot_id(box))


async def test_a_fork_of_one_that_was_renamed_has_its_own_name(
    installation: Installation, box: Running
) -> None:
    told: dict[str, object] = {"env": {}, "user": box.spec.user}
    await installation.agents.init(box.reach, {**told, "hostname": "claimed"})
    await installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    fork = await installation.create(a_gvisor_spec(snapshot=snapshot_id(box), hostname="fork"))
    await installation.agents.init(fork.reach, {**told, "hostname": "fork"})
    assert (await fork.run("hostname; cat /etc/hostname")).stdout == "fork\nfork\n"
    await fork.destroy()
    await installation.driver.drop_snapshot(snapshot_id(box))


async def test_the_key_of_the_original_opens_no_fork(
    installation: Installation, box: Running
) -> None:
    await installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    fork = await installation.create(a_gvisor_spec(snapshot=snapshot_id(box)))
    key = installation.control_key(box.id)
    async with installation.driver.connect(fork.id, fork.handle, port=49983) as stream:
        await stream.send(
            f"GET /alcove/stats HTTP/1.0\r\nHost: a\r\nX-Alcove-Control: {key}\r\n\r\n".encode()
        )
        assert b" 404 " in await stream.receive()
    await fork.destroy()
    await installation.driver.drop_snapshot(snapshot_id(box))


async def test_a_truncated_image_is_refused_and_the_workspace_lives(
    installation: Installation, box: Running
) -> None:
    await installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    pages = next((installation.data_dir / "host/snapshots" / snapshot_id(box)).rglob("pages.img"))
    with pages.open("r+b") as file:
        file.truncate(pages.stat().st_size - 4096)
    with pytest.raises(DriverError, match=r"pages\.img"):
        await installation.create(a_gvisor_spec(snapshot=snapshot_id(box)))
    assert (await box.run("echo alive")).stdout == "alive\n"
    await installation.driver.drop_snapshot(snapshot_id(box))


async def test_a_command_that_waits_survives_a_snapshot(
    installation: Installation, box: Running
) -> None:
    """Its connection is cut by the checkpoint; that is not a client that went away."""
    call = Call(["/bin/sh", "-c", "while [ ! -e ~/go ]; do sleep 0.05; done; echo > ~/done"])
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            try:
                async with installation.agents.exec(box.reach, call) as frames:
                    async for _ in frames:
                        started.set()
            except Broken:
                return

        started = anyio.Event()
        group.start_soon(wait)
        await started.wait()
        await installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    until = "for i in $(seq 100); do [ -e ~/done ] && break; sleep 0.05; done"
    done = await box.run(f"touch ~/go; {until}; ls ~/done")
    assert done.exit_code == 0
    await installation.driver.drop_snapshot(snapshot_id(box))


async def test_a_pause_keeps_processes_open_files_and_memory(
    installation: Installation, box: Running
) -> None:
    await count(box)
    pid, before, _ = await counted(box, 3)
    await installation.driver.pause(box.id, box.handle)
    assert (await installation.driver.observe(box.id, box.handle)).state == "paused"
    assert installation.cgroups().processes(box.id) == set()
    with pytest.raises(Unavailable, match="paused"):
        await box.run("true")
    await installation.driver.resume(box.id, box.handle)
    assert (await installation.driver.observe(box.id, box.handle)).boot == box.reach.boot
    assert (await counted(box, before + 3))[0] == pid


async def test_a_snapshot_of_what_is_paused_has_its_processes(
    installation: Installation, box: Running
) -> None:
    await count(box)
    pid, before, _ = await counted(box, 1)
    await installation.driver.pause(box.id, box.handle)
    assert (await installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))).memory
    fork = await installation.create(a_gvisor_spec(snapshot=snapshot_id(box)))
    assert (await counted(fork, before + 1))[0] == pid
    await fork.destroy()
    await installation.driver.drop_snapshot(snapshot_id(box))


async def test_a_pause_outlives_the_host_process(mortal: Installation) -> None:
    box = await mortal.create(a_gvisor_spec())
    await count(box)
    pid, before, _ = await counted(box, 1)
    await mortal.driver.pause(box.id, box.handle)
    mortal.kill()
    mortal.up()
    assert (await mortal.driver.observe(box.id, box.handle)).state == "paused"
    await mortal.driver.resume(box.id, box.handle)
    assert (await counted(box, before + 1))[0] == pid
    await box.destroy()


async def test_a_pause_outlives_the_machine(mortal: Installation) -> None:
    box = await mortal.create(a_gvisor_spec())
    await count(box)
    pid, before, _ = await counted(box, 1)
    await mortal.driver.pause(box.id, box.handle)
    mortal.lose_the_mounts(box.id)
    mortal.kill()
    mortal.up()
    assert (await mortal.driver.observe(box.id, box.handle)).state == "paused"
    await mortal.driver.resume(box.id, box.handle)
    assert (await counted(box, before + 1))[0] == pid
    await box.destroy()


def _points(verb: str) -> list[str]:
    return [point for point in every_point() if point.startswith(f"{verb}:")]


@pytest.mark.parametrize("point", [*_points("sleep"), *_points("wake")])
async def test_a_pause_or_resume_cut_off_is_one_or_the_other(
    mortal: Installation, point: str
) -> None:
    box = await mortal.create(a_gvisor_spec())
    await count(box)
    pid, before, _ = await counted(box, 1)
    verbs = {"sleep": mortal.driver.pause, "wake": mortal.driver.resume}
    if point.startswith("wake"):
        await mortal.driver.pause(box.id, box.handle)
    mortal.crash_file.write_text(point)
    with pytest.raises(DriverError, match="cannot be reached"):
        await verbs[point.partition(":")[0]](box.id, box.handle)
    mortal.kill()
    mortal.crash_file.unlink()
    mortal.up()
    assert (await mortal.driver.observe(box.id, None)).state in ("paused", "ready")
    await mortal.driver.pause(box.id, box.handle)
    assert (await mortal.driver.observe(box.id, None)).state == "paused"
    await mortal.driver.resume(box.id, box.handle)
    assert (await counted(box, before + 1))[0] == pid
    await box.destroy()
    assert list(await mortal.driver.inventory()) == []


async def test_a_damaged_pause_is_refused_and_the_files_are_kept(
    installation: Installation, box: Running
) -> None:
    await box.run("echo precious > ~/note")
    await installation.driver.pause(box.id, box.handle)
    spoil(box.directory)
    with pytest.raises(DriverError, match="damaged"):
        await installation.driver.resume(box.id, box.handle)
    await box.stop(grace_s=0)
    again = await box.start()
    assert (await again.run("cat ~/note")).stdout == "precious\n"
    assert json.loads((box.directory / "state.json").read_text())["record"]["stage"] == "running"
