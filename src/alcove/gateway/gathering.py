"""A transport that writes what comes within one turn of the event loop at once.

asyncssh writes each packet by itself, which on loopback and in a local network costs as much as
what is in it.
"""

import asyncio
from typing import Any, Final

AT_ONCE: Final = 128 * 1024
"""Bytes that wait for the end of the turn at most."""


class Gathering(asyncio.Transport):
    """In front of another transport, for as much as asyncssh asks of one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(bytes(data))
        self._size += len(data)
        if self._size >= AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """What is not written yet still gets its chance, as if each packet had been."""
        self._flush()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
