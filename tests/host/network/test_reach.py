"""What a workspace reaches, tried from a real network namespace; refusals beside what works."""

# pyright: reportUnknownMemberType=false

import socket

import pytest

from tests.host.network.world import (
    METADATA,
    PRIVATE,
    PUBLIC,
    RESOLVER,
    TRUSTED,
    TRUSTED_PORT,
    UPLINK,
    Namespace,
    World,
)

pytestmark = pytest.mark.root

GATEWAY = "10.213.0.1"
EXPERIMENTAL = 253
"""A protocol number for tests (RFC 3692), of which connection tracking has no opinion."""


@pytest.fixture(scope="module")
def workspace(world: World) -> Namespace:
    return world.workspace(0)


def test_a_workspace_reaches_the_public_internet(workspace: Namespace) -> None:
    assert workspace.connects(PUBLIC, 80)


def test_a_network_the_operator_trusts_is_reached(workspace: Namespace) -> None:
    assert workspace.connects(TRUSTED, 80)


def test_only_the_trusted_port_of_an_address_is_reached(workspace: Namespace) -> None:
    assert workspace.connects(TRUSTED_PORT, 8080)
    assert not workspace.connects(TRUSTED_PORT, 80)


@pytest.mark.parametrize(
    "address",
    [
        PRIVATE,
        METADATA,
        "168.63.129.16",
        "100.100.100.200",
        "100.64.9.9",
        "172.16.3.3",
        "198.51.100.7",
        "192.168.1.1",
        "192.0.2.1",
    ],
)
def test_what_is_not_public_is_refused_at_once(
    workspace: Namespace, world: World, address: str
) -> None:
    assert world.host.connects(address, 80), "the positive control"
    assert not workspace.connects(address, 80, timeout_s=5)


@pytest.mark.parametrize("port", [25, 853])
def test_mail_and_other_name_servers_are_refused(
    workspace: Namespace, world: World, port: int
) -> None:
    assert world.host.connects(PUBLIC, port), "the positive control"
    assert not workspace.connects(PUBLIC, port)


def test_a_name_server_of_the_internet_is_not_reached(workspace: Namespace, world: World) -> None:
    assert world.host.asks("public.example", server=RESOLVER).rr, "the positive control"
    with pytest.raises(OSError):  # noqa: PT011 - refused or timed out, both will do
        workspace.asks("public.example", server=RESOLVER)


@pytest.mark.parametrize("address", [GATEWAY, UPLINK])
def test_services_of_the_host_are_not_reached(
    workspace: Namespace, world: World, address: str
) -> None:
    port = 9000 + int(address == UPLINK)
    world.listen(world.host, port, address)
    assert world.host.connects(address, port), "the positive control"
    assert not workspace.connects(address, port)


def test_the_forwarders_own_port_is_not_reached(workspace: Namespace, world: World) -> None:
    said = world.host.run("ss -Hltn")
    port = int(
        next(line for line in said.splitlines() if GATEWAY in line).split()[3].split(":")[1]
    )
    with pytest.raises(OSError):  # noqa: PT011
        workspace.call(lambda: socket.create_connection((GATEWAY, port), timeout=1))


def test_workspaces_do_not_reach_each_other(workspace: Namespace, world: World) -> None:
    other = world.workspace(7)
    world.listen(other, 80)
    assert other.connects(PUBLIC, 80), "the positive control"
    assert not workspace.connects("10.213.0.9", 80)


def test_the_host_does_not_reach_into_a_workspace(workspace: Namespace, world: World) -> None:
    world.listen(workspace, 7000)
    assert workspace.connects("10.213.0.2", 7000), "the positive control"
    assert not world.host.connects("10.213.0.2", 7000)


def test_nobody_from_outside_reaches_a_workspace(workspace: Namespace, world: World) -> None:
    world.listen(workspace, 7001)
    world.internet.run(f"ip route replace 10.213.0.0/24 via {UPLINK}")
    assert not world.internet.connects("10.213.0.2", 7001)


