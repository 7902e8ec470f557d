"""What differs between the asynchronous and the blocking client; its twin is in `_async`.

Written by hand on both sides, with the same names, so that everything else is generated.
"""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def in_thread(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Here the caller's thread is the one that may block."""
    return work(*args)


def chunks(source: Iterator[bytes]) -> Iterator[bytes]:
    return source
