"""Everything that runs beside the API, in one task group."""

import logging
from typing import Final

import anyio

from alcove.core import reconciler, startups, timers
from alcove.core.app import Core
from alcove.core.bus import EVENTS
from alcove.model.errors import Unavailable
from alcove.store.notifications import listen

log = logging.getLogger(__name__)

RECONNECT_S: Final = 1.0


async def run(core: Core) -> None:
    """Reconcile, follow start-ups, keep the timers, write the journal: until cancelled.

    The journal is the last to end, so that what the others record is written.
    """
    async with anyio.create_task_group() as journal:
        journal.start_soon(core.journal.run, core)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(reconciler.run, core)
                group.start_soon(startups.run, core)
                group.start_soon(timers.run, core)
                if not core.db.sqlite:
                    group.start_soon(hear, core)
        finally:
            journal.cancel_scope.cancel()


async def hear(core: Core) -> None:
    """Pass on to our readers what other servers commit. Reconnects for ever."""
    while True:
        try:
            async for _ in listen(core.db):
                core.bus.wake(EVENTS)
        except Unavailable as error:
            log.warning("events of other servers come late: %s", error)
        await anyio.sleep(RECONNECT_S)
