"""The catalog: what a workspace can be made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import templates
from alcove.core.pages import PageRequest
from alcove.core.start_times import Usual, Version
from alcove.core.templates import CatalogEntry
from alcove.http.access import needs
from alcove.model.access import Actor, Permission, allows
from alcove.model.template import Recipe
from alcove.model.workspace import Kind, StartedFrom
from alcove.web.contexts import Frame, Link
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router
from alcove.web.text import seconds

routes = router()
Reader = Annotated[Actor, needs(Permission.TEMPLATE_READ)]
ENTRIES_MAX: Final = 500
_ICONS: Final = {
    "code": "editor",
    "debian": "debian",
    "editor": "editor",
    "globe": "globe",
    "go": "go",
    "jupyter": "notebook",
    "nodejs": "nodejs",
    "notebook": "notebook",
    "python": "python",
    "robot": "robot",
    "web": "globe",
}
"""What a template's `icon: /icon/NAME.svg` is drawn as; anything else is a box."""
_FROM: Final = {
    StartedFrom.COLD: "",
    StartedFrom.POOL: "(pool)",
    StartedFrom.SNAPSHOT: "(snapshot)",
}
_NOTHING: Final[Mapping[Version, Usual]] = {}


@dataclass(frozen=True, slots=True)
class Card:
    name: str
    title: str
    line: str
    """The description's first line."""
    icon: str
    tags: Sequence[str]
    ready: str = ""
    """How soon it is usually ready; empty when nobody knows."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    frame: Frame
    cards: Sequence[Card]
    q: str
    may_create: bool


@routes.get("/templates")
async def find(
    request: Request,
    core: CoreOf,
    actor: Reader,
    q: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    found = await templates.find(core, actor, PageRequest(ENTRIES_MAX))
    usual = await core.catalog.starts.usual(core.db, now=core.clock())
    context = CatalogPage(
        frame=frame_of(request, actor, here="/templates", crumbs=(Link("Templates"),)),
        cards=[card for card in cards_of(found.items, usual) if _matches(card, q)],
        q=q,
        may_create=allows(actor, Permission.WORKSPACE_CREATE, owner=actor.id),
    )
    return render("catalog.html", context)


def cards_of(
    entries: Sequence[CatalogEntry], usual: Mapping[Version, Usual] = _NOTHING
) -> list[Card]:
    """Of those that one may create from; people's before agents'."""
    ready = [entry for entry in entries if entry.template.active is not None]
    ready.sort(key=lambda entry: entry.version.recipe.kind is not Kind.HUMAN)
    return [card_of(one, usual.get((one.template.name, one.version.number))) for one in ready]


def card_of(entry: CatalogEntry, usual: Usual | None = None) -> Card:
    recipe = entry.version.recipe
    return Card(
        name=entry.template.name,
        title=recipe.display_name,
        line=next(iter(recipe.description.strip().splitlines()), ""),
        icon=icon_of(recipe),
        tags=tags_of(recipe),
        ready="" if usual is None else _ready(usual),
    )


def _ready(usual: Usual) -> str:
    return f"usually ready in {seconds(usual.p50_s)} {_FROM[usual.started]}".rstrip()


def icon_of(recipe: Recipe) -> str:
    return icon_named(recipe.icon, "box")


def icon_named(path: str, default: str) -> str:
    """The symbol of the sprite. What a template names is looked up, never put into a page."""
    return _ICONS.get(PurePosixPath(path).stem, default)


def tags_of(recipe: Recipe) -> Sequence[str]:
    tags = ["for agents" if recipe.kind is Kind.AGENT else "for people", str(recipe.isolation)]
    if recipe.network != "open":
        tags.append(f"network {recipe.network}")
    if recipe.pool.max:
        tags.append("ready in a pool")
    return tags


def _matches(card: Card, q: str) -> bool:
    wanted = q.casefold().split()
    text = " ".join((card.name, card.title, card.line, *card.tags)).casefold()
    return all(word in text for word in wanted)
