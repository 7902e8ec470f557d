"""Which addresses are open, what a workspace is given, and how the rules read: tables, no I/O."""

from ipaddress import IPv4Address, IPv4Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.host.network.addresses import Trusted, plan, reachable, trusted
from alcove.host.network.rules import table
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "172.31.255.255",
        "192.168.0.1",
        "198.51.100.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001::1",
        "ff02::1",
    ],
)
def test_what_is_not_public_is_not_reachable(address: str) -> None:
    assert not reachable(ip_address(address), ())


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "172.32.0.1", "2606:4700::1111"])
def test_public_addresses_are_reachable(address: str) -> None:
    assert reachable(ip_address(address), ())


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_nothing_is_reachable_that_python_knows_to_be_private(address: IPv4Address) -> None:
    if not address.is_global:
        assert not reachable(address, ())


def test_a_trusted_network_is_reachable_but_for_metadata_services() -> None:
    opened = (Trusted(IPv4Network("169.254.0.0/16")),)
    assert reachable(IPv4Address("169.254.1.1"), opened)
    assert not reachable(IPv4Address("169.254.169.254"), opened)


@pytest.mark.parametrize(
    "text",
    ["", "x", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0:0", "10.0.0.0:70000", "::1/128", "a;b"],
)
def test_a_trusted_network_that_is_none_is_named(text: str) -> None:
    with pytest.raises(DriverError, match="trusted_networks"):
        trusted(text)


def test_every_slot_has_an_address_of_its_own_within_the_pool() -> None:
    made = plan(HostSettings(network_pool="10.9.8.0/24"))
    found = [made.address(slot) for slot in range(253)]
    assert len(set(found)) == 253
    assert all(address in made.pool for address in found)
    assert made.gateway not in found
    assert made.pool.broadcast_address not in found
    with pytest.raises(DriverError, match="network_pool"):
        made.address(253)


@pytest.mark.parametrize("pool", ["x", "10.0.0.1/16", "10.0.0.0/28", "0.0.0.0/0"])
def test_a_pool_that_is_none_is_named(pool: str) -> None:
    with pytest.raises(DriverError, match="network_pool"):
        plan(HostSettings(network_pool=pool))


def test_names_of_interfaces_fit_the_kernel() -> None:
    made = plan(HostSettings(instance="a-long-instance"))
    assert len(made.interface("ws-abcdefghijklmnop")) <= 15
    assert len(made.gateway_interface + "p") <= 15


def test_two_instances_never_have_one_group() -> None:
    groups = {plan(HostSettings(instance=f"i{n}")).group for n in range(1000)}
    assert len(groups) == 1000
    assert 0 not in groups


def test_the_list_of_blocked_networks_covers_the_private_ones() -> None:
    text = table(plan(HostSettings()), forwarder_port=1, uplinks=())
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"):
        assert network in text
