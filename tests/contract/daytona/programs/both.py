"""One program for both clients: `do` awaits what the asynchronous one answers."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import Any

MODE = sys.argv[1] if len(sys.argv) > 1 else "sync"


async def do(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


async def every(listed: Any) -> list[Any]:
    """All of a list, however the client gives it."""
    listed = await do(listed)
    if hasattr(listed, "__aiter__"):
        return [one async for one in listed]
    return list(getattr(listed, "items", listed))


@contextmanager
def raises(*statuses: int, code: str | None = None):
    """What the client makes of a refusal; `raised` has it afterwards."""
    raised: list[Any] = []
    try:
        yield raised
    except Exception as error:
        raised.append(error)
        # A few calls of the client raise what its HTTP library does.
        status = getattr(error, "status_code", None) or getattr(error, "status", None)
        assert status in statuses, repr(error)
        assert code is None or code in (getattr(error, "code", None) or str(error)), repr(error)
    else:
        raise AssertionError(f"nothing was refused; expected {statuses}")


def run(main: Callable[[Any], Awaitable[None]]) -> None:
    """With a client that reads its address and key from the environment."""

    async def go() -> None:
        if MODE == "async":
            from daytona import AsyncDaytona

            async with AsyncDaytona() as daytona:
                await main(daytona)
        else:
            from daytona import Daytona

            await main(Daytona())

    asyncio.run(go())
