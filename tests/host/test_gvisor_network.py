"""The network modes under gVisor: its own network stack, on the connection of a container."""

import os
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from alcove.model.workspace import Isolation, NetworkMode, SnapshotId
from tests.host.installation import IMAGE, Installation, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

ASK = """
import socket
server = open("/etc/resolv.conf").read().split()[1]
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(8)
asking.connect((server, 53))
name = b"".join(bytes([len(p)]) + p for p in (b"nobody", b"invalid")) + bytes(1)
asking.send(b"ab\\x01\\x00\\x00\\x01" + bytes(6) + name + b"\\x00\\x01\\x00\\x01")
print(asking.recv(512)[:2], asking.getsockname()[0])
"""


@pytest.fixture(scope="module")
def connecting(agent_binary: Path, essential_root: Path) -> Generator[Installation]:
    """With the real network; the name server that it asks is nobody on the loopback."""
    changes = {"open_network": True, "network_pool": "10.214.0.0/24", "resolvers": ["127.0.0.77"]}
    made = Installation(f"g{os.getpid()}", {IMAGE.key: [essential_root]}, agent_binary, changes)
    made.up()
    yield made
    made.remove()


@pytest.fixture
async def connected(connecting: Installation) -> AsyncGenerator[Installation]:
    connecting.connect()
    yield connecting
    await connecting.disconnect()


async def test_mode_open_reaches_the_name_server_of_workspaces(connected: Installation) -> None:
    spec = replace(a_spec(isolation=Isolation.GVISOR), network=NetworkMode.OPEN)
    box = await connected.create(spec)
    done = await box.run(f"python3 -c '{ASK}'")
    assert done.stdout.startswith("b'ab' 10.214.0."), done.stderr
    await box.destroy()


async def test_mode_none_has_no_interface_but_its_own(connected: Installation) -> None:
    box = await connected.create(a_spec(isolation=Isolation.GVISOR))
    done = await box.run("tail -n +3 /proc/net/dev | cut -d: -f1")
    assert done.stdout.split() == ["lo"]
    await box.destroy()


async def test_a_fork_has_an_address_of_its_own(connected: Installation) -> None:
    spec = replace(a_spec(isolation=Isolation.GVISOR), network=NetworkMode.OPEN)
    box = await connected.create(spec)
    snapshot = SnapshotId("sn-" + box.id[3:])
    await connected.driver.take_snapshot(box.id, box.handle, snapshot)
    fork = await connected.create(replace(spec, snapshot=snapshot))
    seen = [(await each.run(f"python3 -c '{ASK}'")).stdout for each in (box, fork)]
    assert seen[0].startswith("b'ab' 10.214.0."), seen
    assert seen[1].startswith("b'ab' 10.214.0."), seen
    assert seen[0] != seen[1]
    for each in (box, fork):
        await each.destroy()
    await connected.driver.drop_snapshot(snapshot)
