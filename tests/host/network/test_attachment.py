"""Attaching, finding again, and removing; nothing of anybody else's is touched."""

# pyright: reportUnknownMemberType=false

import time
from dataclasses import replace
from pathlib import Path

import pytest

from alcove.host.network import OpenNetwork
from alcove.model.errors import DriverError
from tests.host.network.world import PRIVATE, PUBLIC, UPLINK, Namespace, World, workspace_id

pytestmark = pytest.mark.root


def test_attaching_again_keeps_the_connection(fresh: World) -> None:
    fresh.setup()
    workspace = fresh.workspace(3)
    before = fresh.host.run("ip -o link")
    fresh.attach(workspace, 3)
    assert fresh.host.run("ip -o link") == before
    assert workspace.connects(PUBLIC, 80)


def test_a_workspace_with_a_user_namespace_of_its_own_is_connected(fresh: World) -> None:
    fresh.setup()
    workspace = Namespace(own_users=True)
    fresh.workspaces.append(workspace)
    fresh.attach(workspace, 5)
    assert workspace.connects(PUBLIC, 80)
    assert "inet6" not in workspace.run("ip addr show dev eth0")


def test_on_a_host_that_forwards_anyway_nobody_reaches_a_workspace(fresh: World) -> None:
    fresh.host.run("sysctl -qw net.ipv4.ip_forward=1")
    fresh.setup()
    workspace = fresh.workspace(3)
    fresh.listen(workspace, 80)
    fresh.internet.run(f"ip route add 10.213.0.0/24 via {UPLINK}")
    assert workspace.connects(PUBLIC, 80), "the positive control"
    assert not fresh.internet.connects("10.213.0.5", 80)
    fresh.teardown()
    assert fresh.host.run("sysctl -n net.ipv4.conf.uplink.forwarding").strip() == "1"


def test_trusting_a_network_that_holds_the_pool_opens_no_way_between_workspaces(
    fresh: World,
) -> None:
    fresh.network = OpenNetwork(replace(fresh.settings, trusted_networks=("10.0.0.0/8",)))
    fresh.setup()
    first, second = fresh.workspace(3), fresh.workspace(4)
    fresh.listen(second, 80)
    assert first.connects(PRIVATE, 80), "the positive control"
    assert not first.connects("10.213.0.6", 80)


def test_a_workspace_that_was_started_again_is_connected_anew(fresh: World) -> None:
    fresh.setup()
    fresh.workspace(3)
    again = fresh.workspace(3)
    assert again.connects(PUBLIC, 80)


def test_a_detached_workspace_reaches_nothing_and_is_forgotten(fresh: World) -> None:
    fresh.setup()
    workspace = fresh.workspace(3)
    fresh.host.call(lambda: fresh.network.detach(workspace_id(3)))
    assert fresh.host.call(fresh.network.inventory) == set()
    assert not workspace.connects(PUBLIC, 80)


def test_detaching_what_is_not_there_is_fine(fresh: World) -> None:
    fresh.setup()
    fresh.host.call(lambda: fresh.network.detach(workspace_id(9)))


def test_the_inventory_names_who_is_attached(fresh: World) -> None:
    fresh.setup()
    fresh.workspace(3)
    fresh.workspace(4)
    assert fresh.host.call(fresh.network.inventory) == {workspace_id(3), workspace_id(4)}


def test_without_setup_nothing_is_attached(fresh: World) -> None:
    with pytest.raises(DriverError, match="not set up"):
        fresh.workspace(1)


def test_a_process_that_is_gone_is_not_attached(fresh: World) -> None:
    fresh.setup()
    with pytest.raises(DriverError, match="is gone"):
        fresh.host.call(lambda: fresh.network.attach(workspace_id(1), 2**22, 1))


def test_a_slot_beyond_the_pool_is_refused(fresh: World) -> None:
    fresh.setup()
    with pytest.raises(DriverError, match="network_pool"):
        fresh.workspace(253)


def test_teardown_leaves_the_host_as_it_was(fresh: World) -> None:
    fresh.host.run("nft add table inet others")
    before = _state(fresh)
    fresh.setup()
    fresh.workspace(3)
    assert _state(fresh) != before
    fresh.teardown()
    assert _state(fresh) == before
    assert not list(Path(fresh.settings.host_dir).glob("network*"))


def test_teardown_by_another_process_finds_everything(fresh: World) -> None:
    before = _state(fresh)
    fresh.setup()
    fresh.workspace(3)
    other = OpenNetwork(fresh.settings)
    fresh.host.call(other.teardown)
    fresh.teardown()
    assert _state(fresh) == before


def test_a_new_process_keeps_the_workspaces_that_run(fresh: World) -> None:
    fresh.setup()
    workspace = fresh.workspace(3)
    successor = OpenNetwork(fresh.settings)
    fresh.host.call(successor.setup)
    try:
        assert fresh.host.call(successor.inventory) == {workspace_id(3)}
        assert workspace.connects(PUBLIC, 80)
        assert workspace.asks("public.example", server="10.213.0.1").rr
    finally:
        fresh.host.call(successor.teardown)


def test_an_interface_that_a_crash_left_half_made_is_removed(fresh: World) -> None:
    fresh.setup()
    fresh.host.run("ip link add tstleft type veth peer name tstother")
    fresh.host.run(f"ip link set tstleft group {fresh.network_group()}")
    fresh.setup()
    assert "tstleft" not in fresh.host.run("ip -br link")


def test_an_interface_of_somebody_else_is_never_taken(fresh: World) -> None:
    fresh.setup()
    name = f"tst{workspace_id(3)[-11:]}"
    fresh.host.run(f"ip link add {name} type veth peer name theirs")
    with pytest.raises(DriverError, match="somebody else"):
        fresh.workspace(3)
    fresh.host.call(lambda: fresh.network.detach(workspace_id(3)))
    assert name in fresh.host.run("ip -br link")


def test_two_installations_side_by_side_leave_each_other_alone(fresh: World) -> None:
    fresh.setup()
    workspace = fresh.workspace(3)
    settings = replace(
        fresh.settings,
        instance="tst2",
        data_dir=fresh.settings.data_dir / "two",
        network_pool="10.214.0.0/24",
    )
    second = OpenNetwork(settings)
    fresh.host.call(second.setup)
    other = fresh.workspace(4, attach=False)
    fresh.host.call(lambda: second.attach(workspace_id(4), other.pid, 0))
    assert other.connects(PUBLIC, 80)
    assert not other.connects("10.213.0.5", 80)
    fresh.host.call(second.teardown)
    assert workspace.connects(PUBLIC, 80)


def test_attaching_takes_a_few_milliseconds(fresh: World) -> None:
    fresh.setup()
    spaces = [fresh.workspace(slot, attach=False) for slot in range(8)]
    took: list[float] = []
    for slot, space in enumerate(spaces):
        started = time.perf_counter()
        fresh.attach(space, slot)
        took.append(time.perf_counter() - started)
    assert sorted(took)[4] < 0.05


def _state(world: World) -> list[str]:
    return [
        world.host.run("ip -br link"),
        world.host.run("ip -4 addr"),
        world.host.run("ip route"),
        world.host.run("nft list ruleset"),
        world.host.run("sysctl -a --pattern net.ipv4.conf.*.forwarding"),
        world.host.run("ss -Hlntu"),
    ]
