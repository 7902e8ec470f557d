"""The verbs of what was recorded: list, search, read, check, delete.

Reading one is an event, written before the first byte goes out. So is a search, without its
words: people search for secrets.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from anyio import to_thread

from alcove.core import access, identity
from alcove.core.app import Core
from alcove.core.pages import Page, PageRequest, page_of, position_cursor, read_position
from alcove.core.recording_file import whole_lines
from alcove.core.recording_search import Command, commands_of
from alcove.core.recordings import path_of, server_name
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import (
    Conflict,
    Denied,
    FieldError,
    Invalid,
    NotFound,
    OutOfRange,
    Unavailable,
)
from alcove.model.event import EventKind
from alcove.model.exec_output import ExecOutput
from alcove.model.recording import Recording, RecordingState, SessionKind
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store import events, recordings, users
from alcove.store.recordings import RecordingFilters
from alcove.store.workspaces import Position

READ: Final = Permission.RECORDING_READ
SEARCH_WINDOW: Final = 1000
"""Recordings that one page of a search looks through; the next page goes on."""
QUERY_MAX: Final = 200
PIECE: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which recordings; all that are set must match. `text` is searched in what was shown."""

    workspace: str | None = None
    owner: str | None = None
    actor: str | None = None
    """User names, of the workspace's owner and of who sat at the terminal; `me`: the caller."""
    kind: SessionKind | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """A range of a recording's file: bytes `start` up to, not including, `end` of `size`."""

    recording: Recording
    size: int
    start: int
    end: int
    pieces: AsyncIterator[bytes]


async def get(core: Core, actor: Actor, id: str) -> Recording:
    """Raises NotFound, also for what the actor may not read."""
    async with core.db.read() as tx:
        found = await recordings.get(tx, id[:64])
    if found is None or not _may(actor, found):
        raise NotFound(f"there is no recording {id[:64]!r}, or it is not yours to see")
    return _sized(core, found)


async def find(core: Core, actor: Actor, page: PageRequest, wanted: Wanted) -> Page[Recording]:
    """One page of what the actor may see, newest first. A page of a search may have few or none
    and still be followed by another."""
    if not allows(actor, READ, owner=actor.id, workspace=actor.workspace):
        return Page((), None)
    filters = await filters_for(core, actor, wanted)
    if filters is None:
        return Page((), None)
    after = read_position(page.cursor)
    if wanted.text:
        return await _search(core, actor, page, filters, wanted.text, after)
    async with core.db.scan() as tx:
        found = await recordings.find(tx, filters, after=after, limit=page.limit + 1)
    shown = page_of(found, page, lambda one: Position(one.started_at, one.id))
    return Page([_sized(core, one) for one in shown.items], shown.next_cursor)


async def workspace_names(
    core: Core, found: Sequence[Recording] | Sequence[ExecOutput]
) -> Mapping[str, str]:
    """By id; of workspaces that are known no more there is none."""
    async with core.db.read() as tx:
        return await recordings.workspace_names(tx, {one.workspace for one in found})


async def cast(
    core: Core, actor: Actor, id: str, *, start: int | None = None, end: int | None = None
) -> Cast:
    """Its file, or a range of it: from `start`, up to and not including `end`; with only `end`,
    so many bytes from the end. Of one that is being written: the lines that are there.

    Raises NotFound, Conflict (another server has the file), OutOfRange.
    """
    recording = await get(core, actor, id)
    fd = await _opened(core, recording)
    try:
        size = os.fstat(fd).st_size
        if recording.state is RecordingState.RECORDING:
            size = await to_thread.run_sync(whole_lines, fd, size)
        first, last = _range(size, start, end)
    finally:
        os.close(fd)
    await _tell(core, actor, recording, "cast")
    return Cast(recording, size, first, last, _pieces(path_of(core, recording), first, last))


async def commands(core: Core, actor: Actor, id: str) -> Sequence[Command]:
    """What was run in it, as far as the shell marked it. Raises NotFound, Conflict."""
    recording = await get(core, actor, id)
    os.close(await _opened(core, recording))
    await _tell(core, actor, recording, "commands")
    path = path_of(core, recording)
    try:
        found = await to_thread.run_sync(commands_of, path, limiter=core.recorders.syncers)
    except OSError as error:
        raise Unavailable(f"recording {recording.id} cannot be read: {error.strerror}") from error
    if not found and recording.kind is not SessionKind.TERMINAL and recording.title:
        took = recording.ended_at
        ended = None if took is None else (took - recording.started_at).total_seconds()
        return [Command(0.0, recording.title, ended, recording.exit_code)]
    return found


async def delete(core: Core, actor: Actor, id: str) -> None:
    """For admins: neither who was recorded nor who audits takes a recording away.

    Raises NotFound, Denied, Conflict for one that is being written.
    """
    recording = await get(core, actor, id)
    if not allows(actor, Permission.SERVER_OPERATE):
        raise Denied(f"{actor.name} may not delete recordings; an admin may")
    if recording.state is RecordingState.RECORDING:
        raise Conflict(f"recording {recording.id} is being written; end its session first")
    await remove(core, actor, recording, why="asked for")


