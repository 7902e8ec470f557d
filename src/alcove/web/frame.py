"""What surrounds every page: the rail, the way here, and the menu of whoever is signed in.

An entry is shown to whom it is for, and only where its page is served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from alcove.http.access import core_of
from alcove.http.context import context_of
from alcove.model.access import Actor, Permission, Role, allows
from alcove.web.contexts import Entry, Frame, Link

if TYPE_CHECKING:
    from fastapi import APIRouter


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the rail. `permission`: of what is the caller's own, or of anything if `any`."""

    name: str
    path: str
    icon: str
    permission: Permission
    any: bool = False


RAIL: Final = (
    Place("Workspaces", "/", "workspaces", Permission.WORKSPACE_READ),
    Place("Templates", "/templates", "templates", Permission.TEMPLATE_READ),
    Place("Recordings", "/recordings", "recordings", Permission.RECORDING_READ),
)
OPERATORS: Final = (
    Place("Fleet", "/fleet", "fleet", Permission.AUDIT_READ, any=True),
    Place("Audit", "/audit", "audit", Permission.AUDIT_READ, any=True),
    Place("People", "/people", "people", Permission.AUDIT_READ, any=True),
    Place("Server", "/server", "server", Permission.SERVER_OPERATE, any=True),
)
ACCOUNT: Final = (
    Link("Your account", "/account"),
    Link("Tokens", "/tokens"),
    Link("SSH keys", "/keys"),
    Link("Components", "/-/patterns"),
)
_OPERATE: Final = frozenset({Role.OWNER, Role.ADMIN, Role.AUDITOR})


def frame_of(
    request: Request, actor: Actor, *, here: str = "", crumbs: Sequence[Link] = ()
) -> Frame:
    """The frame of this actor's page. `here`: the path of the rail's entry it belongs to."""
    here_served = served(request)
    return Frame(
        user=actor.name,
        now=core_of(request).clock(),
        rail=[_entry(place, here) for place in RAIL if _for(place, actor, here_served)],
        operators=[_entry(place, here) for place in OPERATORS if _for(place, actor, here_served)],
        crumbs=crumbs,
        account=[link for link in ACCOUNT if link.path in here_served],
    )


def bare_frame(request: Request) -> Frame:
    """For pages that nobody in particular sees: signing in, and errors."""
    user = context_of(request.scope).actor
    rail = [_entry(place, "") for place in RAIL[:2]] if user else []
    return Frame(user=user, now=core_of(request).clock(), rail=rail)


def _entry(place: Place, here: str) -> Entry:
    return Entry(place.name, place.path, place.icon, here=place.path == here)


def _for(place: Place, actor: Actor, paths: frozenset[str]) -> bool:
    if place.path not in paths:
        return False
    if place.any:
        return actor.role in _OPERATE and allows(actor, place.permission)
    return allows(actor, place.permission, owner=actor.id)


def served(request: Request) -> frozenset[str]:
    """The addresses that this app has a page for; looked up once for each app."""
    state = request.app.state
    found: frozenset[str] | None = getattr(state, "pages_served", None)
    if found is None:
        routers: Sequence[APIRouter] = state.pages
        found = frozenset(str(getattr(one, "path", "")) for r in routers for one in r.routes)
        state.pages_served = found
    return found
