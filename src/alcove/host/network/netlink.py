"""Network interfaces, addresses and routes by rtnetlink (rtnetlink(7)), without an exec.

`Netlink` speaks in the network namespace in which it was opened; `inside` runs a function in the
namespace of another process. Attaching a workspace takes about a millisecond this way.
"""

import ctypes
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from types import TracebackType
from typing import Final, TypeVar

ANSWER_TIMEOUT_S: Final = 5
_CLONE_NEWNET: Final = 0x40000000
_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBi")
_ROUTE: Final = struct.Struct("=8BI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_REQUEST: Final = 1
_ACK: Final = 4
_CREATE: Final = 0x400 | 0x200  # NLM_F_CREATE | NLM_F_EXCL
_REPLACE: Final = 0x400 | 0x100  # NLM_F_CREATE | NLM_F_REPLACE
_DUMP: Final = 0x300
_NESTED: Final = 0x8000
_IFF_UP: Final = 1
_IFF_RUNNING: Final = 0x40
_MAIN_TABLE: Final = 254
_PROTOCOL_STATIC: Final = 4
_UNIVERSE: Final = 0
_LINK_SCOPE: Final = 253
_UNICAST: Final = 1

_libc: Final = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


class _Message(IntEnum):
    ERROR = 2
    DONE = 3
    NEW_LINK = 16
    DEL_LINK = 17
    GET_LINK = 18
    SET_LINK = 19
    NEW_ADDRESS = 20
    NEW_ROUTE = 24
    GET_ROUTE = 26


class _LinkAttribute(IntEnum):
    NAME = 3
    MTU = 4
    PEER_INDEX = 5
    INFO = 18
    ALIAS = 20
    GROUP = 27
    NAMESPACE_FD = 28


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. `peer` is the index of a veth's other end, in that end's namespace."""

    index: int
    name: str
    alias: str
    group: int
    peer: int
    running: bool
    """Whether it is up with a carrier, and its queue is at work."""
    mtu: int


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """By which interface packets leave for everywhere."""

    interface: int


class Netlink:
    """One socket. Raises OSError with the kernel's reason."""

    def __init__(self, protocol: int = 0) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def links(self) -> list[Link]:
        body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        return [_link(answer) for answer in self._dump(_Message.GET_LINK, body)]

    def link(self, name: str) -> Link | None:
        """The interface of this name, or None."""
        body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _text(_LinkAttribute.NAME, name)
        try:
            return _link(self._ask(_Message.GET_LINK, 0, body))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def add_veth(
        self, name: str, *, group: int, mtu: int, peer_name: str, peer_namespace: int | None
    ) -> None:
        """A pair: `name` here, `peer_name` in the namespace of that descriptor, or here too and
        in the same group; both down. The group is given as it is made, so that rules by group
        see the first packet."""
        peer = (
            _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            + _text(_LinkAttribute.NAME, peer_name)
            + _number(_LinkAttribute.MTU, mtu)
        )
        if peer_namespace is None:
            peer += _number(_LinkAttribute.GROUP, group)
        else:
            peer += _number(_LinkAttribute.NAMESPACE_FD, peer_namespace)
        info_kind, info_data, veth_info_peer = 1, 2, 1
        info = _pack(info_kind, b"veth")
        info += _pack(info_data | _NESTED, _pack(veth_info_peer | _NESTED, peer))
        body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        body += _text(_LinkAttribute.NAME, name)
        body += _number(_LinkAttribute.GROUP, group) + _number(_LinkAttribute.MTU, mtu)
        body += _pack(_LinkAttribute.INFO | _NESTED, info)
        self._ask(_Message.NEW_LINK, _ACK | _CREATE, body)

    def set_link(self, index: int, *, up: bool, alias: str | None = None) -> None:
        body = _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP)
        if alias is not None:
            body += _pack(_LinkAttribute.ALIAS, alias.encode())
        self._ask(_Message.SET_LINK, _ACK, body)

    def delete_link(self, index: int) -> None:
        body = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        self._ask(_Message.DEL_LINK, _ACK, body)

    def add_address(self, index: int, address: IPv4Address) -> None:
        """A /32; may be repeated."""
        local, own = 2, 1
        body = _ADDRESS.pack(socket.AF_INET, 32, 0, _UNIVERSE, index)
        body += _pack(local, address.packed) + _pack(own, address.packed)
        self._ask(_Message.NEW_ADDRESS, _ACK | _REPLACE, body)

    def add_route(
        self,
        index: int,
        *,
        to: IPv4Address | None,
        via: IPv4Address | None = None,
        source: IPv4Address | None = None,
    ) -> None:
        """A route to one address, or the default one; may be repeated."""
        destination, interface, gateway, preferred = 1, 4, 5, 7
        bits = 32 if to else 0
        scope = _UNIVERSE if via else _LINK_SCOPE
        body = _ROUTE.pack(
            socket.AF_INET, bits, 0, 0, _MAIN_TABLE, _PROTOCOL_STATIC, scope, _UNICAST, 0
        )
        body += _pack(destination, to.packed) if to else b""
        body += _number(interface, index)
        body += _pack(gateway, via.packed) if via else b""
        body += _pack(preferred, source.packed) if source else b""
        self._ask(_Message.NEW_ROUTE, _ACK | _REPLACE, body)

    def default_routes(self) -> list[DefaultRoute]:
        """Of IPv4, in the main table."""
        body = _ROUTE.pack(socket.AF_INET, *([0] * 8))
        found: list[DefaultRoute] = []
        for answer in self._dump(_Message.GET_ROUTE, body):
            fields = _ROUTE.unpack_from(answer)
            interface = dict(_attributes(answer[_ROUTE.size :])).get(4, b"")
            if fields[1] == 0 and fields[4] == _MAIN_TABLE and len(interface) == 4:
                found.append(DefaultRoute(struct.unpack("=i", interface)[0]))
        return found

    def interface_towards(self, address: IPv4Address) -> int | None:
        """By which interface packets to `address` leave; None when there is no route."""
        destination, interface = 1, 4
        body = _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
        body += _pack(destination, address.packed)
        try:
            answer = self._ask(_Message.GET_ROUTE, 0, body)
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
                return None
            raise
        found = dict(_attributes(answer[_ROUTE.size :])).get(interface, b"")
        return struct.unpack("=i", found)[0] if len(found) == 4 else None

    def ask(self, message: int, body: bytes) -> bytes:
        """Any request that has one answer."""
        return self._ask(message, 0, body)

    def _ask(self, message: int, flags: int, body: bytes) -> bytes:
        """Send one request; answers the body of the one reply (empty for an ACK)."""
        sequence = self._send(message, _REQUEST | flags, body)
        for kind, answer in self._receive(sequence):
            if kind != _Message.ERROR:
                return answer
        return b""

    def _dump(self, message: _Message, body: bytes) -> list[bytes]:
        sequence = self._send(message, _REQUEST | _DUMP, body)
        found: list[bytes] = []
        while True:
            for kind, answer in self._receive(sequence):
                if kind == _Message.DONE:
                    return found
                found.append(answer)

    def _send(self, message: int, flags: int, body: bytes) -> int:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), message, flags, self._sequence, 0)
        self._socket.send(header + body)
        return self._sequence

    def _receive(self, sequence: int) -> Iterator[tuple[int, bytes]]:
        """One datagram of answers. Raises OSError when one of them is an error."""
        data = self._socket.recv(1 << 18)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, _, number, _ = _HEADER.unpack_from(data, offset)
            body = data[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3
            if number != sequence:
                continue
            if kind == _Message.ERROR:
                code = struct.unpack_from("=i", body)[0]
                if code:
                    raise OSError(-code, os.strerror(-code))
            yield kind, body


def has_table(name: str) -> bool:
    """Whether there is an nftables table `inet <name>` here (nf_tables.h)."""
    netfilter, get_table, family_inet, attribute_name = 12, 0x0A01, 1, 1
    body = struct.pack(">BBH", family_inet, 0, 0) + _text(attribute_name, name)
    with Netlink(netfilter) as netlink:
        try:
            netlink.ask(get_table, body)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
    return True


def inside(namespace: int, act: Callable[[], T]) -> T:
    """Call `act` on a thread of its own that is in the network namespace of that descriptor."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _enter(namespace)
            outcome.append(act())
        except BaseException as error:
            failure.append(error)

    # The thread ends with the namespace it is in; no other thread ever has a foreign one.
    thread = threading.Thread(target=run, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"enter the network namespace: {os.strerror(number)}")


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = dict(_attributes(body[_LINK.size :]))

    def number(attribute: _LinkAttribute) -> int:
        data = found.get(attribute, b"")
        return struct.unpack("=I", data)[0] if len(data) == 4 else 0

    def text(attribute: _LinkAttribute) -> str:
        return found.get(attribute, b"").rstrip(b"\0").decode(errors="replace")

    return Link(
        index=index,
        name=text(_LinkAttribute.NAME),
        alias=text(_LinkAttribute.ALIAS),
        group=number(_LinkAttribute.GROUP),
        peer=number(_LinkAttribute.PEER_INDEX),
        running=bool(flags & _IFF_RUNNING),
        mtu=number(_LinkAttribute.MTU),
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _pack(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def _text(kind: int, value: str) -> bytes:
    return _pack(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _pack(kind, struct.pack("=I", value))
