"""Removing what nobody owns: runtimes without a record, and what `destroy` left behind.

Rules: only what the driver's own inventory calls ours is ever touched; what has no record must
have been seen without one for `GRACE` (a record is written before its runtime, so that a create
under way is never an orphan); and when most of what is there is unknown, the database is more
likely the wrong one than the host, so nothing is touched and the leak count says it.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import anyio

from alcove.core.app import Core
from alcove.drivers.base import Inventoried, Leftover
from alcove.model.access import SYSTEM
from alcove.model.errors import AlcoveError, DriverError
from alcove.model.event import EventKind, NewEvent
from alcove.model.workspace import Phase, WorkspaceId
from alcove.store import duties, events
from alcove.store.duties import Known

log = logging.getLogger(__name__)

GRACE: Final = timedelta(minutes=10)
TOLERATED: Final = 10
"""Up to so many unknown ones are removed even if they are most of what is there."""
REMOVE_MAX: Final = 20
"""In one go; the rest is for the next."""
DESTROY_TIMEOUT_S: Final = 45.0


@dataclass(slots=True)
class Sweeper:
    core: Core
    unknown_since: dict[WorkspaceId, datetime] = field(default_factory=dict[WorkspaceId, datetime])

    async def tick(self) -> None:
        """Look once, remove what may be removed, and set the leak count."""
        core = self.core
        there = await self._inventory()
        if there is None:
            return
        ids = {leftover.workspace for leftover in there}
        async with core.db.read() as tx:
            known = await duties.known(tx, ids)
        orphans = ids - known.keys()
        gone = {id: row for id, row in known.items() if row.phase is Phase.DELETED}
        leaks = len(orphans)
        for id in self._ripe(orphans, total=len(ids)):
            leaks -= await self._remove_orphan(id, _what(there, id))
        for id, row in list(gone.items())[:REMOVE_MAX]:
            if id in ids or row.leftovers:
                leaks += 1
                leaks -= await self._remove_leftover(id, row)
        core.metrics.leaks.set(leaks)

    async def _inventory(self) -> list[Leftover] | None:
        driver = self.core.driver
        if not isinstance(driver, Inventoried):
            return []
        try:
            return list(await driver.inventory())
        except AlcoveError as error:
            log.warning("no inventory: %s", error)
            return None

    def _ripe(self, orphans: set[WorkspaceId], *, total: int) -> list[WorkspaceId]:
        now = self.core.clock()
        self.unknown_since = {id: self.unknown_since.get(id, now) for id in sorted(orphans)}
        if len(orphans) > TOLERATED and len(orphans) * 2 > total:
            log.error(
                "%d of %d runtimes have no record: is this the right database? Left alone.",
                len(orphans),
                total,
            )
            return []
        ripe = [id for id, since in self.unknown_since.items() if now - since >= GRACE]
        return ripe[:REMOVE_MAX]

    async def _remove_orphan(self, id: WorkspaceId, what: tuple[str, ...]) -> bool:
        core = self.core
        async with core.db.read() as tx:
            # Once more, for one that was restored or written since.
            if await duties.known(tx, [id]):
                return True
        left = await self._destroy(id, None)
        if left is None:
            return False
        detail = {"what": list(what), "left": list(left)}
        now = core.clock()
        async with core.db.transaction() as tx:
            removed = NewEvent(EventKind.ORPHAN_REMOVED, SYSTEM.id, id, detail=detail)
            await events.append(tx, now, removed)
        core.metrics.orphans.inc()
        log.warning("removed %s of %s, which has no record", ", ".join(what), id)
        return not left

    async def _remove_leftover(self, id: WorkspaceId, row: Known) -> bool:
        core = self.core
        left = await self._destroy(id, row)
        if left is None:
            return False
        if left != row.leftovers:
            async with core.db.transaction() as tx:
                await duties.set_leftovers(tx, id, left)
                if not left:
                    detail = {"name": row.name, "what": list(row.leftovers), "left": []}
                    removed = NewEvent(
                        EventKind.ORPHAN_REMOVED, SYSTEM.id, id, owner=row.owner, detail=detail
                    )
                    await events.append(tx, core.clock(), removed)
        return not left

    async def _destroy(self, id: WorkspaceId, row: Known | None) -> tuple[str, ...] | None:
        """What is left; None when the driver could not try."""
        try:
            with anyio.fail_after(DESTROY_TIMEOUT_S):
                return (await self.core.driver.destroy(id, row.handle if row else None)).left
        except (DriverError, TimeoutError) as error:
            log.warning("%s could not be removed: %s", id, error)
            return None


def _what(there: list[Leftover], id: WorkspaceId) -> tuple[str, ...]:
    return tuple(what for leftover in there if leftover.workspace == id for what in leftover.what)
