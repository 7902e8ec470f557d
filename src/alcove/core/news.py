"""What changed, as names, for whoever watches a page: one look at the events for all of them.

A watcher is told names (`workspace ws-…`), never contents: it asks again for what it shows, and
is answered as far as it may read then. What a slow watcher has not taken yet is merged, so that
nothing grows.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from alcove.core.bus import EVENTS
from alcove.model.errors import Unavailable
from alcove.model.event import Event
from alcove.store import events as store
from alcove.store.events import EventFilters

if TYPE_CHECKING:
    from alcove.core.app import Core

WATCHERS_MAX: Final = 5_000
NAMES_MAX: Final = 500
"""That one watcher has not taken yet; beyond it everything is to be looked at again."""
EVERYTHING: Final = "*"
BATCH: Final = 500
POLL_S: Final = 2.0
RETRY_S: Final = 1.0


@dataclass(eq=False, slots=True)
class Watcher:
    """One page that is open somewhere. Only one task waits on it."""

    visible: EventFilters
    """What its reader may read; `core.events.visible_to` says."""
    nouns: frozenset[str]
    names: set[str] = field(default_factory=set[str])
    woken: anyio.Event = field(default_factory=anyio.Event)

    def tell(self, event: Event) -> None:
        noun = event.kind.partition(".")[0]
        if noun not in self.nouns or not _matches(self.visible, event):
            return
        if len(self.names) < NAMES_MAX:
            self.names.add(f"{noun} {event.subject}")
        else:
            self.names = {EVERYTHING}
        self.woken.set()

    async def next(self) -> Collection[str]:
        """The names that came since the last time; waits for one."""
        await self.woken.wait()
        self.woken = anyio.Event()
        names, self.names = self.names, set()
        return names


@dataclass(slots=True)
class News:
    """Who watches, on this server."""

    watchers: set[Watcher] = field(default_factory=set[Watcher])

    @contextmanager
    def watch(self, visible: EventFilters, nouns: Collection[str]) -> Generator[Watcher]:
        """Be told while the block runs. Raises Unavailable when very many watch already."""
        if len(self.watchers) >= WATCHERS_MAX:
            raise Unavailable(f"{WATCHERS_MAX} pages are open; try again later")
        watcher = Watcher(visible, frozenset(nouns))
        self.watchers.add(watcher)
        try:
            yield watcher
        finally:
            self.watchers.discard(watcher)

    def tell(self, event: Event) -> None:
        for watcher in self.watchers:
            watcher.tell(event)


async def run(core: "Core") -> None:
    """Follow the events and tell those who watch, until cancelled."""
    after: int | None = None
    with core.bus.subscribe(EVENTS) as wakes:
        while True:
            try:
                async with core.db.read() as tx:
                    if after is None or not core.news.watchers:
                        after, batch = await store.last(tx), ()
                    else:
                        batch = await store.read(tx, after=after, limit=BATCH)
            except Unavailable:
                await anyio.sleep(RETRY_S)
                continue
            for event in batch:
                core.news.tell(event)
                after = event.seq
            if len(batch) < BATCH:
                await wakes.wait(POLL_S)


def _matches(visible: EventFilters, event: Event) -> bool:
    if visible.subject not in (None, event.subject):
        return False
    return visible.readable_by in (None, event.owner, event.actor)
