"""Everything that runs beside the API. Each loop goes on by itself while the database is away."""

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import anyio

from alcove.core import (
    live_news,
    news,
    pool_keeper,
    reconciler,
    recording_keeper,
    snapshot_keeper,
    startups,
    timers,
)
from alcove.core.app import Core
from alcove.core.bus import EVENTS
from alcove.model.errors import Unavailable
from alcove.store.notifications import listen

log = logging.getLogger(__name__)

RECONNECT_S: Final = 1.0


def loops(core: Core) -> Mapping[str, Callable[[], Coroutine[Any, Any, None]]]:
    """By name, each to be run until it is cancelled."""
    found: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "journal": lambda: core.journal.run(core),
        "news": lambda: news.run(core),
        "pools": lambda: pool_keeper.run(core),
        "reconciler": lambda: reconciler.run(core),
        "recordings": lambda: recording_keeper.run(core),
        "snapshots": lambda: snapshot_keeper.run(core),
        "startups": lambda: startups.run(core),
        "timers": lambda: timers.run(core),
    }
    if core.db.sqlite:
        found["checkpoints"] = core.db.checkpoints
    else:
        found["live_news"] = lambda: live_news.run(core)
        found["notifications"] = lambda: hear(core)
    return found


async def run(core: Core) -> None:
    """All of them, until cancelled."""
    async with anyio.create_task_group() as group:
        for loop in loops(core).values():
            group.start_soon(loop)


async def hear(core: Core) -> None:
    """Pass on to our readers what other servers commit. Reconnects for ever."""
    while True:
        try:
            async for _ in listen(core.db):
                core.bus.wake(EVENTS)
        except Unavailable as error:
            log.warning("events of other servers come late: %s", error)
        await anyio.sleep(RECONNECT_S)
