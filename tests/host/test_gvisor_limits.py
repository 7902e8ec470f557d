"""What a hostile program does under gVisor stays inside, as it does in a container."""

import pytest

from alcove.model.errors import AlcoveError
from alcove.model.workspace import Isolation, RootMode
from tests.host.installation import Installation, Running, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


async def attempt(box: Running, script: str) -> None:
    """The workspace may end by it."""
    try:
        await box.run(script, timeout_s=10)
    except AlcoveError:
        return


async def test_a_memory_hog_ends_at_its_limit(installation: Installation) -> None:
    spec = a_spec(memory_mib=128, isolation=Isolation.GVISOR)
    neighbour, box = await installation.create(), await installation.create(spec)
    limits = installation.cgroups().limits(box.id)
    assert limits.memory_bytes is not None
    assert limits.memory_bytes <= (128 + 128) << 20
    await attempt(box, "python3 -c 'x = bytearray(1 << 30)'")
    assert (await neighbour.run("echo well")).stdout == "well\n"
    seen = await installation.driver.observe(box.id, box.handle)
    assert seen.state == "ready" or seen.detail == "out of memory"
    await box.destroy()
    await neighbour.destroy()


async def test_a_fork_bomb_ends_at_its_limit(installation: Installation) -> None:
    spec = a_spec(pids=64, isolation=Isolation.GVISOR)
    neighbour, box = await installation.create(), await installation.create(spec)
    await attempt(box, "f() { f | f & }; f; sleep 2")
    assert len(installation.cgroups().processes(box.id)) <= 64 + 256
    assert (await neighbour.run("echo well")).stdout == "well\n"
    await box.destroy()
    await neighbour.destroy()


@pytest.mark.parametrize("path", ["~/big", "/opt/big"])
async def test_a_full_disk_is_full_inside_only(installation: Installation, path: str) -> None:
    spec = a_spec(RootMode.CONTAINED, disk_mib=64, isolation=Isolation.GVISOR)
    box = await installation.create(spec)
    done = await box.run(f"sudo sh -c 'head -c 200M /dev/zero > {path}'")
    assert "No space left on device" in done.stderr
    await box.destroy()


async def test_all_of_it_is_in_its_cgroup(installation: Installation) -> None:
    box = await installation.create(a_spec(isolation=Isolation.GVISOR))
    found = installation.cgroups().processes(box.id)
    assert box.pid() in found
    assert len(found) >= 2  # the kernel and its helper
    await box.destroy()
