"""Events as files: JSON lines for programs, CSV for spreadsheets.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a return is a formula to a spreadsheet, and
users choose names: such a cell gets an apostrophe before it (OWASP, CSV injection).
"""

import csv
import io
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from alcove.core import events, identity
from alcove.core.app import Core
from alcove.model.access import Actor
from alcove.model.event import Event

COLUMNS: Final = (
    "seq",
    "at",
    "type",
    "actor",
    "actor_id",
    "subject",
    "owner",
    "detail",
    "address",
    "request_id",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Batches = AsyncGenerator[Sequence[Event]]


async def json_lines(core: Core, actor: Actor, batches: Batches) -> AsyncGenerator[bytes]:
    """One event in each line; a last line says when there are more than are written."""
    async for lines in _written(core, actor, batches):
        yield "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


async def csv_lines(core: Core, actor: Actor, batches: Batches) -> AsyncGenerator[bytes]:
    """With a head; `detail` is JSON in one cell."""
    yield _csv([COLUMNS])
    async for lines in _written(core, actor, batches):
        yield _csv([[_cell(line.get(name)) for name in COLUMNS] for line in lines])


def harmless(text: str) -> str:
    """So that a spreadsheet takes it for words."""
    return f"'{text}" if text.startswith(_FORMULA) else text


async def _written(
    core: Core, actor: Actor, batches: Batches
) -> AsyncGenerator[Sequence[dict[str, object]]]:
    """Goes on for as long as the reader may read. Raises Unauthenticated when that is over."""
    many = 0
    async with aclosing(batches) as found:
        async for batch in found:
            await identity.recheck(core, actor)
            ids = {e.actor for e in batch} | {e.owner for e in batch if e.owner}
            names = await identity.names(core, ids)
            many += len(batch)
            yield [
                _line(event, names[event.actor], names.get(event.owner or "")) for event in batch
            ]
    if many >= events.EXPORT_MAX:
        said = f"{events.EXPORT_MAX} events are the most; narrow the range for the older ones"
        yield [{"type": "truncated", "detail": {"reason": said}}]


def _line(event: Event, actor: str, owner: str | None) -> dict[str, object]:
    """As the API answers it."""
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "type": event.kind,
        "actor": actor,
        "actor_id": event.actor,
        "subject": event.subject,
        "owner": owner,
        "detail": dict(event.detail),
        "address": event.address,
        "request_id": event.request_id,
    }


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return harmless(json.dumps(value, ensure_ascii=False))
    return harmless(str(value))


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
