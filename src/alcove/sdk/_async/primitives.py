"""What differs between the asynchronous and the blocking client; its twin is in `_sync`.

Written by hand on both sides, with the same names, so that everything else is generated.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from websockets.asyncio.client import ClientConnection as Connection
from websockets.asyncio.client import connect

__all__ = ["Connection", "chunks", "in_thread", "open_websocket", "sleep"]

CLOSE_TIMEOUT_S: Final = 2.0
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def sleep(seconds: float) -> None:
    await anyio.sleep(seconds)


async def in_thread(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Do what blocks (local files) without holding up the event loop."""
    return await anyio.to_thread.run_sync(work, *args)


async def chunks(source: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read a blocking iterator off the event loop."""
    while (chunk := await anyio.to_thread.run_sync(next, source, None)) is not None:
        yield chunk


async def open_websocket(
    url: str,
    *,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    direct: bool,
    timeout_s: float,
    message_max: int,
) -> Connection:
    return await connect(
        url,
        additional_headers=headers,
        ssl=context,
        proxy=None if direct else True,
        open_timeout=timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=message_max,
        compression=None,
    )
