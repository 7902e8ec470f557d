"""All SQL about recordings. Functions take an open transaction and never commit."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Row,
    delete,
    insert,
    select,
    update,
)

from alcove.model.recording import Recording, RecordingId, RecordingState, SessionKind
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store.db import Tx
from alcove.store.kept import RecordingFilters as RecordingFilters
from alcove.store.kept import Shelf
from alcove.store.schema import recordings, workspaces


async def add(tx: Tx, recording: Recording, *, text: str = "") -> None:
    await tx.execute(insert(recordings), {**_dump(recording), "text": text})


async def open_on(tx: Tx, server: str, *, limit: int) -> Sequence[Recording]:
    """Those that a server of this name says it is writing."""
    query = (
        SHELF.columns.where(
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
        SHELF.columns.where(recordings.c.expires_at <= now)
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


SHELF: Final = Shelf(recordings, recordings.c.started_at, _load)
get, find, search = SHELF.get, SHELF.find, SHELF.search
