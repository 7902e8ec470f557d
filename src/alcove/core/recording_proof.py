"""Whether a recording's file is still what was written: its chunks against the event log."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from anyio import to_thread

from alcove.core import recording_reading
from alcove.core.app import Core
from alcove.core.recording_file import digest_of
from alcove.core.recordings import path_of
from alcove.model.access import Actor
from alcove.model.errors import Conflict, Unavailable
from alcove.model.event import Event, EventKind
from alcove.model.recording import Chunk, Recording, RecordingState, first_head, next_head
from alcove.store import events
from alcove.store.events import EventFilters

PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Proof:
    """`broken`: the first thing that is not as it was written, for people; None when all is.

    `chunk` and `offset` say where: the number of the chunk, and where in the file it begins.
    `unsealed`: bytes of one that is being written which no chunk has yet."""

    intact: bool
    chunks: int
    size: int
    head: str
    broken: str | None = None
    chunk: int | None = None
    offset: int | None = None
    unsealed: int = 0


async def verify(core: Core, actor: Actor, id: str) -> Proof:
    """Read all of it and compare. Raises NotFound, and Conflict where another server has it."""
    recording = await recording_reading.get(core, actor, id)
    if not await recording_reading.has_file(core, recording):
        raise Conflict(f"recording {recording.id} is on the server {recording.server}; ask it")
    chain = await chunks_of(core, recording)
    return await to_thread.run_sync(
        _checked, core, recording, chain, limiter=core.recorders.syncers
    )


async def chunks_of(core: Core, recording: Recording) -> Sequence[Chunk]:
    """What the event log has of it, in the order of numbers."""
    filters = EventFilters(kinds=(EventKind.RECORDING_EXTENDED,), subject=recording.id)
    found: list[Event] = []
    after = 0
    while True:
        async with core.db.read() as tx:
            page = await events.read(tx, after=after, filters=filters, limit=PAGE)
        found += page
        if len(page) < PAGE:
            return sorted((_chunk(event) for event in found), key=lambda one: one.number)
        after = page[-1].seq


def _chunk(event: Event) -> Chunk:
    said = event.detail
    return Chunk(
        number=int(str(said.get("chunk", 0))),
        end=int(str(said.get("end", 0))),
        digest=str(said.get("digest", "")),
        head=str(said.get("head", "")),
    )


def _checked(core: Core, recording: Recording, chain: Sequence[Chunk]) -> Proof:
    live = recording.state is RecordingState.RECORDING
    try:
        fd = os.open(path_of(core, recording), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Proof(False, 0, 0, "", "the file is gone", chunk=1, offset=0)
    except OSError as error:
        raise Unavailable(f"recording {recording.id} cannot be read: {error.strerror}") from error
    try:
        return _compared(fd, recording, chain, live=live)
    finally:
        os.close(fd)


def _compared(fd: int, recording: Recording, chain: Sequence[Chunk], *, live: bool) -> Proof:
    size = os.fstat(fd).st_size
    head, at, number = first_head(recording.id), 0, 0

    def broken(why: str) -> Proof:
        return Proof(False, number, size, head, why, chunk=number + 1, offset=at)

    for chunk in chain:
        if chunk.number != number + 1:
            return broken(f"the event log does not have chunk {number + 1}")
        if chunk.end <= at or next_head(head, chunk.digest) != chunk.head:
            return broken(
                f"chunk {chunk.number} in the event log does not follow from those before"
            )
        if size < chunk.end:
            return broken(f"the file was cut: it has {size} bytes, and had {chunk.end}")
        if digest_of(fd, at, chunk.end) != chunk.digest:
            return broken(f"bytes {at} to {chunk.end} of the file are not those that were written")
        head, at, number = chunk.head, chunk.end, chunk.number
    if live:
        return Proof(True, number, size, head, unsealed=size - at)
    if (number, head, at) != (recording.chunks, recording.digest, recording.size):
        missing = f"the log ends with chunk {number}, the recording with {recording.chunks}"
        return broken(f"{missing}, or another one")
    if size > at:
        return broken(f"{size - at} bytes were put behind its end")
    return Proof(True, number, size, head)
