"""Byte streams over connected Unix sockets, as the event loop itself drives them.

What anyio has for Unix sockets makes the kernel watch the socket anew for each read; here the loop
reads as bytes come, which costs a short exchange half as much. Both directions are bounded:
reading rests while `HELD_MAX` bytes wait for their reader, and a writer waits for the other end.
"""

import asyncio
import select
import socket
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import anyio

HELD_MAX: Final = 256 * 1024
"""Bytes that came and were not taken yet, from which on reading rests."""
UNSENT_MAX: Final = 64 * 1024
"""Bytes that the kernel has not taken yet, above which a writer waits."""
CLOSE_S: Final = 0.2
"""How long a stream that is closed tries to get rid of them."""


class Stream(asyncio.Protocol):
    """Implements ByteStream. One task reads, and one writes, at a time."""

    def __init__(self) -> None:
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._rests = False
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._lost = asyncio.Event()
        self._over: type[Exception] | None = None
        """Why nothing more will come."""

    @classmethod
    async def connect(cls, path: Path) -> "Stream":
        """Raises OSError when nobody listens there."""
        _, stream = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        return stream

    @classmethod
    async def of(cls, connected: socket.socket) -> "Stream":
        """Which owns the socket from now on."""
        _, stream = await asyncio.get_running_loop().create_unix_connection(cls, sock=connected)
        return stream

    def at_end(self) -> bool:
        """Whether the other end was closed, also when the loop has not noticed yet."""
        return self._over is not None or is_cut(self._transport.get_extra_info("socket"))

    async def send(self, item: bytes, /) -> None:
        """Returns when there is room for more. Raises BrokenResourceError when it was cut."""
        self._writable()
        self._transport.write(bytes(item))
        if not self._room.is_set():
            await self._room.wait()
            self._writable()

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        """Raises EndOfStream at the end, and BrokenResourceError when it was cut."""
        while not self._held:
            if self._over is not None:
                raise self._over
            self._came.clear()
            await self._came.wait()
        piece = self._held.popleft()
        if len(piece) > max_bytes:
            self._held.appendleft(piece[max_bytes:])
            piece = piece[:max_bytes]
        self._held_bytes -= len(piece)
        if self._rests and self._held_bytes < HELD_MAX:
            self._rests = False
            self._transport.resume_reading()
        return piece

    async def send_eof(self) -> None:
        """Nothing more will be sent; what comes may still be read."""
        self._writable()
        self._transport.write_eof()

    async def aclose(self) -> None:
        """What the kernel does not take within `CLOSE_S` is dropped."""
        self._held.clear()
        self._over = anyio.ClosedResourceError
        self._came.set()
        self._room.set()
        try:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                with anyio.move_on_after(CLOSE_S):
                    await self._lost.wait()
        finally:
            self._transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.aclose()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, and are none of them.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNSENT_MAX)

    def data_received(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= HELD_MAX and not self._rests:
            self._rests = True
            self._transport.pause_reading()
        self._came.set()

    def eof_received(self) -> bool:
        self._end(anyio.EndOfStream)
        return True

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(anyio.BrokenResourceError)
        self._room.set()
        self._lost.set()

    def _end(self, why: type[Exception]) -> None:
        self._over = self._over or why
        self._came.set()

    def _writable(self) -> None:
        if self._transport.is_closing():
            closed = self._over is anyio.ClosedResourceError
            raise anyio.ClosedResourceError if closed else anyio.BrokenResourceError


def is_cut(connection: socket.socket) -> bool:
    """Whether its other end was closed, or sends no more."""
    look = select.poll()
    look.register(connection, select.POLLRDHUP)
    return bool(look.poll(0))
