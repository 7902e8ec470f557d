"""Reading the log of facts, and following it. What the caller may not read is not in it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from alcove.core import identity, users
from alcove.core.app import Core
from alcove.core.bus import EVENTS
from alcove.model.access import SYSTEM, Actor, Permission, allows
from alcove.model.errors import NotFound, Unavailable
from alcove.model.event import Event, EventKind
from alcove.store import events
from alcove.store.events import EVERYTHING, EventFilters

READ_MAX: Final = 500
POLL_S: Final = 2.0
"""The safety net when a notification was lost."""
BEAT_S: Final = 15.0
SCAN_MAX: Final = 20_000
EXPORT_MAX: Final = 100_000


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
    async with core.db.scan() as tx:
        return await events.read(tx, after=after, filters=visible, limit=min(limit, READ_MAX))


async def newest(
    core: Core, actor: Actor, *, filters: EventFilters = EVERYTHING, limit: int = 50
) -> Sequence[Event]:
    """The last events that the actor may read, newest first."""
    visible = visible_to(actor, filters)
    if visible is None:
        return ()
    async with core.db.scan() as tx:
        return await events.newest(tx, filters=visible, limit=min(limit, READ_MAX))


@dataclass(frozen=True, slots=True)
class EventPage:
    """`before`: below which number the next page begins; None when there is nothing left."""

    items: Sequence[Event]
    before: int | None


async def page(
    core: Core,
    actor: Actor,
    *,
    filters: EventFilters = EVERYTHING,
    before: int | None = None,
    limit: int = 50,
) -> EventPage:
    """Newest first. Words are looked for in `SCAN_MAX` numbers at a time, so that a page may
    have few events, or none, and yet be followed by another."""
    visible = visible_to(actor, filters)
    if visible is None:
        return EventPage((), None)
    limit = min(limit, READ_MAX)
    async with core.db.scan() as tx:
        top = await events.last(tx) + 1
        top = top if before is None else min(before, top)
        above = 0 if filters.text is None else max(0, top - 1 - SCAN_MAX)
        found = await events.newest(tx, filters=visible, limit=limit, before=top, above=above)
    if len(found) == limit:
        return EventPage(found, found[-1].seq)
    return EventPage(found, above + 1 if above else None)


async def export(
    core: Core, actor: Actor, *, filters: EventFilters
) -> AsyncGenerator[Sequence[Event]]:
    """Newest first, in batches, at most `EXPORT_MAX`; that it was done is an event itself."""
    asked = {name: value for name, value in asdict(filters).items() if value}
    told = identity.event(
        actor, EventKind.AUDIT_EXPORTED, subject=actor.id, owner=actor.id, detail=asked
    )
    before = await last(core) + 1
    async with core.db.transaction() as tx:
        await events.append(tx, core.clock(), told)
    left = EXPORT_MAX
    while left > 0:
        found = await page(core, actor, filters=filters, before=before, limit=min(left, READ_MAX))
        left -= len(found.items)
        yield found.items
        if found.before is None:
            return
        before = found.before


async def user_id(core: Core, actor: Actor, name: str) -> str | None:
    """Whom a filter names; None when the caller knows nobody of that name."""
    if name in {SYSTEM.id, actor.id}:
        return name
    try:
        return (await users.get(core, actor, name)).id
    except NotFound:
        return None


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
                    newest = await last(core)
                    near = newest - after <= READ_MAX
                    async with core.db.read() if near else core.db.scan() as tx:
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
