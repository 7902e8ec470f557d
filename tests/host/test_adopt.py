"""A running workspace takes another host name, other limits and another network mode."""

import json
from dataclasses import replace
from typing import Any

import pytest

from alcove.model.errors import DriverError, Unsupported
from alcove.model.image import DebianImage
from alcove.model.workspace import Isolation, NetworkMode, Observed, Resources, RootMode, Spec
from tests.host.installation import Installation, Running, a_spec

pytestmark = pytest.mark.root

_NAMES = "hostname; cat /etc/hostname; grep 127.0.1.1 /etc/hosts"


async def _adopt(box: Running, **changes: Any) -> Spec:
    spec = replace(box.spec, **changes)
    await box.installation.driver.adopt(box.id, box.handle, spec)
    return spec


def _record(box: Running) -> Any:
    return json.loads((box.directory / "state.now.json").read_text())["record"]


@pytest.mark.parametrize("root", list(RootMode))
async def test_it_has_the_new_name_everywhere(installation: Installation, root: RootMode) -> None:
    box = await installation.create(a_spec(root))
    await box.run(_NAMES)
    await _adopt(box, hostname="a-rather-longer-name")
    name = "a-rather-longer-name"
    assert (await box.run(_NAMES)).stdout == f"{name}\n{name}\n127.0.1.1 {name}\n"
    await _adopt(box, hostname="x")
    assert (await box.run(_NAMES)).stdout == "x\nx\n127.0.1.1 x\n"
    await box.destroy()


@pytest.mark.parametrize("root", list(RootMode))
async def test_under_gvisor_its_agent_gives_it_the_new_name(
    installation: Installation, root: RootMode
) -> None:
    box = await installation.create(a_spec(root, isolation=Isolation.GVISOR))
    spec = await _adopt(box, hostname="claimed")
    told: dict[str, object] = {"env": {}, "user": spec.user, "hostname": spec.hostname}
    await installation.agents.init(box.reach, told)
    assert (await box.run(_NAMES)).stdout == "claimed\nclaimed\n127.0.1.1 claimed\n"
    await box.destroy()


async def test_under_gvisor_only_the_agent_may_rename(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED, isolation=Isolation.GVISOR))
    tried = await box.run("hostname other", user="root")
    assert tried.exit_code != 0
    assert "must be root" in tried.stderr or "not permitted" in tried.stderr
    await box.destroy()


async def test_the_hosts_own_name_stays(installation: Installation) -> None:
    with open("/proc/sys/kernel/hostname") as file:  # noqa: ASYNC230, PTH123
        before = file.read()
    box = await installation.create()
    await _adopt(box, hostname="other")
    with open("/proc/sys/kernel/hostname") as file:  # noqa: ASYNC230, PTH123
        assert file.read() == before
    await box.destroy()


@pytest.mark.parametrize("wanted", [Resources(2000, 512, 128, 300), Resources(500, 64, 128, 60)])
async def test_the_kernel_holds_it_to_the_new_limits(
    installation: Installation, wanted: Resources
) -> None:
    box = await installation.create()
    await _adopt(box, resources=wanted)
    limits = installation.cgroups().limits(box.id)
    assert limits.cpu_millis == wanted.cpu_millis
    assert limits.memory_bytes == limits.swap_bytes == wanted.memory_mib << 20
    assert limits.pids == wanted.pids
    assert (await installation.driver.usage([box.id]))[box.id].memory_limit_mib == (
        wanted.memory_mib
    )
    await box.destroy()


async def test_memory_is_not_cut_below_what_is_used(installation: Installation) -> None:
    box = await installation.create()
    await box.run(
        "setsid python3 -c \"b=bytearray(100<<20); open('/tmp/up','w'); import time;"
        ' time.sleep(600)" >/dev/null 2>&1 & while [ ! -e /tmp/up ]; do sleep 0.01; done'
    )
    with pytest.raises(DriverError, match=r"memory_mib: .* uses 1.. MiB now") as raised:
        await _adopt(box, resources=Resources(1000, 64, 128, 128))
    assert not raised.value.retry
    assert installation.cgroups().limits(box.id).memory_bytes == 256 << 20
    assert (await box.run("pgrep -c python3 || ls /proc | grep -c '^[0-9]'")).exit_code == 0
    await box.destroy()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("image", {"image": DebianImage("trixie", (), "dev", sudo=False)}),
        ("root", {"root": RootMode.CONTAINED}),
        ("user", {"user": "other"}),
        ("disk_mib", {"resources": Resources(1000, 256, 256, 128)}),
    ],
)
async def test_what_cannot_change_is_refused_by_name(
    installation: Installation, field: str, changes: dict[str, Any]
) -> None:
    box = await installation.create()
    with pytest.raises(Unsupported, match=f"^{field}: "):
        await _adopt(box, hostname="other", **changes)
    assert (await box.run("hostname")).stdout == "box\n"
    await box.destroy()


async def test_it_may_be_repeated_and_survives_the_host_process(
    crash_installation: Installation,
) -> None:
    installation = crash_installation
    box = await installation.create()
    for _ in range(2):
        await _adopt(box, hostname="other", resources=Resources(2000, 512, 128, 300))
    kept = _record(box)
    assert (kept["hostname"], kept["resources"]["memory_mib"]) == ("other", 512)
    before = await installation.driver.observe(box.id, None)
    assert before.state is Observed.READY
    installation.kill()
    installation.up()
    assert await installation.driver.observe(box.id, None) == before
    with pytest.raises(Unsupported, match="disk_mib"):
        await _adopt(box, resources=Resources(2000, 512, 256, 300))
    await box.destroy()
    await installation.disconnect()


async def test_what_does_not_run_is_not_adopted(installation: Installation) -> None:
    box = await installation.create()
    await box.stop()
    with pytest.raises(DriverError, match="does not run"):
        await _adopt(box, hostname="other")
    await box.destroy()


async def test_a_network_that_cannot_be_had_changes_nothing(installation: Installation) -> None:
    box = await installation.create()
    with pytest.raises(DriverError, match="connects no workspaces"):
        await _adopt(box, network=NetworkMode.OPEN)
    # Not taken for done: the same is tried, and fails, again.
    with pytest.raises(DriverError, match="connects no workspaces"):
        await _adopt(box, network=NetworkMode.OPEN)
    await _adopt(box, hostname="still-here")
    assert (await box.run("hostname")).stdout == "still-here\n"
    await box.destroy()
