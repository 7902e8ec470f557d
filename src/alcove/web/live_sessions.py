"""Who is connected to workspaces now: a part of the fleet's page and of one's own account."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, cast

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import identity, live_sessions
from alcove.core.app import Core
from alcove.core.live_sessions import Wanted
from alcove.core.pages import PageRequest
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.model.access import Actor, Permission
from alcove.model.errors import NotFound
from alcove.model.live_session import LiveKind, LiveSession
from alcove.web.pages import CoreOf, render, router, see

routes = router()
Me = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
Ender = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Operator = Annotated[Actor, needs(Permission.AUDIT_READ)]
Id = Annotated[str, Path(max_length=64)]
SHOWN: Final = 200
NAMES: Final = {
    LiveKind.EXEC: "Command",
    LiveKind.SSH: "SSH",
    LiveKind.TERMINAL: "Terminal",
    LiveKind.TUNNEL: "Tunnel",
}


class Place(StrEnum):
    """Where a list stands, and one goes back to after an ending."""

    ACCOUNT = "account"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Line:
    """One connection."""

    session: LiveSession
    kind: str
    owner: str
    user: str
    what: str
    may_end: bool


@dataclass(frozen=True, slots=True)
class Connections:
    """The list, which asks for itself again as things happen."""

    now: datetime
    lines: Sequence[Line]
    more: bool
    place: Place


@dataclass(frozen=True, slots=True)
class ConnectionsPart:
    live: Connections


@routes.get("/account/sessions")
async def mine(core: CoreOf, actor: Me) -> Response:
    part = ConnectionsPart(await connections(core, actor, Place.ACCOUNT))
    return render("live_sessions.html", part)


@routes.get("/fleet/sessions")
async def everybodys(core: CoreOf, actor: Operator) -> Response:
    part = ConnectionsPart(await connections(core, actor, Place.FLEET))
    return render("live_sessions.html", part)


@routes.post("/sessions/{id}/end")
async def end(request: Request, core: CoreOf, actor: Ender, id: Id) -> Response:
    """One that is over by now is as good as ended."""
    fields = await read_form(request)
    with suppress(NotFound):
        await live_sessions.end(core, actor, id)
    return see("/fleet" if fields.get("back") == Place.FLEET else "/account")


async def connections(core: Core, actor: Actor, place: Place) -> Connections:
    """One's own on the account's page, everybody's on the fleet's; the newest of them."""
    wanted = Wanted(user="me" if place is Place.ACCOUNT else None)
    found = await live_sessions.find(core, actor, PageRequest(SHOWN), wanted)
    ids = {one.owner for one in found.items} | {one.user for one in found.items}
    names = await identity.names(core, ids)
    lines = [
        Line(
            session=one,
            kind=NAMES[one.kind],
            owner=names[one.owner],
            user=names[one.user],
            what=what(one),
            may_end=live_sessions.may_end(actor, one),
        )
        for one in found.items
    ]
    return Connections(core.clock(), lines, found.next_cursor is not None, place)


def what(session: LiveSession) -> str:
    """What it is for, in a few words."""
    detail = session.detail
    match session.kind:
        case LiveKind.SSH:
            many = cast("Mapping[str, int]", detail.get("channels") or {})
            open_ = ", ".join(f"{n} {kind}" for kind, n in many.items()) or "nothing"
            return f"{open_} open, by {detail.get('method')}"
        case LiveKind.TERMINAL:
            return str(detail.get("terminal", ""))
        case LiveKind.EXEC:
            return str(detail.get("command", ""))
        case LiveKind.TUNNEL:
            return f"port {detail.get('port')}"
