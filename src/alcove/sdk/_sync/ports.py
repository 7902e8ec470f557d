# Made by tools/async_to_sync.py from _async/ports.py: change that one.
"""A workspace's ports: what listens, who may open them, and where."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import request
from alcove.wire import ports as wire
from alcove.wire.ports import NewPortLink, Port, PortLink, PortShare

if TYPE_CHECKING:
    from collections.abc import Generator

    from alcove.sdk._sync.sockets import Socket

LevelName: TypeAlias = Literal["private", "team", "public"]


class Ports:
    """Call it for what listens now."""

    def __init__(self, transport: Transport, base: str) -> None:
        self._transport = transport
        self._base = f"{base}/ports"

    def __call__(self) -> tuple[Port, ...]:
        """TCP ports that something in it listens on, and those that are shared."""
        answer = self._transport.get(wire.Ports, self._base)
        return tuple(answer.items)

    def share(self, port: int, level: LevelName = "team", *, ttl: str | None = None) -> Port:
        """Let others open it: `team` is everybody with an account, `public` everybody."""
        body = request(PortShare, {"level": level, "ttl": ttl})
        return self._transport.post(Port, f"{self._base}/{port}/share", body)

    def unshare(self, port: int) -> None:
        """Make it private again; repeating it is fine."""
        self._transport.send("DELETE", f"{self._base}/{port}/share")

    def link(self, port: int, *, ttl: str = "1h", path: str = "/") -> PortLink:
        """A link that opens it for whoever has it, below `path`."""
        body = request(NewPortLink, {"ttl": ttl, "path": path})
        return self._transport.post(PortLink, f"{self._base}/{port}/links", body)

    @contextmanager
    def connect(self, port: int) -> "Generator[Connection]":
        """One TCP connection to it. Raises Unavailable when nothing listens."""
        with self._transport.websocket(f"{self._base}/{port}/connect") as socket:
            yield Connection(socket)


class Connection:
    """Bytes to and from what listens."""

    def __init__(self, socket: "Socket") -> None:
        self._socket = socket

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), 65536):
            self._socket.send(data[start : start + 65536])

    def send_eof(self) -> None:
        """Nothing more will be sent; what comes back can still be read."""
        self._socket.send(b"")

    def receive(self) -> bytes:
        """What came; empty at the end."""
        message = self._socket.receive()
        return message.encode() if isinstance(message, str) else message
