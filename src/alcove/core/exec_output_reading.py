"""The verbs of what commands without a terminal wrote: list, search, read, delete.

They are under the rules of recordings: the right is `recording:read`, reading one is an event
before anything of it goes out, and so is a search, without its words.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from alcove.core import identity
from alcove.core.app import Core
from alcove.core.exec_outputs import SUBJECT
from alcove.core.pages import Page, PageRequest, page_of, position_cursor, read_position
from alcove.core.recording_reading import (
    READ,
    SEARCH_WINDOW,
    Wanted,
    checked_text,
    filters_for,
    tell_of_search,
)
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Denied, NotFound
from alcove.model.event import EventKind
from alcove.model.exec_output import ExecOutput
from alcove.store import events, exec_outputs
from alcove.store.events import EventFilters
from alcove.store.kept import RecordingFilters, Searched
from alcove.store.workspaces import Position

SAME_TIME_MAX: Final = 1000
"""Commands that one workspace may have ended in one moment; the proof looks through them."""


@dataclass(frozen=True, slots=True)
class Read:
    """`intact`: it is what the event log says that was kept."""

    output: ExecOutput
    intact: bool


async def find(core: Core, actor: Actor, page: PageRequest, wanted: Wanted) -> Page[ExecOutput]:
    """One page of what the actor may see, newest first, to be shown without the output. A page
    of a search may have few or none and still be followed by another. Its `kind` is nothing."""
    if not allows(actor, READ, owner=actor.id, workspace=actor.workspace):
        return Page((), None)
    filters = await filters_for(core, actor, wanted)
    if filters is None:
        return Page((), None)
    after = read_position(page.cursor)
    if wanted.text:
        found = await _searched(core, actor, page, filters, wanted.text, after)
        cursor = None if found.until is None else position_cursor(found.until)
        return Page(found.found, cursor)
    async with core.db.scan() as tx:
        rows = await exec_outputs.find(tx, filters, after=after, limit=page.limit + 1)
    return page_of(rows, page, lambda one: Position(one.at, one.id))


async def read(core: Core, actor: Actor, id: str) -> Read:
    """One with its output. Raises NotFound, also for what the actor may not read."""
    output = await _get(core, actor, id)
    detail = {"workspace": output.workspace, "how": "output"}
    told = identity.event(
        actor, EventKind.RECORDING_READ, subject=output.id, owner=output.owner, detail=detail
    )
    await identity.record(core, told)
    return Read(output, await _proved(core, output))


async def delete(core: Core, actor: Actor, id: str) -> None:
    """For admins, as recordings are. Raises NotFound, Denied."""
    output = await _get(core, actor, id)
    if not allows(actor, Permission.SERVER_OPERATE):
        raise Denied(f"{actor.name} may not delete what was kept of a command; an admin may")
    detail = {"workspace": output.workspace, "why": "asked for", "digest": output.digest}
    told = identity.event(
        actor, EventKind.RECORDING_REMOVED, subject=output.id, owner=output.owner, detail=detail
    )
    async with core.db.transaction() as tx:
        if await exec_outputs.remove(tx, output.id):
            await events.append(tx, core.clock(), told)


async def _get(core: Core, actor: Actor, id: str) -> ExecOutput:
    async with core.db.read() as tx:
        found = await exec_outputs.get(tx, id[:64])
    if found is None or not allows(actor, READ, owner=found.owner, workspace=found.workspace):
        raise NotFound(f"nothing is kept under {id[:64]!r}, or it is not yours to see")
    return found


async def _proved(core: Core, output: ExecOutput) -> bool:
    """Whether the event of its end has this digest of it."""
    filters = EventFilters(
        kinds=(EventKind.EXEC_FINISHED,),
        subject=output.workspace,
        since=output.at,
        until=output.at + timedelta(microseconds=1),
    )
    async with core.db.scan() as tx:
        found = await events.newest(tx, filters=filters, limit=SAME_TIME_MAX)
    said = [one.detail.get("digest") for one in found if one.detail.get("output") == output.id]
    return said == [output.digest]


async def _searched(
    core: Core,
    actor: Actor,
    page: PageRequest,
    filters: RecordingFilters,
    text: str,
    after: Position | None,
) -> Searched[ExecOutput]:
    words = checked_text(text)
    async with core.db.scan() as tx:
        searched = await exec_outputs.search(
            tx, filters, words, after=after, limit=page.limit, window=SEARCH_WINDOW
        )
    ids = [one.id for one in searched.found]
    await tell_of_search(core, actor, filters, ids, subject=SUBJECT)
    return searched
