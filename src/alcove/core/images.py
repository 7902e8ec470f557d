"""Keeping images ready: those of active template versions are prepared in the background.

What no active version and no workspace needs is collected.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from alcove.core.app import Core
from alcove.core.bus import RECONCILE
from alcove.drivers.base import ImageBuilder, ImageStatus
from alcove.model.access import SYSTEM
from alcove.model.errors import AlcoveError
from alcove.model.event import EventKind, NewEvent
from alcove.store import duties, events, templates

log = logging.getLogger(__name__)

COLLECT: Final = timedelta(minutes=10)
RETRY: Final = timedelta(minutes=5)
"""A failed build is tried again after this; a push that changes the image, at once."""


@dataclass(slots=True)
class Images:
    core: Core
    states: dict[str, str] = field(default_factory=dict[str, str])
    failed_at: dict[str, datetime] = field(default_factory=dict[str, datetime])
    _collect_at: datetime | None = None

    async def tick(self) -> None:
        """Prepare what is active; now and then collect what nobody needs."""
        core, driver = self.core, self.core.driver
        if not isinstance(driver, ImageBuilder):
            return
        async with core.db.read() as tx:
            active = await templates.active_versions(tx)
        wanted = {v.recipe.image.key: v.recipe.image for v in active}
        named: dict[str, list[str]] = {}
        for version in active:
            named.setdefault(version.recipe.image.key, []).append(version.template)
        try:
            for key, image in wanted.items():
                if self._may_try(key):
                    await self._note(await driver.prepare(image), named[key])
            await self._collect(driver, wanted)
        except AlcoveError as error:
            log.warning("images wait: %s", error)

    def _may_try(self, key: str) -> bool:
        failed = self.failed_at.get(key)
        return failed is None or self.core.clock() - failed >= RETRY

    async def _note(self, status: ImageStatus, names: Collection[str]) -> None:
        """Tell of a build that ended; one that was ready when we came is no news."""
        core, before = self.core, self.states.get(status.key)
        self.states[status.key] = status.state
        if status.state == "failed":
            self.failed_at[status.key] = core.clock()
        if before is None and status.state != "failed":
            return
        if status.state == before or status.state not in ("ready", "failed"):
            return
        kind = EventKind.IMAGE_BUILT if status.state == "ready" else EventKind.IMAGE_FAILED
        detail = {
            "templates": sorted(names),
            "detail": status.detail[:1000],
            "size_mib": status.size_mib,
        }
        async with core.db.transaction() as tx:
            told = NewEvent(kind, SYSTEM.id, f"image:{status.key}"[:64], detail=detail)
            await events.append(tx, core.clock(), told)
        core.bus.wake(RECONCILE)

    async def _collect(self, driver: ImageBuilder, wanted: Collection[str]) -> None:
        now = self.core.clock()
        if self._collect_at is None:
            # Not right after a start: what is being created may not be written down yet.
            self._collect_at = now + COLLECT
        if now < self._collect_at:
            return
        self._collect_at = now + COLLECT
        async with self.core.db.read() as tx:
            in_use = await duties.images_in_use(tx)
        gone = await driver.collect(sorted({*wanted, *in_use}))
        for key in gone:
            self.states.pop(key, None)
            log.info("image %s collected: nobody needs it", key)