def test_the_host_does_not_become_a_router_for_others(world: World) -> None:
    """Replies need forwarding on the uplink; that must open nothing else."""
    other = Namespace()
    try:
        world.host.run("ip link add lan type veth peer name eth0")
        world.host.run(f"ip link set eth0 netns {other.pid}")
        world.host.run("ip addr add 198.18.7.1/24 dev lan")
        world.host.run("ip link set lan up")
        other.run("ip addr add 198.18.7.2/24 dev eth0")
        other.run("ip link set eth0 up")
        other.run("ip route add default via 198.18.7.1")
        world.internet.run(f"ip route replace 198.18.7.0/24 via {UPLINK}")
        world.listen(other, 80)
        assert world.host.connects("198.18.7.2", 80), "the positive control"
        assert not world.internet.connects("198.18.7.2", 80)
    finally:
        world.host.run("ip link del lan")
        other.close()


def test_a_forged_source_address_goes_nowhere(world: World) -> None:
    forger = world.workspace(11)
    assert _datagram_arrives(world, forger), "the positive control"
    forger.run("ip addr add 10.213.0.2/32 dev eth0")
    forger.run("ip route replace default via 10.213.0.1 dev eth0 src 10.213.0.2")
    assert not _datagram_arrives(world, forger)


def test_the_gateways_address_cannot_be_forged(world: World) -> None:
    forger = world.workspace(14)
    forger.run("ip addr add 10.213.0.1/32 dev eth0")
    forger.run("ip route add 10.213.0.254/32 dev eth0")
    shown = world.host.run(f"ip -o link show dev {interface_of(world, 14)}")
    mac = shown.split("link/ether ")[1].split()[0]
    forger.run(f"ip neigh replace 10.213.0.254 lladdr {mac} dev eth0")
    forger.run("ip route replace default via 10.213.0.254 dev eth0 src 10.213.0.1")
    assert not _datagram_arrives(world, forger)


def test_a_source_address_outside_of_the_pool_goes_nowhere(world: World) -> None:
    forger = world.workspace(13)
    forger.run("ip addr add 198.18.44.2/32 dev eth0")
    forger.run("ip route replace default via 10.213.0.1 dev eth0 src 198.18.44.2")
    world.host.run("ip route add 198.18.44.2/32 dev " + interface_of(world, 13))
    assert not _datagram_arrives(world, forger)


def test_a_workspace_that_gives_itself_ipv6_reaches_nothing(world: World) -> None:
    workspace = world.workspace(12)
    name = interface_of(world, 12)
    world.host.run(f"ip -6 addr add fd00:77::1/64 dev {name} nodad")
    workspace.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    workspace.run("ip -6 addr add fd00:77::2/64 dev eth0 nodad")
    world.listen(world.host, 9100, "fd00:77::1")
    assert world.host.connects("fd00:77::1", 9100), "the positive control"
    assert not workspace.connects("fd00:77::1", 9100)


def test_a_workspace_has_no_ipv6_by_default(workspace: Namespace) -> None:
    assert "inet6" not in workspace.run("ip addr show dev eth0")


def test_other_protocols_than_tcp_udp_and_icmp_are_dropped(
    workspace: Namespace, world: World
) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, EXPERIMENTAL) as raw:
            raw.sendto(b"\0" * 12, (PUBLIC, 0))

    def receive() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, EXPERIMENTAL) as raw:
            raw.settimeout(0.5)
            world.host.call(send)
            assert raw.recv(100), "the positive control"
            workspace.call(send)
            return raw.recv(100)

    with pytest.raises(TimeoutError):
        world.internet.call(receive)


def interface_of(world: World, slot: int) -> str:
    lines = world.host.run("ip -br link").splitlines()
    return next(line for line in lines if f"{slot:04d}@" in line).split("@")[0]


def _datagram_arrives(world: World, sender: Namespace) -> bool:
    def receive() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((PUBLIC, 5555))
            udp.settimeout(0.5)
            sender.call(send)
            try:
                return udp.recv(10) == b"x"
            except TimeoutError:
                return False

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"x", (PUBLIC, 5555))

    return world.internet.call(receive)
