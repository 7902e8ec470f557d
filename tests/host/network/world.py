"""A host, an Internet and workspaces, each a network namespace: nothing leaves the machine."""

# dnslib has no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from dnslib import QTYPE, RR, DNSRecord
from dnslib.dns import A

from alcove.host.network import OpenNetwork, addresses
from alcove.host.network.netlink import inside
from alcove.host.settings import HostSettings
from alcove.model.workspace import WorkspaceId

T = TypeVar("T")

POLL_S: Final = 0.2
PUBLIC: Final = "93.184.215.14"
RESOLVER: Final = "9.9.9.9"
TRUSTED: Final = "203.0.113.80"
TRUSTED_PORT: Final = "192.168.50.5"
PRIVATE: Final = "10.77.0.5"
METADATA: Final = "169.254.169.254"
UPLINK: Final = "192.0.2.2"
FOREIGN_ADDRESSES: Final = (
    PUBLIC,
    RESOLVER,
    TRUSTED,
    TRUSTED_PORT,
    PRIVATE,
    METADATA,
    "168.63.129.16",
    "100.100.100.200",
    "100.64.9.9",
    "172.16.3.3",
    "198.51.100.7",
    "192.168.1.1",
)
ZONE: Final = {
    "public.example.": PUBLIC,
    "rebind.example.": PRIVATE,
    "metadata.example.": METADATA,
    "mirror.example.": TRUSTED,
}


class Namespace:
    """A network namespace, held by a process that sleeps."""

    def __init__(self, *, own_users: bool = False) -> None:
        kinds = "-Un" if own_users else "-n"
        self.process = subprocess.Popen(["unshare", kinds, "sleep", "600"])
        ours = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self.process.pid}/ns/net").readlink() == ours:
            time.sleep(0.001)
        self.fd = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        self.run("ip link set lo up")

    @property
    def pid(self) -> int:
        return self.process.pid

    def call(self, act: Callable[[], T]) -> T:
        return inside(self.fd, act)

    def run(self, command: str) -> str:
        """A command line; raises when it fails."""
        argv = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command.split()]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def connects(self, address: str, port: int, *, timeout_s: float = 2.0) -> bool:
        """Whether a TCP connection gets an answer."""

        def attempt() -> bool:
            try:
                with socket.create_connection((address, port), timeout=timeout_s) as stream:
                    return stream.recv(2) == b"hi"
            except OSError:
                return False

        return self.call(attempt)

    def asks(self, name: str, *, server: str, kind: str = "A", tcp: bool = False) -> DNSRecord:
        """The answer to a question. Raises OSError."""
        query = DNSRecord.question(name, kind).pack()

        def attempt() -> bytes:
            if tcp:
                with socket.create_connection((server, 53), timeout=3) as stream:
                    stream.sendall(len(query).to_bytes(2, "big") + query)
                    return stream.recv(65536)[2:]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.settimeout(3)
                udp.connect((server, 53))
                udp.send(query)
                return udp.recv(4096)

        return DNSRecord.parse(self.call(attempt))

    def close(self) -> None:
        os.close(self.fd)
        self.process.kill()
        self.process.wait()


@dataclass
class World:
    """`host` is where the network under test works; `internet` answers at many addresses."""

    host: Namespace
    internet: Namespace
    network: OpenNetwork
    settings: HostSettings
    workspaces: list[Namespace] = field(default_factory=list[Namespace])
    asked: list[str] = field(default_factory=list[str])
    """Names that reached the Internet's resolver."""
    closed: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def network_group(self) -> int:
        return addresses.plan(self.settings).group

    def setup(self) -> None:
        self.host.call(self.network.setup)

    def teardown(self) -> None:
        self.host.call(self.network.teardown)

    def workspace(self, slot: int, *, attach: bool = True) -> Namespace:
        made = Namespace()
        self.workspaces.append(made)
        if attach:
            self.attach(made, slot)
        return made

    def attach(self, made: Namespace, slot: int) -> None:
        self.host.call(lambda: self.network.attach(workspace_id(slot), made.pid, slot))

    def listen(self, at: Namespace, port: int, address: str = "0.0.0.0") -> None:
        """Say hi to everybody who connects."""

        def bind() -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, port), family=family)
            listener.settimeout(POLL_S)
            return listener

        listener = at.call(bind)

        def greet() -> None:
            while not self.closed.is_set():
                with suppress(TimeoutError):
                    stream, _ = listener.accept()
                    with stream, suppress(OSError):
                        stream.sendall(b"hi")
            listener.close()

        self._serve(greet)

    def resolve(self) -> None:
        """A name server on the Internet."""

        def bind() -> socket.socket:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((RESOLVER, 53))
            udp.settimeout(POLL_S)
            return udp

        udp = self.internet.call(bind)

        def answer() -> None:
            while not self.closed.is_set():
                with suppress(TimeoutError):
                    data, asker = udp.recvfrom(4096)
                    query = DNSRecord.parse(data)
                    name = str(query.q.qname)
                    self.asked.append(name)
                    reply = query.reply()
                    if name in ZONE and query.q.qtype == QTYPE.A:
                        reply.add_answer(RR(name, QTYPE.A, rdata=A(ZONE[name]), ttl=60))
                    udp.sendto(reply.pack(), asker)
            udp.close()

        self._serve(answer)

    def _serve(self, act: Callable[[], None]) -> None:
        thread = threading.Thread(target=act)
        thread.start()
        self.threads.append(thread)

    def close(self) -> None:
        with suppress(OSError):
            self.teardown()
        self.closed.set()
        for thread in self.threads:
            thread.join()
        for namespace in (*self.workspaces, self.host, self.internet):
            namespace.close()


def workspace_id(slot: int) -> WorkspaceId:
    return WorkspaceId(f"ws-{slot:016d}")


def make(directory: Path) -> World:
    """The host with an uplink, and an Internet behind it that has every address."""
    host, internet = Namespace(), Namespace()
    host.run("sysctl -qw net.ipv4.ip_forward=0")  # a new namespace is a router when the machine is
    host.run("ip link add uplink type veth peer name outer")
    host.run(f"ip link set outer netns {internet.pid}")
    host.run(f"ip addr add {UPLINK}/24 dev uplink")
    host.run("ip link set uplink up")
    internet.run("ip addr add 192.0.2.1/24 dev outer")
    internet.run("ip link set outer up")
    host.run("ip route add default via 192.0.2.1")
    for address in FOREIGN_ADDRESSES:
        internet.run(f"ip addr add {address}/32 dev lo")
    settings = HostSettings(
        data_dir=directory,
        instance="tst",
        network_pool="10.213.0.0/24",
        trusted_networks=("203.0.113.0/24", f"{TRUSTED_PORT}:8080"),
        resolvers=(RESOLVER,),
    )
    world = World(host, internet, OpenNetwork(settings), settings)
    for port in (25, 80, 853, 8080):
        world.listen(internet, port)
    world.resolve()
    return world
