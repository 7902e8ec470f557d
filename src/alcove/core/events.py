"""Reading the log of facts, and following it. What the caller may not read is not in it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Final

from alcove.core.app import Core
from alcove.core.bus import EVENTS
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Unavailable
from alcove.model.event import Event
from alcove.store import events
from alcove.store.events import EVERYTHING, EventFilters

READ_MAX: Final = 500
POLL_S: Final = 2.0
"""The safety net when a notification was lost."""
BEAT_S: Final = 15.0


async def read(
    core: Core,
    actor: Actor,
    *,
    after: int,
    filters: EventFilters = EVERYTHING,
    limit: int = 50,
) -> Sequence[Event]:
    """The events numbered above `after` that the actor may read, oldest first."""
    visible = visible_to(actor, filters)
    if visible is None:
        return ()
    async with core.db.read() as tx:
        return await events.read(tx, after=after, filters=visible, limit=min(limit, READ_MAX))


async def newest(
    core: Core, actor: Actor, *, filters: EventFilters = EVERYTHING, limit: int = 50
) -> Sequence[Event]:
    """The last events that the actor may read, newest first."""
    visible = visible_to(actor, filters)
    if visible is None:
        return ()
    async with core.db.read() as tx:
        return await events.newest(tx, filters=visible, limit=min(limit, READ_MAX))


async def last(core: Core) -> int:
    """The newest number: where following begins for who wants only what is new."""
    async with core.db.read() as tx:
        return await events.last(tx)


async def follow(
    core: Core,
    actor: Actor,
    *,
    after: int,
    filters: EventFilters = EVERYTHING,
    beat_s: float = BEAT_S,
) -> AsyncGenerator[Sequence[Event]]:
    """All events above `after`, as they come, without gaps; an empty batch at each beat.

    Goes on when the database was away for a while. Ends never; close it.
    """
    visible = visible_to(actor, filters)
    waited = 0.0
    with core.bus.subscribe(EVENTS) as news:
        while True:
            batch: Sequence[Event] = ()
            if visible is not None:
                try:
                    async with core.db.read() as tx:
                        newest = await events.last(tx)
                        batch = await events.read(tx, after=after, filters=visible, limit=READ_MAX)
                except Unavailable:
                    pass
                else:
                    # What did not match need not be looked at again: numbers have no gaps.
                    after = batch[-1].seq if len(batch) == READ_MAX else max(after, newest)
                    after = max(after, batch[-1].seq) if batch else after
            if batch or waited >= beat_s:
                waited = 0.0
                yield batch
            if len(batch) < READ_MAX:
                pause = min(POLL_S, beat_s - waited)
                woken = await news.wait(max(pause, 0.01))
                waited = waited if woken else waited + pause


def visible_to(actor: Actor, filters: EventFilters) -> EventFilters | None:
    """The filters narrowed to what the actor may read; None when that is nothing."""
    if actor.workspace is not None:
        if filters.subject not in (None, actor.workspace):
            return None
        filters = replace(filters, subject=actor.workspace)
    if allows(actor, Permission.AUDIT_READ, workspace=actor.workspace):
        return filters
    if not allows(actor, Permission.WORKSPACE_READ, owner=actor.id, workspace=actor.workspace):
        return None
    return replace(filters, readable_by=actor.id)
