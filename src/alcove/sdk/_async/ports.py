"""A workspace's ports: what listens, who may open them, and where."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import request
from alcove.wire import ports as wire
from alcove.wire.ports import NewPortLink, Port, PortLink, PortShare

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from alcove.sdk._async.sockets import AsyncSocket

LevelName: TypeAlias = Literal["private", "team", "public"]


class AsyncPorts:
    """Call it for what listens now."""

    def __init__(self, transport: AsyncTransport, base: str) -> None:
        self._transport = transport
        self._base = f"{base}/ports"

    async def __call__(self) -> tuple[Port, ...]:
        """TCP ports that something in it listens on, and those that are shared."""
        answer = await self._transport.get(wire.Ports, self._base)
        return tuple(answer.items)

    async def share(self, port: int, level: LevelName = "team", *, ttl: str | None = None) -> Port:
        """Let others open it: `team` is everybody with an account, `public` everybody."""
        body = request(PortShare, {"level": level, "ttl": ttl})
        return await self._transport.post(Port, f"{self._base}/{port}/share", body)

    async def unshare(self, port: int) -> None:
        """Make it private again; repeating it is fine."""
        await self._transport.send("DELETE", f"{self._base}/{port}/share")

    async def link(self, port: int, *, ttl: str = "1h", path: str = "/") -> PortLink:
        """A link that opens it for whoever has it, below `path`."""
        body = request(NewPortLink, {"ttl": ttl, "path": path})
        return await self._transport.post(PortLink, f"{self._base}/{port}/links", body)

    @asynccontextmanager
    async def connect(self, port: int) -> "AsyncGenerator[AsyncConnection]":
        """One TCP connection to it. Raises Unavailable when nothing listens."""
        async with self._transport.websocket(f"{self._base}/{port}/connect") as socket:
            yield AsyncConnection(socket)


class AsyncConnection:
    """Bytes to and from what listens."""

    def __init__(self, socket: "AsyncSocket") -> None:
        self._socket = socket

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), 65536):
            await self._socket.send(data[start : start + 65536])

    async def send_eof(self) -> None:
        """Nothing more will be sent; what comes back can still be read."""
        await self._socket.send(b"")

    async def receive(self) -> bytes:
        """What came; empty at the end."""
        message = await self._socket.receive()
        return message.encode() if isinstance(message, str) else message
