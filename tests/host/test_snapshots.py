"""The files of a workspace are kept, and another workspace begins with them."""

import os
import subprocess
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from alcove.model.errors import DriverError, Unsupported
from alcove.model.workspace import Observed, Resources, RootMode, SnapshotId
from tests.host.installation import Installation, Running, a_spec

pytestmark = pytest.mark.root

ONE, TWO = (SnapshotId(f"sn-abcdefgh2345672{c}") for c in "ab")


@pytest.fixture
async def installation(shared_installation: Installation) -> AsyncGenerator[Installation]:
    """With an empty shelf at the end of each test."""
    shared_installation.connect()
    yield shared_installation
    for taken in await shared_installation.driver.snapshots():
        await shared_installation.driver.drop_snapshot(taken.snapshot)
    await shared_installation.disconnect()


@pytest.fixture
async def killed(crash_installation: Installation) -> AsyncGenerator[Installation]:
    crash_installation.connect()
    yield crash_installation
    await crash_installation.driver.drop_snapshot(ONE)
    await crash_installation.disconnect()


def _shelf(installation: Installation) -> Path:
    return installation.data_dir / "host/snapshots"


async def _keep(box: Running, snapshot: SnapshotId = ONE) -> Any:
    return await box.installation.driver.take_snapshot(box.id, box.handle, snapshot)


async def _from(box: Running, snapshot: SnapshotId = ONE, **changes: Any) -> Running:
    changes = {"hostname": "copy", **changes}
    return await box.installation.create(replace(box.spec, snapshot=snapshot, **changes))


async def test_home_and_what_was_changed_in_the_image_are_kept(
    installation: Installation,
) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.run(
        "echo mine > ~/kept; sudo sh -c 'echo root > /etc/added; rm /etc/debian_version;"
        " chmod 4755 /etc/added; useradd -m two; mkdir /opt/own; chown two /opt/own'"
    )
    taken = await _keep(box)
    assert (taken.snapshot, taken.memory) == (ONE, False)
    assert 0 < taken.size_mib < 64
    assert (await box.run("cat ~/kept")).stdout == "mine\n"  # it goes on
    copy = await _from(box)
    done = await copy.run(
        "cat ~/kept /etc/added; ls /etc/debian_version; stat -c '%U %a' ~/kept /etc/added /opt/own"
    )
    assert done.stdout == "mine\nroot\ndev 644\nroot 4755\ntwo 755\n"
    assert "No such file" in done.stderr
    await copy.run("echo other > ~/kept; sudo touch /etc/new")
    assert (await box.run("cat ~/kept; ls /etc/new")).stdout == "mine\n"
    await box.destroy()
    await copy.destroy()


async def test_files_written_last_are_in_it(installation: Installation) -> None:
    box = await installation.create()
    await box.run("seq 1 100000 > ~/last")
    await _keep(box)
    copy = await _from(box)
    assert (await copy.run("tail -1 ~/last; wc -l < ~/last")).stdout == "100000\n100000\n"
    await box.destroy()
    await copy.destroy()


