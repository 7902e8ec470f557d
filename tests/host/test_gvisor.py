"""Workspaces in a kernel of their own: the tier `gvisor`, with the real runsc."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from alcove.model.workspace import Isolation, RootMode
from tests.host.installation import Installation, Running, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture
async def box(installation: Installation) -> AsyncGenerator[Running]:
    made = await installation.create(a_spec(isolation=Isolation.GVISOR))
    yield made
    await made.destroy()


async def test_it_runs_commands_in_another_kernel_than_the_hosts(box: Running) -> None:
    done = await box.run("id -un; cat /proc/version; dmesg 2>/dev/null; echo; ls -d /proc/gvisor")
    assert done.stdout.startswith("dev\n")
    assert "/proc/gvisor" in done.stdout


async def test_its_files_outlive_a_restart(box: Running) -> None:
    await box.run("echo kept > ~/note; ls -ln ~ > ~/list")
    await box.stop()
    again = await box.start()
    assert (await again.run("cat ~/note; stat -c %u ~/note")).stdout == "kept\n1000\n"


async def test_root_inside_is_root_of_nothing_outside(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED, isolation=Isolation.GVISOR))
    done = await box.run("sudo id -u; sudo touch /opt/mine; stat -c %u /opt/mine")
    assert done.stdout == "0\n0\n", done.stderr
    inside, outside, span = map(int, box.from_outside("uid_map").split())
    assert (inside, span) == (0, 65536)
    assert outside >= 0x4000_0000
    await box.destroy()


async def test_nothing_is_left_of_it(installation: Installation) -> None:
    box = await installation.create(a_spec(isolation=Isolation.GVISOR))
    await box.destroy()
    assert box.id not in {o.workspace for o in await installation.driver.inventory()}


async def test_none_of_its_processes_is_left_unasked(installation: Installation) -> None:
    box = await installation.create(a_spec(isolation=Isolation.GVISOR))
    await box.destroy()
    assert [group for group in _control_groups() if box.id in group] == []


async def test_the_namespace_of_its_helpers_is_let_go_however_often_it_is_mounted(
    installation: Installation, box: Running
) -> None:
    """Two workspaces that start first at the same moment mount it twice."""
    kept = installation.data_dir / "host/runsc/null-netns"
    await anyio.run_process(["mount", "--bind", "/proc/self/ns/net", str(kept)])
    installation.end()
    done = installation.tear_down()
    installation.up()
    assert done.returncode == 0
    assert not kept.exists()


def _control_groups() -> list[str]:
    """Of all processes, also of those that ended and wait to be asked how."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with suppress(OSError):
            found.append(path.read_text())
    return found
