"""All SQL about the output of commands. Functions take an open transaction and never commit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.sql.functions import coalesce
from sqlalchemy.sql.functions import sum as sum_

from alcove.model.exec_output import ExecOutput, ExecOutputId, Kept
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store.db import Tx
from alcove.store.kept import Shelf
from alcove.store.schema import exec_outputs

ROW_BYTES: Final = 512
"""About what a row and its indexes need beside the output."""
_INSERT: Final = insert(exec_outputs)


@dataclass(frozen=True, slots=True)
class Removed:
    count: int
    size: int
    until: datetime
    """When the newest of them ended."""


async def add(tx: Tx, outputs: Sequence[tuple[ExecOutput, str]]) -> None:
    """Each with the text that a search looks through, case-folded."""
    await tx.execute(_INSERT, [_dump(one, text) for one, text in outputs])


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


SHELF: Final = Shelf(exec_outputs, exec_outputs.c.at, _load)
get, find, search = SHELF.get, SHELF.find, SHELF.search
