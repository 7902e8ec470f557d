"""A running workspace is connected, and cut off again, by adopting it. In a network namespace of
the installation's own, so that the machine's own network is left alone."""

import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from alcove.model.workspace import NetworkMode, RootMode
from tests.host.installation import IMAGE, Installation, a_spec

pytestmark = pytest.mark.root

_SURROUNDINGS = """
ip link set lo up
ip link add up0 type veth peer name up1
ip link set up1 up
ip addr add 192.0.2.2/24 dev up0
ip link set up0 up
ip route add default via 192.0.2.1
exec "$@"
"""
_ALONE = ("unshare", "--net", "/bin/sh", "-ec", _SURROUNDINGS, "sh")
_INTERFACES = "ls /sys/class/net | tr '\\n' ' '"
_GATEWAY = "10.213.0.1"


@pytest.fixture
async def installation(agent_binary: Path, essential_root: Path) -> AsyncGenerator[Installation]:
    changes = {"open_network": True, "network_pool": "10.213.0.0/24"}
    layers = {IMAGE.key: [essential_root]}
    made = Installation(f"n{os.getpid()}", layers, agent_binary, changes, under=_ALONE)
    made.up()
    yield made
    await made.disconnect()
    made.remove()


async def test_a_network_comes_and_goes(installation: Installation) -> None:
    driver, box = installation.driver, await installation.create(a_spec(RootMode.CONTAINED))
    opened = replace(box.spec, network=NetworkMode.OPEN, hostname="connected")
    assert (await box.run(_INTERFACES)).stdout == "lo "
    # It is right before there is a network.
    assert f"nameserver {_GATEWAY}" in (await box.run("cat /etc/resolv.conf")).stdout
    for _ in range(2):
        await driver.adopt(box.id, box.handle, opened)
        assert (await box.run(_INTERFACES)).stdout == "eth0 lo "
        routes = (await box.run("cat /proc/net/route")).stdout.splitlines()
        assert any(line.split()[:2] == ["eth0", "00000000"] for line in routes)
    there = {one.workspace: set(one.what) for one in await driver.inventory()}
    assert "network" in there[box.id]
    for _ in range(2):
        await driver.adopt(box.id, box.handle, box.spec)
        assert (await box.run(_INTERFACES)).stdout == "lo "
    there = {one.workspace: set(one.what) for one in await driver.inventory()}
    assert "network" not in there[box.id]
    await box.destroy()
