"""What differs between the asynchronous and the blocking client; its twin is in `_async`.

Written by hand on both sides, with the same names, so that everything else is generated.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar, TypeVarTuple

from websockets.sync.client import ClientConnection as Connection
from websockets.sync.client import connect

__all__ = ["Connection", "chunks", "in_thread", "open_websocket", "sleep"]

CLOSE_TIMEOUT_S: Final = 2.0
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def in_thread(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Here the caller's thread is the one that may block."""
    return work(*args)


def chunks(source: Iterator[bytes]) -> Iterator[bytes]:
    return source


def open_websocket(
    url: str,
    *,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    direct: bool,
    timeout_s: float,
    message_max: int,
) -> Connection:
    return connect(
        url,
        additional_headers=headers,
        ssl=context,
        proxy=None if direct else True,
        open_timeout=timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=message_max,
        compression=None,
    )
