"""Sets up the host's side of the network, keeps it so, and attaches workspaces to it.

Implements `ports.Network` for mode `open`. One veth pair per workspace and no bridge: the only
neighbour of a workspace is the host, whose rules (`rules`) decide on each packet. Everything is
found again by the interface group and the alias, so nothing is remembered but what to restore.
The one rule: an interface is in the group from its first moment, and the rules are loaded before.
"""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from alcove.host.network import addresses, forwarder, rules
from alcove.host.network.netlink import Link, Netlink, has_table, inside
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId

INSIDE: Final = "eth0"
MTU_DEFAULT: Final = 1500
RUNNING_WAIT_S: Final = 0.5
WATCH_S: Final = 5.0
NFT_TIMEOUT_S: Final = 15
QUEUE_BYTES: Final = 4 << 20
_SO_RCVBUFFORCE: Final = 33
FORWARDER_ID: Final = 61053
"""Within the range of builds, where no build has a user of this number."""
PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_SYSCTL: Final = Path("/proc/sys/net")


class OpenNetwork:
    """Implements `ports.Network`. Safe to use from several threads; works in the network
    namespace of the thread that calls `setup`."""

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._plan = addresses.plan(settings)
        self._state = settings.host_dir / "network.json"
        self._lock = threading.RLock()
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._mtu = MTU_DEFAULT
        self._uplinks: tuple[str, ...] = ()
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None

    def setup(self) -> None:
        with self._lock:
            try:
                self._sweep()
                self._make_gateway()
                self._open_uplinks()
                self._start_forwarder()
                self._load()
            except OSError as error:
                raise DriverError(f"cannot set up the network: {error}", retry=True) from error
            self._closed.clear()
            if self._watch is None:
                self._watch = threading.Thread(target=self._keep, name="network", daemon=True)
                self._watch.start()

    def teardown(self) -> None:
        self._closed.set()
        watch = self._watch
        if watch and watch is not threading.current_thread():
            watch.join(WATCH_S + NFT_TIMEOUT_S)
        with self._lock:
            self._watch = None
            self._stop_forwarder()
            with Netlink() as netlink:
                for link in netlink.links():
                    if self._is_ours(link):
                        _delete(netlink, link)
            if has_table(self._plan.instance):
                _nft(rules.removal(self._plan))
            for name in self._recorded():
                _write_sysctl(f"ipv4/conf/{name}/forwarding", "0")
            self._state.unlink(missing_ok=True)

    def attach(self, workspace: WorkspaceId, pid: int, slot: int) -> None:
        address = self._plan.address(slot)
        alias = f"{self._plan.instance}:{workspace}:{slot}"
        with self._lock:
            self._make_sure()
            try:
                namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                message = f"process {pid} of {workspace} is gone; there is nothing to connect"
                raise DriverError(message, retry=True) from error
            try:
                self._connect(workspace, namespace, address, alias)
            except OSError as error:
                raise DriverError(f"cannot connect {workspace}: {error}", retry=True) from error
            finally:
                os.close(namespace)

    def detach(self, workspace: WorkspaceId) -> None:
        with self._lock, Netlink() as netlink:
            link = netlink.link(self._plan.interface(workspace))
            if link and self._is_ours(link):
                _delete(netlink, link)

    def inventory(self) -> set[WorkspaceId]:
        with Netlink() as netlink:
            found = {self._workspace_of(link) for link in netlink.links()}
        return {workspace for workspace in found if workspace}

    def resolv_conf(self) -> str:
        return f"nameserver {self._plan.gateway}\noptions timeout:3 attempts:2\n"

    def _connect(
        self, workspace: WorkspaceId, namespace: int, address: IPv4Address, alias: str
    ) -> None:
        name = self._plan.interface(workspace)
        with Netlink() as netlink:
            link = netlink.link(name)
            if link and not self._is_ours(link):
                raise OSError(f"the interface {name} is somebody else's")
            there = inside(namespace, _inner_link)
            if link and there and link.peer == there.index and link.alias == alias:
                return
            if link:
                _delete(netlink, link)
            netlink.add_veth(
                name,
                group=self._plan.group,
                mtu=self._mtu,
                peer_name=INSIDE,
                peer_namespace=namespace,
            )
            link = _present(netlink, name)
            try:
                _write_sysctl(f"ipv4/conf/{name}/forwarding", "1")
                netlink.set_link(link.index, up=True, alias=alias)
                netlink.add_route(link.index, to=address, source=self._plan.gateway)
                inside(namespace, lambda: _configure(address, self._plan.gateway))
                _await_running(netlink, name)
            except BaseException:
                _delete(netlink, link)
                raise

    def _make_sure(self) -> None:
        """No workspace without the guard: put it back in place, or refuse."""
        if self._sockets is None:
            raise DriverError("the network is not set up", retry=True)
        if not has_table(self._plan.instance):
            self._load()
        if self._process is None or self._process.poll() is not None:
            self._start_forwarder()

    def _keep(self) -> None:
        """Somebody may flush the rules, or the forwarder may die, while workspaces run."""
        while not self._closed.wait(WATCH_S):
            # The next round tries again; a new workspace is refused until it works.
            with suppress(OSError, DriverError), self._lock:
                if self._closed.is_set():
                    return
                before = self._uplinks
                self._make_gateway()
                self._open_uplinks()
                self._make_sure()
                if self._uplinks != before:
                    self._load()

    def _sweep(self) -> None:
        """Remove interfaces that a crash left without their alias: nobody could name them."""
        with Netlink() as netlink:
            for link in netlink.links():
                if self._is_ours(link) and not link.alias:
                    _delete(netlink, link)

    def _make_gateway(self) -> None:
        name = self._plan.gateway_interface
        with Netlink() as netlink:
            link = netlink.link(name)
            if link is None:
                # A pair that leads nowhere: a dummy would need one more kernel module.
                netlink.add_veth(
                    name,
                    group=self._plan.group,
                    mtu=MTU_DEFAULT,
                    peer_name=f"{name}p",
                    peer_namespace=None,
                )
                link = _present(netlink, name)
                for end in (name, f"{name}p"):
                    _write_sysctl(f"ipv6/conf/{end}/disable_ipv6", "1")
                peer = _present(netlink, f"{name}p")
                netlink.set_link(peer.index, up=True, alias=f"{self._plan.instance}:gateway")
            if not self._is_ours(link):
                raise OSError(f"the interface {name} is somebody else's")
            netlink.set_link(link.index, up=True, alias=f"{self._plan.instance}:gateway")
            netlink.add_address(link.index, self._plan.gateway)

    def _open_uplinks(self) -> None:
        """Let replies in: where the host forwards nothing, forward what comes in by an uplink
        (the rules drop what is not for a workspace), and record it for `teardown`."""
        with Netlink() as netlink:
            links = {link.index: link for link in netlink.links()}
            ways = {route.interface for route in netlink.default_routes()}
            for entry in self._plan.trusted:
                if way := netlink.interface_towards(entry.network[0]):
                    ways.add(way)
        uplinks = [
            links[way]
            for way in sorted(ways)
            if way in links and links[way].name != "lo" and not self._is_ours(links[way])
        ]
        self._mtu = min((link.mtu for link in uplinks), default=MTU_DEFAULT)
        recorded = self._recorded()
        closed = {link.name for link in uplinks if not _forwards(link.name)}
        if new := closed - recorded:
            self._record(recorded | new)
        for name in closed:
            _write_sysctl(f"ipv4/conf/{name}/forwarding", "1")
        self._uplinks = tuple(sorted(recorded | closed))

    def _start_forwarder(self) -> None:
        if self._process and self._process.poll() is None:
            return
        if self._sockets is None:
            self._sockets = _bind(self._plan.gateway)
        udp, tcp = self._sockets
        config = forwarder.Config(
            udp=udp.fileno(),
            tcp=tcp.fileno(),
            user=self._settings.build_ids + FORWARDER_ID,
            resolvers=self._settings.resolvers,
            trusted=self._settings.trusted_networks,
        )
        self._process = subprocess.Popen(
            forwarder.command_line(config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[config.udp, config.tcp],
            env={"PATH": PATH, "MALLOC_ARENA_MAX": "2"},
            cwd="/",
        )

    def _stop_forwarder(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        for end in self._sockets or ():
            end.close()
        self._sockets = None

    def _load(self) -> None:
        if self._sockets is None:
            raise DriverError("the network is not set up", retry=True)
        port: int = self._sockets[0].getsockname()[1]
        _nft(rules.table(self._plan, forwarder_port=port, uplinks=self._uplinks))

    def _is_ours(self, link: Link) -> bool:
        return link.group == self._plan.group

    def _workspace_of(self, link: Link) -> WorkspaceId | None:
        parts = link.alias.split(":")
        if not self._is_ours(link) or len(parts) != 3 or parts[0] != self._plan.instance:
            return None
        return WorkspaceId(parts[1])

    def _recorded(self) -> set[str]:
        """Interfaces on which forwarding was off before us."""
        try:
            return {str(name) for name in json.loads(self._state.read_text())["forwarding"]}
        except (OSError, ValueError, KeyError):
            return set()

    def _record(self, names: set[str]) -> None:
        self._state.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps({"forwarding": sorted(names)}))
        new.rename(self._state)


def _inner_link() -> Link | None:
    with Netlink() as netlink:
        return netlink.link(INSIDE)


def _configure(address: IPv4Address, gateway: IPv4Address) -> None:
    """The workspace's side, on a thread in its namespace."""
    _write_sysctl(f"ipv6/conf/{INSIDE}/disable_ipv6", "1")
    with Netlink() as netlink:
        link = _present(netlink, INSIDE)
        netlink.set_link(_present(netlink, "lo").index, up=True)
        netlink.set_link(link.index, up=True)
        netlink.add_address(link.index, address)
        netlink.add_route(link.index, to=gateway)
        netlink.add_route(link.index, to=None, via=gateway)


def _await_running(netlink: Netlink, name: str) -> None:
    """The end that was up first drops packets until the kernel has looked at its carrier; a lost
    answer to the workspace's first question would cost it a second."""
    deadline = time.monotonic() + RUNNING_WAIT_S
    while not _present(netlink, name).running and time.monotonic() < deadline:
        time.sleep(0.0005)


def _present(netlink: Netlink, name: str) -> Link:
    link = netlink.link(name)
    if link is None:
        raise OSError(f"the interface {name} vanished")
    return link


def _delete(netlink: Netlink, link: Link) -> None:
    """Its other end may have taken it along in the meantime."""
    with suppress(OSError):
        netlink.delete_link(link.index)


def _bind(gateway: IPv4Address) -> tuple[socket.socket, socket.socket]:
    """One free port for both protocols; the rules lead port 53 of the gateway to it, so that a
    name server of the host's own may have that."""
    for _ in range(20):
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, QUEUE_BYTES)
        try:
            tcp.bind((str(gateway), 0))
            udp.bind((str(gateway), tcp.getsockname()[1]))
            tcp.listen(64)
        except OSError:
            tcp.close()
            udp.close()
            continue
        return udp, tcp
    raise OSError(f"no free port on {gateway}")


def _forwards(interface: str) -> bool:
    return (_SYSCTL / f"ipv4/conf/{interface}/forwarding").read_text().strip() == "1"


def _write_sysctl(name: str, value: str) -> None:
    """Of the calling thread's network namespace; without IPv6 there is nothing to disable."""
    with suppress(FileNotFoundError):
        (_SYSCTL / name).write_text(value)


def _nft(text: str) -> None:
    program = shutil.which("nft", path=PATH)
    if program is None:
        raise DriverError("nft is not installed; run: apt-get install nftables", retry=False)
    try:
        done = subprocess.run(
            [program, "-f", "-"],
            input=text,
            capture_output=True,
            text=True,
            timeout=NFT_TIMEOUT_S,
            check=False,
            env={"PATH": PATH},
        )
    except subprocess.TimeoutExpired as error:
        raise DriverError("nft did not answer; try again", retry=True) from error
    if done.returncode:
        raise DriverError(f"nft refuses our rules: {done.stderr.strip()[:500]}", retry=True)
