"""`/palette`: where one can go and what one can do, for the keyboard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import templates, workspaces
from alcove.core.pages import PageRequest
from alcove.http.access import needs_sign_in
from alcove.model.access import Actor, Permission, allows
from alcove.store.workspaces import WorkspaceFilters
from alcove.web.catalog import cards_of
from alcove.web.frame import frame_of, served
from alcove.web.listing import Row, rows_of
from alcove.web.pages import CoreOf, render, router

routes = router()
FOUND_MAX: Final = 12
ASKED: Final = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """`post`: it does something at once, which can be undone; deleting asks first."""

    name: str
    path: str
    icon: str
    about: str
    post: bool = False


@dataclass(frozen=True, slots=True)
class PaletteFragment:
    choices: Sequence[Choice]
    q: str


@routes.get("/palette")
async def find(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs_sign_in()],
    q: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    words = q.casefold().split()
    # The last word is most likely the name: "stop api".
    named = WorkspaceFilters(text=words[-1]) if words else WorkspaceFilters()
    found = await workspaces.find(core, actor, named, PageRequest(ASKED))
    rows = await rows_of(core, actor, found.items, pages=served(request))
    entries = ()
    if allows(actor, Permission.TEMPLATE_READ):
        entries = (await templates.find(core, actor, PageRequest(ASKED))).items
    frame = frame_of(request, actor)
    choices = [Choice(e.name, e.path, e.icon, "page") for e in (*frame.rail, *frame.operators)]
    choices += [Choice(link.name, link.path, "user", "page") for link in frame.account]
    for row in rows:
        here = f"/workspaces/{row.workspace.id}"
        choices.append(Choice(row.workspace.name, here, "workspaces", row.badge.word))
        choices += _actions(row) if words else ()
    choices += [
        Choice(f"New workspace from {card.title}", f"/create/{card.name}", "plus", card.name)
        for card in cards_of(entries)
    ]
    choices.sort(key=lambda choice: not choice.name.casefold().startswith(q.casefold().strip()))
    matching = [one for one in choices if _matches(one, words)]
    return render("palette.html", PaletteFragment(matching[:FOUND_MAX], q))


def _actions(row: Row) -> Iterator[Choice]:
    here, name = f"/workspaces/{row.workspace.id}", row.workspace.name
    for way in row.ways[1:]:
        yield Choice(f"{way.name} of {name}", way.path, way.icon, "way in")
    if row.may_start:
        yield Choice(f"Start {name}", f"{here}/start", "play", "action", post=True)
    if row.may_stop:
        yield Choice(f"Stop {name}", f"{here}/stop", "stop", "action", post=True)
    if row.may_delete:
        yield Choice(f"Delete {name}…", f"{here}/delete", "trash", "action")


def _matches(choice: Choice, words: Sequence[str]) -> bool:
    text = f"{choice.name} {choice.about}".casefold()
    return all(word in text for word in words)