async def test_a_copy_is_somebody_else(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.run(
        "sudo sh -c 'mkdir -p /etc/ssh; echo key > /etc/ssh/ssh_host_rsa_key;"
        " echo 10.0.0.1 db >> /etc/hosts; echo f00 > /etc/machine-id; echo box > /etc/hostname'"
    )
    await _keep(box)
    copies = [await _from(box, hostname=name) for name in ("one", "two")]
    ids: set[str] = set()
    for copy, name in zip(copies, ("one", "two"), strict=True):
        assert (await copy.run("hostname; cat /etc/hostname")).stdout == f"{name}\n{name}\n"
        hosts = (await copy.run("cat /etc/hosts")).stdout
        assert "10.0.0.1 db" in hosts
        assert f"127.0.1.1 {name}" in hosts
        assert "127.0.1.1 box" not in hosts
        assert (await copy.run("ls /etc/ssh")).stdout == ""
        ids.add((await copy.run("cat /etc/machine-id")).stdout)
    assert len(ids - {"f00\n"}) == 2
    for one in (box, *copies):
        await one.destroy()


async def test_links_in_place_of_directories_lead_nowhere(
    installation: Installation, tmp_path: Path
) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    target = tmp_path
    for name in ("machine-id", "ssh_host_key"):
        (target / name).write_text("the host's")
    await box.run(f"sudo sh -c 'rm -rf /etc/ssh; mkdir -p /var/lib; rm -rf /var/lib/dbus;"
                  f" ln -s {target} /etc/ssh; ln -s {target} /var/lib/dbus'")  # fmt: skip
    await _keep(box)
    copy = await _from(box)
    for name in ("machine-id", "ssh_host_key"):
        assert (target / name).read_text() == "the host's"
    await box.destroy()
    await copy.destroy()


@pytest.mark.parametrize("state", [Observed.PAUSED, Observed.EXITED])
async def test_what_does_not_run_is_kept_too(installation: Installation, state: Observed) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.run("echo mine > ~/kept")
    if state is Observed.PAUSED:
        await installation.driver.pause(box.id, box.handle)
    else:
        await box.stop()
    await _keep(box)
    assert (await installation.driver.observe(box.id, None)).state is state
    copy = await _from(box)
    assert (await copy.run("cat ~/kept")).stdout == "mine\n"
    await box.destroy()
    await copy.destroy()


async def test_a_later_start_does_not_look_at_the_snapshot(installation: Installation) -> None:
    box = await installation.create()
    await _keep(box)
    copy = await _from(box)
    await copy.run("echo own > ~/own")
    await installation.driver.drop_snapshot(ONE)
    await copy.stop()
    copy = await copy.start()
    assert (await copy.run("cat ~/own")).stdout == "own\n"
    await box.destroy()
    await copy.destroy()


async def test_taking_it_again_answers_the_first(installation: Installation) -> None:
    box = await installation.create()
    first = await _keep(box)
    await box.run("head -c 8000000 /dev/urandom > ~/more")
    assert await _keep(box) == first
    assert list(await installation.driver.snapshots()) == [first]
    await box.destroy()
    # The snapshot of what is gone is still there.
    assert list(await installation.driver.snapshots()) == [first]


async def test_a_dropped_one_is_gone_and_dropping_may_be_repeated(
    installation: Installation,
) -> None:
    box = await installation.create()
    await _keep(box)
    for _ in range(2):
        await installation.driver.drop_snapshot(ONE)
        assert list(await installation.driver.snapshots()) == []
    assert list(_shelf(installation).iterdir()) == []
    with pytest.raises(DriverError, match=f"there is no snapshot {ONE}") as raised:
        await _from(box)
    assert not raised.value.retry
    await box.destroy()


async def test_a_copy_may_be_larger_and_not_smaller(installation: Installation) -> None:
    box = await installation.create()
    await box.run("echo mine > ~/kept")
    await _keep(box)
    copy = await _from(box, resources=Resources(1000, 256, 300, 128))
    assert (await installation.driver.usage([copy.id]))[copy.id].disk_limit_mib > 200
    assert (await copy.run("cat ~/kept")).stdout == "mine\n"
    with pytest.raises(Unsupported, match=r"^disk_mib: "):
        await _from(box, resources=Resources(1000, 256, 64, 128))
    with pytest.raises(Unsupported, match=r"^root: "):
        await _from(box, root=RootMode.CONTAINED)
    await box.destroy()
    await copy.destroy()


@pytest.mark.parametrize("how", ["cut", "changed", "removed", "no description"])
async def test_a_damaged_one_is_refused_and_harms_nobody(killed: Installation, how: str) -> None:
    box = await killed.create()
    await box.run("head -c 3000000 /dev/urandom > ~/data")
    await _keep(box)
    directory = _shelf(killed) / ONE
    volume = directory / "volume.img"
    match how:
        case "cut":
            os.truncate(volume, volume.stat().st_size - 4096)
        case "changed":
            with volume.open("r+b") as file:
                file.seek(os.lseek(file.fileno(), 1 << 20, os.SEEK_DATA))
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))
        case "removed":
            volume.unlink()
        case _:
            (directory / "snapshot.json").write_text("{")
    for restarted in (False, True):
        if restarted:
            killed.kill()
            killed.up()
        with pytest.raises(DriverError, match=f"snapshot {ONE} is damaged") as raised:
            await _from(box)
        assert not raised.value.retry
    there = {one.workspace for one in await killed.driver.inventory()}
    assert there == {box.id}
    assert (await box.run("echo here")).stdout == "here\n"
    await box.destroy()


async def test_many_begin_from_one(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.run("sudo sh -c 'echo x > /etc/own'; echo mine > ~/kept")
    await _keep(box)

    async def live() -> None:
        copy = await _from(box)
        assert (await copy.run("cat ~/kept /etc/own")).stdout == "mine\nx\n"
        await copy.destroy()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(live)
    await box.destroy()


async def test_what_was_never_made_cannot_be_kept(installation: Installation) -> None:
    box = await installation.create()
    await box.destroy()
    with pytest.raises(DriverError, match="there is nothing of"):
        await _keep(box)
    assert list(_shelf(installation).iterdir()) == []


@pytest.fixture(params=["size=6m", "nr_inodes=2"])
def small_shelf(installation: Installation, request: pytest.FixtureRequest) -> Generator[Path]:
    """The shelf on a disk that is too small, and on one that turns out to be."""
    shelf = _shelf(installation)
    mount = ["mount", "-t", "tmpfs", "-o", f"{request.param},mode=700", "none", str(shelf)]
    subprocess.run(mount, check=True)
    yield shelf
    subprocess.run(["umount", str(shelf)], check=True)


async def test_a_full_disk_leaves_nothing_and_the_workspace_goes_on(
    installation: Installation, small_shelf: Path
) -> None:
    box = await installation.create()
    await box.run("head -c 20000000 /dev/urandom > ~/data; sync")
    with pytest.raises(DriverError, match="disk"):
        await _keep(box)
    assert os.listdir(small_shelf) == []  # noqa: PTH208
    assert (await installation.driver.observe(box.id, None)).state is Observed.READY
    assert (await box.run("echo here > ~/x; sync; cat ~/x")).stdout == "here\n"
    await box.destroy()
