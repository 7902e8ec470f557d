"""All SQL about the output of commands. Functions take an open transaction and never commit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, delete, insert, literal, select, tuple_
from sqlalchemy.sql.functions import coalesce
from sqlalchemy.sql.functions import sum as sum_

from alcove.model.exec_output import ExecOutput, ExecOutputId, Kept
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store.db import Tx
from alcove.store.recordings import RecordingFilters
from alcove.store.schema import exec_outputs
from alcove.store.workspaces import Position

ROW_BYTES: Final = 512
"""About what a row and its indexes need beside the output."""
_COLUMNS: Final = tuple(column for column in exec_outputs.c if column.name != "text")
_INSERT: Final = insert(exec_outputs)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search, and the last one that it looked at; None when it saw all."""

    found: Sequence[ExecOutput]
    until: Position | None


@dataclass(frozen=True, slots=True)
class Removed:
    count: int
    size: int
    until: datetime
    """When the newest of them ended."""


async def add(tx: Tx, outputs: Sequence[tuple[ExecOutput, str]]) -> None:
    """Each with the text that a search looks through, case-folded."""
    await tx.execute(_INSERT, [_dump(one, text) for one, text in outputs])


async def get(tx: Tx, id: str) -> ExecOutput | None:
    query = select(*_COLUMNS).where(exec_outputs.c.id == id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _load(row)


async def find(
    tx: Tx, filters: RecordingFilters, *, after: Position | None, limit: int
) -> Sequence[ExecOutput]:
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
) -> Found:
    """Those among the next `window` that have the case-folded words in their text; at most
    `limit`."""
    looked = _page(select(exec_outputs.c.id), filters, after).limit(window).cte("looked")
    here = exec_outputs.c.id.in_(select(looked.c.id))
    has = exec_outputs.c.text.contains(words, autoescape=True)
    order = (exec_outputs.c.at.desc(), exec_outputs.c.id.desc())
    query = select(*_COLUMNS).where(here, has).order_by(*order).limit(limit)
    found = [_load(row) for row in await tx.execute(query)]
    if len(found) == limit:
        return Found(found, Position(found[-1].at, found[-1].id))
    ends = _page(select(exec_outputs.c.at, exec_outputs.c.id), filters, after)
    last = (await tx.execute(ends.offset(window - 1).limit(1))).one_or_none()
    return Found(found, None if last is None else Position(last.at, last.id))


async def remove(tx: Tx, id: str) -> bool:
    gone = delete(exec_outputs).where(exec_outputs.c.id == id).returning(exec_outputs.c.id)
    return (await tx.execute(gone)).one_or_none() is not None


async def remove_expired(tx: Tx, *, now: datetime, limit: int) -> Removed | None:
    over = (
        select(exec_outputs.c.id)
        .where(exec_outputs.c.expires_at <= now)
        .order_by(exec_outputs.c.expires_at)
        .limit(limit)
    )
    return await _remove(tx, [row.id for row in await tx.execute(over)])


async def remove_oldest(tx: Tx, *, size: int, limit: int) -> Removed | None:
    """As many of the oldest as have this many bytes together, at most `limit`."""
    c = exec_outputs.c
    oldest = select(c.id, c.size).order_by(c.at, c.id).limit(limit)
    chosen: list[str] = []
    for row in await tx.execute(oldest):
        if size <= 0:
            break
        chosen.append(row.id)
        size -= row.size
    return await _remove(tx, chosen)


async def used(tx: Tx) -> int:
    """Bytes of all of them. Looks at every row of an index: a `scan`."""
    return int((await tx.execute(select(coalesce(sum_(exec_outputs.c.size), 0)))).scalar_one())


async def _remove(tx: Tx, ids: Collection[str]) -> Removed | None:
    if not ids:
        return None
    c = exec_outputs.c
    gone = list(
        await tx.execute(delete(exec_outputs).where(c.id.in_(ids)).returning(c.at, c.size))
    )
    if not gone:
        return None
    return Removed(len(gone), sum(row.size for row in gone), max(row.at for row in gone))


def _page(
    query: Select[*tuple[Any, ...]], filters: RecordingFilters, after: Position | None
) -> Select[*tuple[Any, ...]]:
    query = query.where(*_matching(filters))
    if after is not None:
        at = literal(after.created_at, exec_outputs.c.at.type)
        here = tuple_(exec_outputs.c.at, exec_outputs.c.id)
        query = query.where(here < tuple_(at, literal(after.id)))
    return query.order_by(exec_outputs.c.at.desc(), exec_outputs.c.id.desc())


def _matching(filters: RecordingFilters) -> list[ColumnElement[bool]]:
    c = exec_outputs.c
    wanted: list[ColumnElement[bool]] = []
    for column, value in (
        (c.owner, filters.owner),
        (c.workspace, filters.workspace),
        (c.actor, filters.actor),
    ):
        if value is not None:
            wanted.append(column == value)
    if filters.since is not None:
        wanted.append(c.at >= filters.since)
    if filters.until is not None:
        wanted.append(c.at < filters.until)
    return wanted


def _dump(one: ExecOutput, text: str) -> Mapping[str, Any]:
    kept = len(one.stdout.kept) + len(one.stderr.kept)
    return {
        "id": one.id,
        "workspace": one.workspace,
        "owner": one.owner,
        "actor": one.actor,
        "command": one.command,
        "exit_code": one.exit_code,
        "duration_ms": one.duration_ms,
        "stdout": one.stdout.kept,
        "stdout_size": one.stdout.size,
        "stderr": one.stderr.kept,
        "stderr_size": one.stderr.size,
        "at": one.at,
        "expires_at": one.expires_at,
        "size": kept + len(one.command) + len(text.encode()) + ROW_BYTES,
        "text": text,
    }


def _load(row: Row[Any]) -> ExecOutput:
    return ExecOutput(
        id=ExecOutputId(row.id),
        workspace=WorkspaceId(row.workspace),
        owner=UserId(row.owner),
        actor=UserId(row.actor),
        command=row.command,
        exit_code=row.exit_code,
        duration_ms=row.duration_ms,
        stdout=Kept(row.stdout, row.stdout_size),
        stderr=Kept(row.stderr, row.stderr_size),
        at=row.at,
        expires_at=row.expires_at,
    )
