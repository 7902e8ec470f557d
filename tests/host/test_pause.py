"""A paused workspace stands still with its memory, and goes on where it was."""

from collections.abc import AsyncGenerator

import anyio
import pytest

from alcove.drivers.base import AGENT_PORT, Keeps
from alcove.model.errors import DriverError
from alcove.model.workspace import Isolation, Observed, RootMode
from tests.host.installation import Installation, Running, a_spec

pytestmark = pytest.mark.root

_COUNT = (
    "setsid sh -c 'i=0; while true; do i=$((i+1)); echo $i > /tmp/count; sleep 0.02; done'"
    " >/dev/null 2>&1 & while [ ! -s /tmp/count ]; do sleep 0.01; done"
)


@pytest.fixture
async def killed(crash_installation: Installation) -> AsyncGenerator[Installation]:
    crash_installation.connect()
    yield crash_installation
    await crash_installation.disconnect()


async def _pause(box: Running) -> None:
    await box.installation.driver.pause(box.id, box.handle)


async def _resume(box: Running) -> None:
    await box.installation.driver.resume(box.id, box.handle)


def _cpu_usec(box: Running) -> int:
    return box.installation.cgroups().use(box.id).cpu_usec


async def test_what_is_paused_stands_still_and_goes_on(installation: Installation) -> None:
    box = await installation.create()
    await box.run(_COUNT)
    boot = (await installation.driver.observe(box.id, None)).boot
    await _pause(box)
    seen = await installation.driver.observe(box.id, None)
    assert (seen.state, seen.boot) == (Observed.PAUSED, boot)
    assert installation.cgroups().frozen(box.id)
    before = _cpu_usec(box)
    await anyio.sleep(0.1)  # five rounds of what would run
    assert _cpu_usec(box) == before
    await _resume(box)
    seen = await installation.driver.observe(box.id, None)
    assert (seen.state, seen.boot) == (Observed.READY, boot)
    counted = "a=$(cat /tmp/count); while [ $(cat /tmp/count) = $a ]; do sleep 0.01; done; echo on"
    assert (await box.run(counted)).stdout == "on\n"
    await box.destroy()


async def test_pausing_and_resuming_may_be_repeated(installation: Installation) -> None:
    box = await installation.create()
    for _ in range(2):
        await _pause(box)
        assert (await installation.driver.observe(box.id, None)).state is Observed.PAUSED
    for _ in range(2):
        await _resume(box)
        assert (await box.run("echo here")).stdout == "here\n"
    await box.destroy()


async def test_nobody_waits_for_the_agent_of_a_paused_one(installation: Installation) -> None:
    box = await installation.create()
    await _pause(box)
    with anyio.fail_after(1), pytest.raises(DriverError, match="is paused; resume it") as raised:
        async with installation.driver.connect(box.id, box.handle, port=AGENT_PORT):
            pass
    assert raised.value.retry
    await box.destroy()


async def test_it_stays_paused_without_the_host_process(killed: Installation) -> None:
    box = await killed.create()
    await _pause(box)
    killed.kill()
    killed.up()
    assert (await killed.driver.observe(box.id, None)).state is Observed.PAUSED
    assert killed.cgroups().frozen(box.id)
    await _resume(box)
    assert (await box.run("echo here")).stdout == "here\n"
    await box.destroy()


@pytest.mark.parametrize("grace_s", [0, 5])
async def test_a_paused_one_is_stopped_and_keeps_its_home(
    installation: Installation, grace_s: float
) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.run("echo kept > ~/kept")
    await _pause(box)
    await box.stop(grace_s=grace_s)
    assert (await installation.driver.observe(box.id, None)).state is Observed.EXITED
    box = await box.start()
    assert (await box.run("cat ~/kept")).stdout == "kept\n"
    await box.destroy()


async def test_a_paused_one_is_destroyed(installation: Installation) -> None:
    box = await installation.create()
    await box.run(_COUNT)
    await _pause(box)
    await box.destroy()
    assert not [o for o in await installation.driver.inventory() if o.workspace == box.id]


async def test_the_use_of_a_paused_one_is_told(installation: Installation) -> None:
    box = await installation.create()
    await _pause(box)
    assert (await installation.driver.usage([box.id]))[box.id].memory_mib > 0
    await box.destroy()


async def test_what_does_not_run_is_neither_paused_nor_resumed(
    installation: Installation,
) -> None:
    box = await installation.create()
    await box.stop()
    for act in (_pause, _resume):
        with pytest.raises(DriverError, match="does not run"):
            await act(box)
    assert (await installation.driver.observe(box.id, None)).state is Observed.EXITED
    await box.destroy()


async def test_a_paused_one_cannot_be_adopted(installation: Installation) -> None:
    box = await installation.create()
    await _pause(box)
    with pytest.raises(DriverError, match="is paused; resume it first"):
        await installation.driver.adopt(box.id, box.handle, box.spec)
    await box.destroy()


async def test_after_a_restart_of_the_machine_a_paused_one_has_ended(
    killed: Installation,
) -> None:
    box = await killed.create(a_spec(RootMode.CONTAINED))
    await box.run("echo kept > ~/kept; sync")
    pid = box.pid()
    await _pause(box)
    killed.kill()
    killed.cgroups().thaw(box.id)
    killed.lose_the_kernel(box.id, pid)
    killed.up()
    seen = await killed.driver.observe(box.id, None)
    assert (seen.state, seen.detail) == (Observed.EXITED, "the host was restarted")
    box = await box.start()
    assert (await box.run("cat ~/kept")).stdout == "kept\n"
    await box.destroy()


async def test_what_is_promised_is_told(installation: Installation) -> None:
    can = await installation.driver.capabilities()
    promise = can.promises[Isolation.CONTAINER]
    assert can.pause
    assert can.snapshot
    assert (promise.pause, promise.snapshot) == (Keeps.MEMORY, Keeps.FILES)
    assert not promise.pause_survives_host_restart
