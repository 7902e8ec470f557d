"""`/recordings`: what terminals showed. Reading one is itself an event."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from fastapi import Header, Path, Query
from pydantic import Field
from starlette.responses import Response

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf
from alcove.api.pages import PageQuery
from alcove.api.routing import router
from alcove.api.streaming import Streaming, Writer
from alcove.core import identity, recording_proof, recording_reading
from alcove.core.pages import PageRequest
from alcove.core.recording_reading import QUERY_MAX, Wanted
from alcove.http.access import needs
from alcove.http.problem import responses
from alcove.model import recording as model
from alcove.model.access import Actor, Permission
from alcove.model.recording import SessionKind
from alcove.wire.base import Moment, Page
from alcove.wire.recordings import (
    RecordedCommand,
    RecordedCommands,
    Recording,
    RecordingProof,
)

routes = router("recordings")
CAST: Final = "application/x-asciicast"
Reader: TypeAlias = Annotated[Actor, needs(Permission.RECORDING_READ)]
RecordingId: TypeAlias = Annotated[str, Path(alias="recording", max_length=64)]
_RANGE: Final = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_Ref: TypeAlias = Annotated[str, Field(max_length=128)]


class RecordingQuery(PageQuery):
    workspace: _Ref | None = None
    """Its id, also of one that is gone, or the caller's own name for it."""
    owner: _Ref | None = None
    """Name of the workspace's owner, or `me`."""
    actor: _Ref | None = None
    """Name of who sat at the terminal, or `me`."""
    kind: SessionKind | None = None
    since: Moment | None = None
    """Begun then or later."""
    until: Moment | None = None
    """Begun before then."""
    q: Annotated[str, Field(max_length=QUERY_MAX)] | None = None
    """In what was shown, whatever the case; of a long recording in its beginning and its end."""


@routes.get("/recordings", **documents(Page[Recording], 404))
async def find(core: CoreOf, actor: Reader, query: Annotated[RecordingQuery, Query()]) -> Response:
    """List what the caller may see, newest first. A page of a search may have few or no items
    and still be followed by another; each search is an event."""
    wanted = Wanted(
        workspace=query.workspace,
        owner=query.owner,
        actor=query.actor,
        kind=query.kind,
        since=query.since,
        until=query.until,
        text=query.q or None,
    )
    page = PageRequest(query.limit, query.cursor)
    found = await recording_reading.find(core, actor, page, wanted)
    ids = {one.owner for one in found.items} | {one.actor for one in found.items}
    names = await identity.names(core, ids)
    known = await recording_reading.workspace_names(core, found.items)
    items = [present(one, names, known) for one in found.items]
    return answer(Page[Recording](items=items, next_cursor=found.next_cursor))


@routes.get("/recordings/{recording}", **documents(Recording, 404))
async def get(core: CoreOf, actor: Reader, id: RecordingId) -> Response:
    """What is known of it; not what was shown."""
    found = await recording_reading.get(core, actor, id)
    names = await identity.names(core, {found.owner, found.actor})
    known = await recording_reading.workspace_names(core, [found])
    return answer(present(found, names, known))


@routes.get(
    "/recordings/{recording}/cast",
    response_class=Response,
    responses={
        200: {"description": "The file", "content": {CAST: {}}},
        206: {"description": "A part of it", "content": {CAST: {}}},
        **responses(401, 403, 404, 409, 416, 422, 429, 503),
    },
)
async def cast(
    core: CoreOf,
    actor: Reader,
    id: RecordingId,
    range: Annotated[str | None, Header(max_length=64, description="`bytes=0-99`")] = None,
) -> Response:
    """The recording itself (asciicast v2), or a part of it; of one that is being written, the
    lines so far. The reading is written down before the first byte is sent."""
    start, end = _range(range)
    found = await recording_reading.cast(core, actor, id, start=start, end=end)
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="{found.recording.id}.cast"',
        "content-length": str(found.end - found.start),
    }
    partial = start is not None or end is not None
    if partial:
        headers["content-range"] = f"bytes {found.start}-{found.end - 1}/{found.size}"

    async def fill(writer: Writer) -> None:
        await writer.start(status=206 if partial else 200)
        async for piece in found.pieces:
            await writer.write(piece)

    return Streaming(core, actor, fill, media_type=CAST, headers=headers)


@routes.get("/recordings/{recording}/commands", **documents(RecordedCommands, 404, 409))
async def commands(core: CoreOf, actor: Reader, id: RecordingId) -> Response:
    """The commands that were run in it, where the shell marks them (OSC 133)."""
    found = await recording_reading.commands(core, actor, id)
    items = [
        RecordedCommand(at=one.at, text=one.text, ended_at=one.ended_at, exit_code=one.exit_code)
        for one in found
    ]
    return answer(RecordedCommands(items=items))


@routes.get("/recordings/{recording}/proof", **documents(RecordingProof, 404, 409))
async def verify(core: CoreOf, actor: Reader, id: RecordingId) -> Response:
    """Compare the file with the digests in the event log, and say where it differs."""
    found = await recording_proof.verify(core, actor, id)
    return answer(
        RecordingProof(
            intact=found.intact,
            broken=found.broken,
            chunk=found.chunk,
            offset=found.offset,
            chunks=found.chunks,
            size=found.size,
            unsealed=found.unsealed,
            head=found.head,
        )
    )


@routes.delete("/recordings/{recording}", **documents(None, 404, 409, status=204))
async def delete(core: CoreOf, actor: Reader, id: RecordingId) -> Response:
    """Delete a recording; for admins."""
    await recording_reading.delete(core, actor, id)
    return nothing()


def present(
    recording: model.Recording, users: Mapping[str, str], workspaces: Mapping[str, str]
) -> Recording:
    """`users` and `workspaces`: names by id."""
    return Recording(
        id=recording.id,
        workspace=recording.workspace,
        workspace_name=workspaces.get(recording.workspace, ""),
        owner=users[recording.owner],
        actor=users[recording.actor],
        kind=recording.kind,
        title=recording.title,
        state=recording.state,
        detail=recording.detail,
        server=recording.server,
        columns=recording.columns,
        rows=recording.rows,
        size=recording.size,
        exit_code=recording.exit_code,
        digest=recording.digest,
        started_at=recording.started_at,
        ended_at=recording.ended_at,
        expires_at=recording.expires_at,
    )


def _range(said: str | None) -> tuple[int | None, int | None]:
    """First byte and the one behind the last. What is no single range is no range (RFC 9110)."""
    found = _RANGE.fullmatch(said or "")
    if found is None or not (found[1] or found[2]):
        return None, None
    if not found[1]:
        return (None, int(found[2])) if int(found[2]) else (None, None)
    first = int(found[1])
    if not found[2]:
        return first, None
    return (first, int(found[2]) + 1) if int(found[2]) >= first else (None, None)
