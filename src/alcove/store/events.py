"""The log of facts. Functions take an open transaction and never commit.

`seq` has no gaps and follows the order of commits: an append takes the row lock of the counter
and holds it until the commit, so that a reader who has seen N never finds a smaller number
later. Append last in a transaction: everybody else's append waits from there on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    String,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.sql.functions import count

from alcove.model.event import Event, EventKind, NewEvent
from alcove.store.db import Tx, mark_appended
from alcove.store.schema import counters, events

CHANNEL: Final = "alcove_events"
"""PostgreSQL's NOTIFY channel; the payload is the newest number."""
DETAIL_MAX: Final = 16_384
SLACK: Final = timedelta(minutes=5)
NUMBERS_SLACK: Final = 10_000
NUMBER_MAX: Final = 2**53


_TAKE: Final = (
    update(counters)
    .where(counters.c.name == "events")
    .values(value=counters.c.value + bindparam("more", type_=BigInteger))
)
_NUMBERED: Final = _TAKE.returning(counters.c.value)
_NUMBERED_AND_NOTIFIED: Final = _TAKE.returning(
    counters.c.value, func.pg_notify(CHANNEL, counters.c.value.cast(String))
)
_INSERT: Final = insert(events)
_LAST: Final = select(counters.c.value).where(counters.c.name == "events")


@dataclass(frozen=True, slots=True)
class EventFilters:
    """All that are set must match. `readable_by`: only what is about this owner's things, or
    what this user did."""

    kinds: Sequence[str] = ()
    """Any of these; one that ends in `.*` is a prefix (`workspace.*`)."""
    subject: str | None = None
    actor: str | None = None
    owner: str | None = None
    since: datetime | None = None
    """Not before; `until` is the first moment that does not count."""
    until: datetime | None = None
    text: str | None = None
    """Stands in kind, subject, address or detail, upper and lower case alike."""
    readable_by: str | None = None


EVERYTHING: Final = EventFilters()


async def append(tx: Tx, now: datetime, *news: NewEvent) -> int:
    """Write the events under the next numbers; answers the last number."""
    assert news, "an append without events takes a lock for nothing"
    numbered = _NUMBERED_AND_NOTIFIED if tx.dialect.name == "postgresql" else _NUMBERED
    last: int = (await tx.execute(numbered, {"more": len(news)})).one()[0]
    first = last - len(news) + 1
    await tx.execute(_INSERT, [_row(seq, now, new) for seq, new in enumerate(news, start=first)])
    mark_appended(tx)
    return last


async def read(
    tx: Tx, *, after: int, filters: EventFilters = EVERYTHING, limit: int = 500
) -> Sequence[Event]:
    """The events numbered above `after`, oldest first."""
    query = select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit)
    return [_load(row) for row in await tx.execute(_matching(query, filters))]


async def newest(
    tx: Tx,
    *,
    filters: EventFilters = EVERYTHING,
    limit: int = 500,
    before: int | None = None,
    above: int = 0,
) -> Sequence[Event]:
    """The last events, newest first; those numbered below `before` and above `above`."""
    query = select(events).order_by(events.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(events.c.seq < before)
    if above:
        query = query.where(events.c.seq > above)
    return [_load(row) for row in await tx.execute(_matching(query, filters))]


async def count_matching(tx: Tx, filters: EventFilters, *, most: int) -> int:
    """How many match, counted up to `most`."""
    found = _matching(select(events.c.seq), filters).limit(most).subquery()
    return (await tx.execute(select(count(literal(1))).select_from(found))).scalar_one()


def _matching(query: Select[Any], filters: EventFilters) -> Select[Any]:
    if filters.kinds:
        query = query.where(events.c.kind.in_(_named(filters.kinds)))
    if filters.subject is not None:
        query = query.where(events.c.subject == filters.subject)
    if filters.actor is not None:
        query = query.where(events.c.actor == filters.actor)
    if filters.owner is not None:
        query = query.where(events.c.owner == filters.owner)
    if filters.since is not None:
        lowest = _number_at(filters.since - SLACK) - NUMBERS_SLACK
        query = query.where(events.c.at >= filters.since, events.c.seq >= lowest)
    if filters.until is not None:
        highest = _number_at(filters.until + SLACK) + NUMBERS_SLACK
        query = query.where(events.c.at < filters.until, events.c.seq <= highest)
    if filters.text is not None:
        query = query.where(or_(*_says(filters.text)))
    if filters.readable_by is not None:
        mine = filters.readable_by
        query = query.where((events.c.owner == mine) | (events.c.actor == mine))
    return query


def _named(kinds: Sequence[str]) -> Sequence[str]:
    """A prefix is all that begin with it: an index has the kinds, not their beginnings."""
    found = {kind for kind in kinds if not kind.endswith(".*")}
    begins = tuple(kind[:-1] for kind in kinds if kind.endswith(".*"))
    return sorted(found | {kind.value for kind in EventKind if kind.startswith(begins)})


def _says(text: str) -> Sequence[ColumnElement[bool]]:
    c = events.c
    # A detail is ASCII JSON, in which a quote or an umlaut is written otherwise.
    written = json.dumps(text)[1:-1]
    return [
        c.detail.icontains(written, autoescape=True),
        *(place.icontains(text, autoescape=True) for place in (c.kind, c.subject, c.address)),
    ]


def _number_at(at: datetime) -> ColumnElement[int]:
    """About the number that was given then: the range of numbers is what an index is walked by,
    whatever else is asked. The slack around it is for what was written down late, or by a clock
    that is not quite ours."""
    first = select(events.c.seq).where(events.c.at >= at).order_by(events.c.at, events.c.seq)
    return func.coalesce(first.limit(1).scalar_subquery(), literal(NUMBER_MAX, BigInteger))


async def last(tx: Tx) -> int:
    """The newest number; 0 when nothing has happened yet."""
    return (await tx.execute(_LAST)).scalar_one()


async def total(tx: Tx) -> int:
    return (await tx.execute(select(count(literal(1))).select_from(events))).scalar_one()


def _row(seq: int, now: datetime, new: NewEvent) -> Mapping[str, Any]:
    detail = json.dumps(dict(new.detail or {}), separators=(",", ":"), default=str)
    if len(detail) > DETAIL_MAX:
        detail = json.dumps({"truncated": detail[: DETAIL_MAX // 2]})
    return {
        "seq": seq,
        "at": new.at or now,
        "kind": str(EventKind(new.kind)),
        "actor": new.actor,
        "subject": new.subject,
        "owner": new.owner,
        "detail": detail,
        "address": new.address[:64],
        "request_id": new.request_id[:64],
    }


def _load(row: Row[Any]) -> Event:
    return Event(
        seq=row.seq,
        at=row.at,
        kind=row.kind,
        actor=row.actor,
        subject=row.subject,
        owner=row.owner,
        detail=json.loads(row.detail),
        address=row.address,
        request_id=row.request_id,
    )
