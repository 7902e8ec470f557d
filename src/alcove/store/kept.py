"""Finding what is kept of sessions, in each of its tables in one way: by owner, workspace, actor
and time, newest first, and by its text. Functions take an open transaction and never commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Row, Select, Table, literal, select, tuple_

from alcove.model.recording import SessionKind
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store.db import Tx
from alcove.store.workspaces import Position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordingFilters:
    """All that are set must match. `since` is within, `until` is not."""

    owner: UserId | None = None
    workspace: WorkspaceId | None = None
    actor: UserId | None = None
    kind: SessionKind | None = None
    """Of recordings alone."""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Searched(Generic[T]):
    """What a search found, and the last one that it looked at; None when it saw all."""

    found: Sequence[T]
    until: Position | None


@dataclass(frozen=True, slots=True)
class Shelf(Generic[T]):
    """A table whose rows have `id`, `owner`, `workspace`, `actor`, a moment `at`, and a `text`
    that is kept case-folded and is not loaded."""

    table: Table
    at: Column[datetime]
    load: Callable[[Row[*tuple[Any, ...]]], T]

    @property
    def columns(self) -> Select[*tuple[Any, ...]]:
        return select(*(column for column in self.table.c if column.name != "text"))

    async def get(self, tx: Tx, id: str) -> T | None:
        row = (await tx.execute(self.columns.where(self.table.c.id == id))).one_or_none()
        return None if row is None else self.load(row)

    async def find(
        self, tx: Tx, filters: RecordingFilters, *, after: Position | None, limit: int
    ) -> Sequence[T]:
        """One page, newest first."""
        query = self._page(self.columns, filters, after).limit(limit)
        return [self.load(row) for row in await tx.execute(query)]

    async def search(
        self,
        tx: Tx,
        filters: RecordingFilters,
        words: str,
        *,
        after: Position | None,
        limit: int,
        window: int,
    ) -> Searched[T]:
        """Those among the next `window` that have the case-folded words in their text; at most
        `limit`."""
        id, at = self.table.c.id, self.at
        looked = self._page(select(id), filters, after).limit(window).cte("looked")
        has = self.table.c.text.contains(words, autoescape=True)
        query = self.columns.where(id.in_(select(looked.c.id)), has)
        rows = (await tx.execute(query.order_by(at.desc(), id.desc()).limit(limit))).all()
        found = [self.load(row) for row in rows]
        if len(found) == limit:
            last = rows[-1]
        else:
            ends = self._page(select(at, id), filters, after)
            last = (await tx.execute(ends.offset(window - 1).limit(1))).one_or_none()
        place = None if last is None else Position(getattr(last, at.name), last.id)
        return Searched(found, place)

    def _page(
        self,
        query: Select[*tuple[Any, ...]],
        filters: RecordingFilters,
        after: Position | None,
    ) -> Select[*tuple[Any, ...]]:
        id, at = self.table.c.id, self.at
        query = query.where(*self._matching(filters))
        if after is not None:
            place = tuple_(literal(after.created_at, at.type), literal(after.id))
            query = query.where(tuple_(at, id) < place)
        return query.order_by(at.desc(), id.desc())

    def _matching(self, filters: RecordingFilters) -> list[ColumnElement[bool]]:
        same = {
            name: value
            for name in ("owner", "workspace", "actor", "kind")
            if (value := getattr(filters, name)) is not None
        }
        wanted = [self.table.c[name] == value for name, value in same.items()]
        if filters.since is not None:
            wanted.append(self.at >= filters.since)
        if filters.until is not None:
            wanted.append(self.at < filters.until)
        return wanted
