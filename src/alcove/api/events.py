"""`/events` and `/workspaces/{workspace}/events`: what happened, in pages or as it happens.

Resuming has no gaps: numbers follow the order of commits, and a follower says which it saw last.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.pages import PageQuery
from alcove.api.routing import router
from alcove.api.streaming import EVENT_STREAM, Streaming, Writer, closing, wants_events
from alcove.core import events, identity, workspaces
from alcove.core.app import Core
from alcove.core.pages import read_cursor, write_cursor
from alcove.http.access import needs
from alcove.model import event as model
from alcove.model.access import Actor, Permission
from alcove.store.events import EventFilters
from alcove.wire.base import Moment, Page
from alcove.wire.events import Event

routes = router("events")
SEQ_MAX: Final = 2**53
_EXAMPLE: Final = 'id: 41\nevent: workspace.created\ndata: {"seq":41,…}\n\n'


class EventQuery(PageQuery):
    follow: bool = False
    """Go on, as server-sent events, whose `id:` is the number."""
    after: Annotated[int, Field(ge=0, le=SEQ_MAX)] | None = None
    """Only events above this number. When following, absent means from now on."""
    type: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] = Field(
        default_factory=list[str]
    )
    """Such as `workspace.created`, or `workspace.*` for all of a noun; any of these."""


class AuditQuery(EventQuery):
    actor: Annotated[str, Field(max_length=64)] | None = None
    """A user's name, or `system`."""
    owner: Annotated[str, Field(max_length=64)] | None = None
    """Name of the user whom the subject belongs to."""
    subject: Annotated[str, Field(max_length=64)] | None = None
    """Id of what it is about."""
    since: Moment | None = None
    """Not before; `until` is the first moment that does not count."""
    until: Moment | None = None


@routes.get("/events", **documents(Page[Event], events=_EXAMPLE))
async def find(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_READ)],
    query: Annotated[AuditQuery, Query()],
) -> Response:
    """Events that the caller may read: what is theirs, what they did; for auditors all."""
    found: dict[str, str] = {}
    for name, wanted in (("actor", query.actor), ("owner", query.owner)):
        if wanted is not None:
            id = await events.user_id(core, actor, wanted)
            if id is None:
                return answer(Page[Event](items=[]))
            found[name] = id
    filters = EventFilters(
        kinds=query.type,
        actor=found.get("actor"),
        owner=found.get("owner"),
        subject=query.subject,
        since=query.since,
        until=query.until,
    )
    return await _answer(request, core, actor, query, filters)


@routes.get("/workspaces/{workspace}/events", **documents(Page[Event], 404, events=_EXAMPLE))
async def find_of_workspace(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_READ)],
    ref: WorkspaceRef,
    query: Annotated[EventQuery, Query()],
) -> Response:
    """What happened to one workspace."""
    workspace = await workspaces.get(core, actor, ref)
    filters = EventFilters(kinds=query.type, subject=workspace.id)
    return await _answer(request, core, actor, query, filters)


async def _answer(
    request: Request, core: Core, actor: Actor, query: EventQuery, filters: EventFilters
) -> Response:
    if query.follow or wants_events(request):
        return await _followed(request, core, actor, query, filters)
    after = query.after or 0
    if query.cursor is not None:
        after = int(str(read_cursor(query.cursor, int)[0]))
    limit = query.limit
    found = await events.read(core, actor, after=after, filters=filters, limit=limit)
    more = write_cursor(found[-1].seq) if len(found) == limit else None
    return answer(Page[Event](items=await _present(core, found), next_cursor=more))


async def _followed(
    request: Request, core: Core, actor: Actor, query: EventQuery, filters: EventFilters
) -> Response:
    seen = request.headers.get("last-event-id", "")
    if seen.isdecimal() and len(seen) < 16:
        after = int(seen)
    elif query.after is not None:
        after = query.after
    else:
        after = await events.last(core)

    async def fill(writer: Writer) -> None:
        # Begin at once, so that the client knows that it is listening.
        await writer.beat()
        batches = events.follow(core, actor, after=after, filters=filters)
        async with closing(batches) as found:
            async for batch in found:
                for event in await _present(core, batch):
                    await writer.event(event.type, event, id=event.seq)

    return Streaming(core, actor, fill, media_type=EVENT_STREAM)


async def _present(core: Core, found: Sequence[model.Event]) -> list[Event]:
    ids = {event.actor for event in found} | {event.owner for event in found if event.owner}
    names = await identity.names(core, ids)
    return [
        Event(
            seq=event.seq,
            at=event.at,
            type=event.kind,
            actor=names[event.actor],
            actor_id=event.actor,
            subject=event.subject,
            owner=None if event.owner is None else names[event.owner],
            detail=dict(event.detail),
            address=event.address,
            request_id=event.request_id,
        )
        for event in found
    ]
