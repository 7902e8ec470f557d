"""Frames: how a process and its streams are carried over one connection with the agent.

The workspace is not trusted: a frame is bounded, and one that is none ends the connection.
"""

import struct
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from typing import Final

import anyio

from alcove.drivers.base import ByteStream
from alcove.model.errors import Unavailable

FRAME_MAX: Final = 1 << 20
READ_SIZE: Final = 4 * (5 + (32 << 10))
"""A few of the frames that the agent makes, whole."""
_HEADER: Final = struct.Struct(">BI")


class Frame(IntEnum):
    """Kinds of frames, both ways; see `docs/agent-protocol.md`."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    STARTED = 4
    STDIN_EOF = 5
    RESIZE = 6
    SIGNAL = 7
    RESYNC = 8
    """To viewers of a terminal: output was left out; where it goes on."""


_KINDS: Final = {int(kind): kind for kind in Frame}


class Frames:
    """Reads frames from a body; a frame is at most `FRAME_MAX` bytes."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source

    def __aiter__(self) -> AsyncIterator[tuple[Frame, bytes]]:
        return self._frames()

    async def _frames(self) -> AsyncIterator[tuple[Frame, bytes]]:
        held = bytearray()
        wanted = 0
        async for piece in self._source:
            data = piece
            if held:
                # The beginning of a frame.
                held += piece
                if len(held) < wanted:
                    continue
                data = bytes(held)
                held.clear()
            at, wanted, size = 0, _HEADER.size, len(data)
            while size - at >= _HEADER.size:
                kind, length = _HEADER.unpack_from(data, at)
                if length > FRAME_MAX or kind not in _KINDS:
                    raise Unavailable("the agent sent a frame that is none")
                wanted = _HEADER.size + length
                if size - at < wanted:
                    break
                yield _KINDS[kind], data[at + _HEADER.size : at + wanted]
                at, wanted = at + wanted, _HEADER.size
            held += data[at:]
        if held:
            raise Unavailable("the agent's answer broke off in the middle of a frame")


class Process:
    """A process with a live stdin. One task reads `frames`, one sends."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._watchers: list[Callable[[Frame, bytes], None]] = []

    def watch(self, see: Callable[[Frame, bytes], None]) -> None:
        """Have each frame shown to `see` before the reader gets it."""
        self._watchers.append(see)

    async def frames(self) -> AsyncIterator[tuple[Frame, bytes]]:
        """Until EXIT, or until the connection ends. To be read by one task, once."""
        async for kind, payload in Frames(self._receive()):
            for see in self._watchers:
                see(kind, payload)
            yield kind, payload

    async def send(self, kind: Frame, payload: bytes = b"") -> None:
        """STDIN, STDIN_EOF, RESIZE or SIGNAL. Waits while the process does not read."""
        for start in range(0, len(payload) or 1, FRAME_MAX):
            piece = payload[start : start + FRAME_MAX]
            await self._stream.send(_HEADER.pack(kind, len(piece)) + piece)

    async def _receive(self) -> AsyncIterator[bytes]:
        while True:
            try:
                yield await self._stream.receive(READ_SIZE)
            except anyio.EndOfStream:
                return
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise Unavailable("the connection to the agent was cut") from error
