"""The list of workspaces: whose, which, and what to do with several at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import templates, workspaces
from alcove.core.app import Core
from alcove.core.pages import CURSOR_MAX, PageRequest
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import AlcoveError, Invalid
from alcove.model.workspace import Kind, Phase, Workspace
from alcove.store.workspaces import WorkspaceFilters
from alcove.web.addresses import filtered
from alcove.web.catalog import Card, cards_of
from alcove.web.contexts import Chip, Frame, Link
from alcove.web.frame import frame_of, served
from alcove.web.listing import Row, rows_of
from alcove.web.pages import CoreOf, Reader, render, router, see

routes = router()
Text = Annotated[str, Query(max_length=128)]
Updater = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
SHOWN: Final = 50
BULK_MAX: Final = 100
CARDS_AT_FIRST: Final = 3
_STATES: Final[dict[str, tuple[Phase, ...]]] = {
    "running": (Phase.RUNNING,),
    "changing": (
        Phase.PROVISIONING,
        Phase.STARTING,
        Phase.RESUMING,
        Phase.PAUSING,
        Phase.STOPPING,
        Phase.DELETING,
    ),
    "stopped": (Phase.STOPPED,),
    "paused": (Phase.PAUSED,),
    "failed": (Phase.FAILED, Phase.UNREACHABLE),
}
_KINDS: Final = {"people": Kind.HUMAN, "agents": Kind.AGENT}


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters as they stand in the address."""

    whose: str = ""
    state: str = ""
    kind: str = ""
    q: str = ""
    template: str = ""

    def path(self, **changed: str) -> str:
        known = {
            "whose": self.whose,
            "state": self.state,
            "kind": self.kind,
            "q": self.q,
            "template": self.template,
        } | changed
        return filtered("/", known)


@dataclass(frozen=True, slots=True)
class WorkspacesPage:
    frame: Frame
    now: datetime
    rows: Sequence[Row]
    asked: Asked
    whose: Sequence[Chip]
    filters: Sequence[Chip]
    everybody: bool
    """Whether the list shows other people's, and so their names."""
    first_visit: bool
    cards: Sequence[Card]
    here: str
    next: str
    first: str


@dataclass(frozen=True, slots=True)
class BulkPage:
    """What will happen to which, before it does."""

    frame: Frame
    verb: str
    items: Sequence[Workspace]


@dataclass(frozen=True, slots=True)
class Failure:
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class BulkDonePage:
    frame: Frame
    verb: str
    failures: Sequence[Failure]


@routes.get("/")
async def find(
    request: Request,
    core: CoreOf,
    actor: Reader,
    whose: Text = "",
    state: Text = "",
    kind: Text = "",
    q: Text = "",
    template: Text = "",
    cursor: Annotated[str | None, Query(max_length=CURSOR_MAX)] = None,
) -> Response:
    asked = Asked(whose=whose, state=state, kind=kind, q=q.strip(), template=template)
    all_seen = allows(actor, Permission.WORKSPACE_READ)
    found = await workspaces.find(core, actor, _filters(actor, asked), PageRequest(SHOWN, cursor))
    first_visit = not found.items and asked == Asked(whose=whose) and cursor is None
    cards: Sequence[Card] = ()
    if first_visit and allows(actor, Permission.TEMPLATE_READ):
        entries = await templates.find(core, actor, PageRequest(CARDS_AT_FIRST * 4))
        usual = await core.catalog.starts.usual(core.db, now=core.clock())
        cards = cards_of(entries.items, usual)[:CARDS_AT_FIRST]
    here = asked.path() if cursor is None else f"{asked.path(cursor=cursor)}"
    context = WorkspacesPage(
        now=core.clock(),
        frame=frame_of(request, actor, here="/", crumbs=(Link("Workspaces"),)),
        rows=await rows_of(core, actor, found.items, pages=served(request)),
        asked=asked,
        whose=_whose(asked) if all_seen else (),
        filters=_chips(asked),
        everybody=all_seen and whose == "all",
        first_visit=first_visit,
        cards=cards,
        here=here,
        next="" if found.next_cursor is None else asked.path(cursor=found.next_cursor),
        first="" if cursor is None else asked.path(),
    )
    return render("workspaces.html", context)


@routes.post("/workspaces/many")
async def many(request: Request, core: CoreOf, actor: Updater) -> Response:
    """Start, stop or delete several. Deleting shows first what is lost."""
    fields = await read_form(request)
    verb = fields.get("verb", "")
    ids = [name.removeprefix("w.") for name in fields if name.startswith("w.")][:BULK_MAX]
    if verb not in {"start", "stop", "delete"}:
        raise Invalid("verb: is start, stop or delete")
    if not ids:
        return see("/")
    frame = frame_of(request, actor, here="/", crumbs=(Link("Workspaces", "/"), Link(verb)))
    if verb == "delete" and fields.get("sure") != "yes":
        items = [await workspaces.get(core, actor, id) for id in ids]
        return render("bulk.html", BulkPage(frame, verb, items))
    failures = [failure for id in ids if (failure := await _do(core, actor, verb, id))]
    if failures:
        return render("bulk_done.html", BulkDonePage(frame, verb, failures), status=409)
    return see("/")


async def _do(core: Core, actor: Actor, verb: str, id: str) -> Failure | None:
    act = {"start": workspaces.start, "stop": workspaces.stop, "delete": workspaces.delete}[verb]
    try:
        await act(core, actor, id)
    except AlcoveError as error:
        return Failure(id, str(error))
    return None


def _filters(actor: Actor, asked: Asked) -> WorkspaceFilters:
    mine = asked.whose != "all"
    return WorkspaceFilters(
        owner=actor.id if mine else None,
        template=asked.template or None,
        phases=_STATES.get(asked.state, ()),
        kind=_KINDS.get(asked.kind),
        text=asked.q,
    )


def _whose(asked: Asked) -> Sequence[Chip]:
    everybody = asked.whose == "all"
    return (
        Chip("Mine", asked.path(whose=""), on=not everybody),
        Chip("Everybody's", asked.path(whose="all"), on=everybody),
    )


def _chips(asked: Asked) -> Sequence[Chip]:
    """Each turns its filter on, or off again."""
    found = [
        Chip(name.capitalize(), asked.path(state="" if on else name), on=on)
        for name in _STATES
        for on in (asked.state == name,)
    ]
    found += [
        Chip(f"Of {name}", asked.path(kind="" if on else name), on=on)
        for name in _KINDS
        for on in (asked.kind == name,)
    ]
    if asked.template:
        found.append(Chip(f"Template {asked.template}", asked.path(template=""), on=True))
    return found
