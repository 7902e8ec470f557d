"""The life of a workspace with the real runtime: created, used, stopped, started, destroyed."""

import os

import anyio
import pytest

from alcove.host.images.jail import Jail, View, command_line, encode
from alcove.model.workspace import Observed, RootMode
from tests.host.installation import Installation, a_spec

pytestmark = pytest.mark.root


async def test_a_created_workspace_runs_programs_as_its_user(installation: Installation) -> None:
    box = await installation.create()
    assert (await box.run("id -un; pwd; hostname")).stdout == "dev\n/home/dev\nbox\n"
    await box.destroy()


async def test_creating_twice_finds_the_first_one(installation: Installation) -> None:
    box = await installation.create()
    boot = (await installation.driver.observe(box.id, None)).boot
    await installation.create(box.spec, box.id)
    assert (await installation.driver.observe(box.id, None)).boot == boot
    await box.destroy()


async def test_the_home_survives_a_stop_and_the_rest_does_not(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    done = await box.run(
        "echo kept > ~/kept && sudo sh -c 'echo x > /etc/dropped' && cat /etc/dropped"
    )
    assert done.stderr == ""
    assert done.stdout == "x\n"
    await box.stop()
    box = await box.start()
    assert (await box.run("cat ~/kept; ls /etc/dropped")).stdout == "kept\n"
    await box.destroy()


async def test_the_home_begins_with_the_images_skeleton(installation: Installation) -> None:
    box = await installation.create()
    assert ".profile" in (await box.run("ls -A ~")).stdout
    await box.destroy()


async def test_destroy_leaves_nothing(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.destroy()
    assert [w for w in await installation.driver.inventory() if w.workspace == box.id] == []
    assert (await installation.driver.observe(box.id, None)).state is Observed.ABSENT
    assert not box.directory.exists()


async def test_destroying_what_never_was_is_fine(installation: Installation) -> None:
    assert (await installation.driver.destroy(installation.new_id(), None)).left == ()


async def test_two_workspaces_share_no_user_id(installation: Installation) -> None:
    one, two = await installation.create(), await installation.create()
    maps = [b.from_outside("uid_map").split() for b in (one, two)]
    ranges = [range(int(m[1]), int(m[1]) + int(m[2])) for m in maps]
    assert not range(max(r.start for r in ranges), min(r.stop for r in ranges))
    await one.destroy()
    await two.destroy()


async def test_the_disk_grows_with_the_spec_and_never_shrinks(installation: Installation) -> None:
    box = await installation.create(a_spec(disk_mib=64))
    await box.run("echo kept > ~/kept")
    await box.stop()
    box = await box.start(resources=a_spec(disk_mib=256).resources)
    assert (await box.run("cat ~/kept")).stdout == "kept\n"
    assert (await installation.driver.usage([box.id]))[box.id].disk_limit_mib > 200
    await box.stop()
    with pytest.raises(Exception, match="cannot shrink"):
        await box.start(resources=a_spec(disk_mib=64).resources)
    await box.destroy()


async def test_usage_grows_with_what_is_used(installation: Installation) -> None:
    box = await installation.create()
    before = (await installation.driver.usage([box.id]))[box.id]
    await box.run(
        "head -c 20000000 /dev/zero > ~/big; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    )
    after = (await installation.driver.usage([box.id]))[box.id]
    assert after.cpu_usec > before.cpu_usec
    assert after.disk_mib >= before.disk_mib + 19
    await box.destroy()


async def test_other_users_of_the_host_cannot_reach_the_files(installation: Installation) -> None:
    box = await installation.create()
    await box.run("echo x > ~/open && chmod 644 ~/open")
    for name in ("rootfs/home/dev/open", "volume/home/open"):
        looked = await anyio.run_process(
            ["/usr/bin/test", "-e", str(box.directory / name)], user=65534, check=False
        )
        assert looked.returncode == 1
    await box.destroy()


async def test_a_build_under_way_does_not_hold_a_stopped_volume(
    installation: Installation,
) -> None:
    box = await installation.create()
    plan, give = os.pipe()
    jail = Jail(id_base=1 << 30, view=View.HOST, command=("/bin/sh", "-c", "echo up; sleep 60"))
    async with await anyio.open_process(command_line(plan), pass_fds=[plan]) as build:
        os.close(plan)
        os.write(give, encode(jail))
        os.close(give)
        assert build.stdout is not None
        assert await build.stdout.receive() == b"up\n"
        await box.stop()
        started = anyio.current_time()
        box = await box.start()
        assert anyio.current_time() - started < 2
        build.kill()
    await box.destroy()


async def test_a_start_takes_the_spec_given_now(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.stop()
    box = await box.start(root=RootMode.NONE, hostname="other")
    done = await box.run("hostname; grep NoNewPrivs /proc/self/status; touch /etc/x 2>&1")
    assert done.stdout.split("\n")[:2] == ["other", "NoNewPrivs:\t1"]
    assert "Read-only file system" in done.stdout
    await box.destroy()


async def test_thirty_at_once_leave_nothing(installation: Installation) -> None:
    async def live() -> None:
        box = await installation.create()
        assert (await box.run("echo here")).stdout == "here\n"
        await box.destroy()

    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(live)
    assert list(await installation.driver.inventory()) == []
    assert installation.mounts() == []
