"""`/sessions`: who is connected to workspaces now, over SSH, in terminals and through tunnels."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf
from alcove.api.pages import PageQuery
from alcove.api.routing import router
from alcove.core import identity, live_sessions
from alcove.core.live_sessions import Wanted
from alcove.core.pages import PageRequest
from alcove.http.access import needs
from alcove.model import live_session as model
from alcove.model.access import Actor, Permission
from alcove.model.live_session import LiveKind
from alcove.wire.base import Page
from alcove.wire.live_sessions import LiveDetail, LiveSession, LiveWorkspace

routes = router("sessions")
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
Updater: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
SessionId: TypeAlias = Annotated[str, Path(max_length=64)]
_Ref: TypeAlias = Annotated[str, Field(max_length=128)]


class LiveSessionQuery(PageQuery):
    workspace: _Ref | None = None
    """Its id, the caller's own name for it, or `owner/name`."""
    user: _Ref | None = None
    """Name of who is connected, or `me`."""
    kind: LiveKind | None = None


@routes.get("/sessions", **documents(Page[LiveSession], 404))
async def find(
    core: CoreOf, actor: Reader, query: Annotated[LiveSessionQuery, Query()]
) -> Response:
    """Those that are open now, newest first, on all servers: one's own and those in one's own
    workspaces; all of them for roles that see the fleet."""
    page = PageRequest(query.limit, query.cursor)
    wanted = Wanted(workspace=query.workspace, user=query.user, kind=query.kind)
    found = await live_sessions.find(core, actor, page, wanted)
    ids = {one.owner for one in found.items} | {one.user for one in found.items}
    names = await identity.names(core, ids)
    items = [present(one, names) for one in found.items]
    return answer(Page[LiveSession](items=items, next_cursor=found.next_cursor))


@routes.delete("/sessions/{id}", **documents(None, 404, status=204))
async def end(core: CoreOf, actor: Updater, id: SessionId) -> Response:
    """End the connection; what ran in a terminal that outlives its viewers goes on. For whoever
    is connected, the workspace's owner, and operators. Answers when it is over, or after a
    second."""
    await live_sessions.end(core, actor, id)
    return nothing()


def present(session: model.LiveSession, names: Mapping[str, str]) -> LiveSession:
    """`names`: of users, by id."""
    return LiveSession(
        id=session.id,
        kind=session.kind,
        workspace=LiveWorkspace(id=session.workspace, name=session.workspace_name),
        owner=names[session.owner],
        user=names[session.user],
        address=session.address,
        server=session.server,
        began_at=session.began_at,
        detail=LiveDetail.model_validate(dict(session.detail)),
    )
