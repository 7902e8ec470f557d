"""All SQL about recordings. Functions take an open transaction and never commit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    delete,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from alcove.model.recording import Recording, RecordingId, RecordingState, SessionKind
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store.db import Tx
from alcove.store.schema import recordings, workspaces
from alcove.store.workspaces import Position

_COLUMNS = tuple(column for column in recordings.c if column.name != "text")


@dataclass(frozen=True, slots=True)
class RecordingFilters:
    """All that are set must match. `since` is within, `until` is not."""

    owner: UserId | None = None
    workspace: WorkspaceId | None = None
    actor: UserId | None = None
    kind: SessionKind | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found, and the last one that it looked at; None when it saw all."""

    found: Sequence[Recording]
    until: Position | None


async def add(tx: Tx, recording: Recording, *, text: str = "") -> None:
    await tx.execute(insert(recordings), {**_dump(recording), "text": text})


async def get(tx: Tx, id: str) -> Recording | None:
    row = (await tx.execute(select(*_COLUMNS).where(recordings.c.id == id))).one_or_none()
    return None if row is None else _load(row)


async def find(
    tx: Tx, filters: RecordingFilters, *, after: Position | None, limit: int
) -> Sequence[Recording]:
    """One page, newest first."""
    query = _page(select(*_COLUMNS), filters, after).limit(limit)
    return [_load(row) for row in await tx.execute(query)]


async def search(
    tx: Tx,
    filters: RecordingFilters,
    words: str,
    *,
    after: Position | None,
    limit: int,
    window: int,
) -> Searched:
    """Those among the next `window` that have the words in their text, which is kept case-folded;
    at most `limit`."""
    looked = _page(select(recordings.c.id), filters, after).limit(window).cte("looked")
    here = recordings.c.id.in_(select(looked.c.id))
    has = recordings.c.text.contains(words, autoescape=True)
    order = (recordings.c.started_at.desc(), recordings.c.id.desc())
    query = select(*_COLUMNS).where(here, has).order_by(*order).limit(limit)
    found = [_load(row) for row in await tx.execute(query)]
    if len(found) == limit:
        return Searched(found, Position(found[-1].started_at, found[-1].id))
    ends = _page(select(recordings.c.started_at, recordings.c.id), filters, after)
    last = (await tx.execute(ends.offset(window - 1).limit(1))).one_or_none()
    return Searched(found, None if last is None else Position(last.started_at, last.id))


async def open_on(tx: Tx, server: str, *, limit: int) -> Sequence[Recording]:
    """Those that a server of this name says it is writing."""
    query = (
        select(*_COLUMNS)
        .where(
            recordings.c.server == server,
            recordings.c.state == RecordingState.RECORDING,
        )
        .order_by(recordings.c.started_at)
        .limit(limit)
    )
    return [_load(row) for row in await tx.execute(query)]


async def settle(tx: Tx, recording: Recording, *, text: str) -> bool:
    """Write how it ended; False if that was done already, or it is gone."""
    ended = (
        update(recordings)
        .where(
            recordings.c.id == recording.id,
            recordings.c.state == RecordingState.RECORDING,
        )
        .values(
            state=recording.state,
            size=recording.size,
            chunks=recording.chunks,
            digest=recording.digest,
            exit_code=recording.exit_code,
            detail=recording.detail,
            ended_at=recording.ended_at,
            expires_at=recording.expires_at,
            text=text,
        )
        .returning(recordings.c.id)
    )
    return (await tx.execute(ended)).one_or_none() is not None


async def expired(tx: Tx, *, now: datetime, limit: int) -> Sequence[Recording]:
    query = (
        select(*_COLUMNS)
        .where(recordings.c.expires_at <= now)
        .order_by(recordings.c.expires_at)
        .limit(limit)
    )
    return [_load(row) for row in await tx.execute(query)]


async def remove(tx: Tx, id: RecordingId) -> bool:
    gone = delete(recordings).where(recordings.c.id == id).returning(recordings.c.id)
    return (await tx.execute(gone)).one_or_none() is not None


async def known(tx: Tx, ids: Collection[str]) -> frozenset[str]:
    """Those of these ids that there is a row of."""
    query = select(recordings.c.id).where(recordings.c.id.in_(ids))
    return frozenset(row.id for row in await tx.execute(query))


async def workspace_names(tx: Tx, ids: Collection[str]) -> Mapping[str, str]:
    """Of those that there is a row of still, be they deleted or not."""
    query = select(workspaces.c.id, workspaces.c.name).where(workspaces.c.id.in_(ids))
    return {row.id: row.name for row in await tx.execute(query)}


def _page(
    query: Select[*tuple[Any, ...]], filters: RecordingFilters, after: Position | None
) -> Select[*tuple[Any, ...]]:
    query = query.where(*_matching(filters))
    if after is not None:
        here = tuple_(recordings.c.started_at, recordings.c.id)
        at = literal(after.created_at, recordings.c.started_at.type)
        query = query.where(here < tuple_(at, literal(after.id)))
    return query.order_by(recordings.c.started_at.desc(), recordings.c.id.desc())


def _matching(filters: RecordingFilters) -> list[ColumnElement[bool]]:
    c = recordings.c
    wanted: list[ColumnElement[bool]] = []
    for column, value in (
        (c.owner, filters.owner),
        (c.workspace, filters.workspace),
        (c.actor, filters.actor),
        (c.kind, filters.kind),
    ):
        if value is not None:
            wanted.append(column == value)
    if filters.since is not None:
        wanted.append(c.started_at >= filters.since)
    if filters.until is not None:
        wanted.append(c.started_at < filters.until)
    return wanted


def _dump(recording: Recording) -> Mapping[str, Any]:
    return {
        "id": recording.id,
        "workspace": recording.workspace,
        "owner": recording.owner,
        "actor": recording.actor,
        "kind": recording.kind,
        "title": recording.title,
        "state": recording.state,
        "server": recording.server,
        "cols": recording.columns,
        "rows": recording.rows,
        "size": recording.size,
        "chunks": recording.chunks,
        "digest": recording.digest,
        "exit_code": recording.exit_code,
        "detail": recording.detail,
        "started_at": recording.started_at,
        "ended_at": recording.ended_at,
        "expires_at": recording.expires_at,
    }


def _load(row: Row[Any]) -> Recording:
    return Recording(
        id=RecordingId(row.id),
        workspace=WorkspaceId(row.workspace),
        owner=UserId(row.owner),
        actor=UserId(row.actor),
        kind=SessionKind(row.kind),
        title=row.title,
        state=RecordingState(row.state),
        server=row.server,
        columns=row.cols,
        rows=row.rows,
        size=row.size,
        chunks=row.chunks,
        digest=row.digest,
        exit_code=row.exit_code,
        detail=row.detail,
        started_at=row.started_at,
        ended_at=row.ended_at,
        expires_at=row.expires_at,
    )
