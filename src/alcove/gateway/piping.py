"""Carries bytes between a forwarded SSH channel and a connection inside the workspace.

Each direction is read no faster than the other side takes it, and its end is passed on as such.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import asyncssh

from alcove.drivers.base import ByteStream

WAITING_MAX: Final = 256 * 1024
"""Bytes from the client that wait for the workspace; then the channel is not read."""
READ_SIZE: Final = 64 * 1024
OPEN_S: Final = 30.0
"""How long a channel that was granted may take to be open."""
LINGER_S: Final = 30.0
"""How long the workspace may take to read what was sent before the client closed."""

_Write = Callable[[bytes], None]
AnyChannel = asyncssh.SSHTCPChannel[bytes] | asyncssh.SSHUNIXChannel[bytes]


class Pipe(asyncssh.SSHTCPSession[bytes], asyncssh.SSHUNIXSession[bytes]):
    """The session of one forwarded channel. asyncssh calls it; `carry` runs beside it."""

    def __init__(self) -> None:
        self._channel: AnyChannel | None = None
        self._open = anyio.Event()
        self._inbox: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._arrived = anyio.Event()
        self._writable = anyio.Event()
        self._writable.set()
        self._scope = anyio.CancelScope()
        self._inward_scope = anyio.CancelScope()

    # What asyncssh calls; none of it waits.

    def connection_made(  # pyright: ignore[reportIncompatibleMethodOverride] - it is for both
        self, chan: AnyChannel
    ) -> None:
        self._channel = chan
        self._open.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.set()
        self._writable.set()
        if exc is not None:
            self._scope.cancel()
            return
        # What came before the close is still delivered.
        self._ended = True
        self._arrived.set()
        self._inward_scope.cancel()
        self._scope.deadline = anyio.current_time() + LINGER_S

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._inbox.append(data)
        self._waiting += len(data)
        self._arrived.set()
        if self._waiting >= WAITING_MAX and self._channel is not None:
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        """True: the other direction stays open."""
        self._ended = True
        self._arrived.set()
        return True

    def pause_writing(self) -> None:
        self._writable = anyio.Event()

    def resume_writing(self) -> None:
        self._writable.set()

    # What runs beside it.

    async def carry(self, stream: ByteStream) -> None:
        """Until both directions have ended, or either side is gone."""
        with anyio.move_on_after(OPEN_S):
            await self._open.wait()
        channel = self._channel
        if channel is None:
            return
        with self._scope:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._outward, stream, channel)
                    tasks.start_soon(self._inward, stream, channel)
            finally:
                channel.close()

    async def _outward(self, stream: ByteStream, channel: AnyChannel) -> None:
        """From the client to the workspace."""
        try:
            while True:
                while self._inbox:
                    data = self._inbox.popleft()
                    await stream.send(data)
                    self._waiting -= len(data)
                if self._ended:
                    await stream.send_eof()
                    return
                # In this order: what was held back arrives within `resume_reading`.
                self._arrived = anyio.Event()
                channel.resume_reading()
                await self._arrived.wait()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._scope.cancel()

    async def _inward(self, stream: ByteStream, channel: AnyChannel) -> None:
        """From the workspace to the client."""
        with self._inward_scope:
            await self._received(stream, channel)

    async def _received(self, stream: ByteStream, channel: AnyChannel) -> None:
        write: _Write = channel.write  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        try:
            while True:
                write(await stream.receive(READ_SIZE))
                if not self._writable.is_set():
                    await self._writable.wait()
        except anyio.EndOfStream:
            channel.write_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            # OSError: of asyncssh, for a channel that the client has closed.
            self._scope.cancel()
