"""Names, asked from a workspace through the real forwarder."""

# dnslib has no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dnslib import RCODE, DNSRecord

from tests.host.network.world import METADATA, PUBLIC, TRUSTED, Namespace, World

pytestmark = pytest.mark.root

GATEWAY = "10.213.0.1"


@pytest.fixture(scope="module")
def workspace(world: World) -> Namespace:
    return world.workspace(0)


def test_a_public_name_is_resolved(workspace: Namespace) -> None:
    assert _addresses(workspace.asks("public.example", server=GATEWAY)) == [PUBLIC]


def test_a_name_is_resolved_over_tcp(workspace: Namespace) -> None:
    assert _addresses(workspace.asks("public.example", server=GATEWAY, tcp=True)) == [PUBLIC]


def test_a_name_of_a_trusted_network_is_resolved(workspace: Namespace) -> None:
    assert _addresses(workspace.asks("mirror.example", server=GATEWAY)) == [TRUSTED]


@pytest.mark.parametrize("name", ["rebind.example", "metadata.example"])
def test_a_name_that_means_a_private_address_is_refused(workspace: Namespace, name: str) -> None:
    answer = workspace.asks(name, server=GATEWAY)
    assert not answer.rr
    assert answer.header.rcode == RCODE.REFUSED


@pytest.mark.parametrize("kind", ["ANY", "NULL", "AXFR", "NAPTR"])
def test_other_types_never_leave_the_host(workspace: Namespace, world: World, kind: str) -> None:
    world.asked.clear()
    answer = workspace.asks("tunnel.example", server=GATEWAY, kind=kind)
    assert answer.header.rcode == RCODE.REFUSED
    assert world.asked == []


def test_a_flood_of_one_workspace_leaves_the_other_its_answers(
    workspace: Namespace, world: World
) -> None:
    other = world.workspace(1)

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for number in range(3000):
                udp.sendto(DNSRecord.question(f"f{number}.example").pack(), (GATEWAY, 53))

    world.asked.clear()
    workspace.call(flood)
    assert _addresses(other.asks("public.example", server=GATEWAY)) == [PUBLIC]
    assert len([name for name in world.asked if name.startswith("f")]) < 1500


def test_the_forwarder_runs_without_any_privilege(world: World) -> None:
    status = _status(_forwarder_pid(world))
    assert status["Uid"].split() == [str(world.settings.build_ids + 61053)] * 4
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapPrm"], 16) == 0
    assert status["Groups"].strip() == ""


def test_a_forwarder_that_died_is_started_again(workspace: Namespace, world: World) -> None:
    pid = _forwarder_pid(world)
    os.kill(pid, signal.SIGKILL)
    assert _eventually(lambda: _answers(workspace), within_s=15)
    assert _forwarder_pid(world) != pid


def test_rules_that_somebody_flushed_come_back(workspace: Namespace, world: World) -> None:
    world.host.run("nft flush ruleset")
    assert not workspace.connects(PUBLIC, 80)
    assert _eventually(lambda: workspace.connects(PUBLIC, 80), within_s=15)
    assert not workspace.connects(METADATA, 80)


def _answers(workspace: Namespace) -> bool:
    try:
        return bool(workspace.asks("public.example", server=GATEWAY).rr)
    except OSError:
        return False


def _eventually(claim: Callable[[], bool], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.1)
    return False


def _addresses(answer: DNSRecord) -> list[str]:
    return [str(entry.rdata) for entry in answer.rr]


def _forwarder_pid(world: World) -> int:
    said = world.host.run("ss -Hlnup")
    line = next(line for line in said.splitlines() if GATEWAY in line)
    pids = {int(part.split(",")[0]) for part in line.split("pid=")[1:]} - {os.getpid()}
    return pids.pop()


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)