async def remove(core: Core, actor: Actor, recording: Recording, *, why: str) -> None:
    """The row with its event, then the file; the keeper of the server that has it removes what
    is left of it."""
    detail = {"workspace": recording.workspace, "why": why, "head": recording.digest}
    removed = identity.event(
        actor,
        EventKind.RECORDING_REMOVED,
        subject=recording.id,
        owner=recording.owner,
        detail=detail,
    )
    async with core.db.transaction() as tx:
        if not await recordings.remove(tx, recording.id):
            return
        await events.append(tx, core.clock(), removed)
    try:
        path_of(core, recording).unlink(missing_ok=True)
    except OSError:
        return
    core.recorders.used = max(0, core.recorders.used - recording.size)


async def has_file(core: Core, recording: Recording) -> bool:
    """Whether this server's directory is the one that the recording is in."""
    try:
        return recording.server == await server_name(core)
    except OSError:
        return False


async def _opened(core: Core, recording: Recording) -> int:
    if not await has_file(core, recording):
        raise Conflict(
            f"recording {recording.id} is on the server {recording.server}; ask that one, or "
            "let the servers share one directory of recordings"
        )
    try:
        return os.open(path_of(core, recording), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(
            f"the file of recording {recording.id} is gone; `alcove recordings verify` says more"
        ) from None
    except OSError as error:
        raise Unavailable(f"recording {recording.id} cannot be read: {error.strerror}") from error


async def _pieces(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while start < end:
            piece = await to_thread.run_sync(os.pread, fd, min(PIECE, end - start), start)
            if not piece:
                return
            start += len(piece)
            yield piece
    finally:
        os.close(fd)


def _range(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    if start is None and end is not None:
        return max(0, size - end), size
    first = start or 0
    if start is not None and first >= size:
        raise OutOfRange(f"the recording has {size} bytes")
    return first, size if end is None else min(end, size)


def checked_text(text: str) -> str:
    """What a search compares with. Raises Invalid for what nobody sees."""
    if len(text) > QUERY_MAX or not text.isprintable():
        said = f"use at most {QUERY_MAX} characters that can be seen"
        raise Invalid(f"q: {said}", [FieldError("q", said)])
    return text.casefold()


async def tell_of_search(
    core: Core, actor: Actor, filters: RecordingFilters, found: Sequence[str], *, subject: str
) -> None:
    """Without its words; `subject` is what was searched where it was no one workspace."""
    told = identity.event(
        actor,
        EventKind.RECORDING_READ,
        subject=filters.workspace or subject,
        owner=filters.owner,
        detail={"how": "search", "found": list(found[:100])},
    )
    await identity.record(core, told)


async def _search(
    core: Core,
    actor: Actor,
    page: PageRequest,
    filters: RecordingFilters,
    text: str,
    after: Position | None,
) -> Page[Recording]:
    words = checked_text(text)
    async with core.db.scan() as tx:
        searched = await recordings.search(
            tx,
            filters,
            words,
            after=after,
            limit=page.limit,
            window=SEARCH_WINDOW,
        )
    ids = [one.id for one in searched.found]
    await tell_of_search(core, actor, filters, ids, subject="recordings")
    cursor = None if searched.until is None else position_cursor(searched.until)
    return Page([_sized(core, one) for one in searched.found], cursor)


async def filters_for(core: Core, actor: Actor, wanted: Wanted) -> RecordingFilters | None:
    """What the actor may see of what is wanted; None when nothing can match."""
    everyone = allows(actor, READ, workspace=actor.workspace)
    filters = RecordingFilters(
        owner=None if everyone else actor.id,
        workspace=actor.workspace,
        kind=wanted.kind,
        since=wanted.since,
        until=wanted.until,
    )
    if wanted.owner is not None:
        owner = await _user(core, actor, wanted.owner)
        if owner is None or not (everyone or owner == actor.id):
            return None
        filters = replace(filters, owner=owner)
    if wanted.actor is not None:
        sat = await _user(core, actor, wanted.actor)
        if sat is None:
            return None
        filters = replace(filters, actor=sat)
    if wanted.workspace is not None:
        if access.WORKSPACE_ID.fullmatch(wanted.workspace):
            # It may be gone by now; its recordings are not.
            id = WorkspaceId(wanted.workspace)
        else:
            read = Permission.WORKSPACE_READ
            id = (await access.workspace(core, actor, wanted.workspace, read)).id
        if actor.workspace is not None and id != actor.workspace:
            return None
        filters = replace(filters, workspace=id)
    return filters


async def _user(core: Core, actor: Actor, name: str) -> UserId | None:
    if name in ("me", actor.name):
        return actor.id
    async with core.db.read() as tx:
        found = await users.by_name(tx, name)
    return None if found is None else found.id


def _may(actor: Actor, recording: Recording) -> bool:
    return allows(actor, READ, owner=recording.owner, workspace=recording.workspace)


def _sized(core: Core, recording: Recording) -> Recording:
    """One that is being written here says how long it is by now."""
    recorder = core.recorders.open.get(recording.id)
    return recording if recorder is None else replace(recording, size=recorder.size)


async def _tell(core: Core, actor: Actor, recording: Recording, how: str) -> None:
    detail = {"workspace": recording.workspace, "how": how}
    told = identity.event(
        actor,
        EventKind.RECORDING_READ,
        subject=recording.id,
        owner=recording.owner,
        detail=detail,
    )
    await identity.record(core, told)
