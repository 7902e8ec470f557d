"""What differs between the asynchronous and the blocking client; its twin is in `_sync`.

Written by hand on both sides, with the same names, so that everything else is generated.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

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
