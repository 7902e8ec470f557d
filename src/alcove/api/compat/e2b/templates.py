"""Templates as E2B's clients list them. They are made with `alcove template push`."""

from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.e2b import asking, shapes, snapshots
from alcove.core import templates
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.http.access import needs, needs_sign_in
from alcove.http.problem import HttpError
from alcove.model.access import Actor, Permission

routes = APIRouter(include_in_schema=False)
Reader: TypeAlias = Annotated[Actor, needs(Permission.TEMPLATE_READ)]
Writer: TypeAlias = Annotated[Actor, needs(Permission.SNAPSHOT_WRITE)]
Somebody: TypeAlias = Annotated[Actor, needs_sign_in()]
_BATCH: Final = 500
_NOT_OFFERED: Final = (
    "/templates/tags",
    "/v2/templates",
    "/v3/templates",
    "/volumes",
    "/secrets",
    "/teams",
)


@routes.get("/templates")
async def find(core: CoreOf, actor: Reader) -> Response:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await templates.find(core, actor, PageRequest(_BATCH, cursor))
        found += [shapes.template(entry.version, _called(core, entry)) for entry in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return JSONResponse(found)


@routes.get("/templates/aliases/{alias}")
async def by_alias(core: CoreOf, actor: Reader, alias: str) -> Response:
    start = asking.origin(alias, asking.aliases(core.settings.e2b_aliases))
    entry = await templates.get(core, actor, start.name)
    return JSONResponse({"templateID": entry.template.name, "public": True})


@routes.delete("/templates/{id:path}")
async def remove(core: CoreOf, actor: Writer, id: str) -> Response:
    """A snapshot. Templates are code, and are not removed by clients of this API."""
    return await snapshots.remove(core, actor, id)


@routes.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def nothing_here(actor: Somebody, rest: str) -> Response:
    path = f"/{rest}"
    if path.startswith(_NOT_OFFERED):
        said = f"Alcove does not offer {path[:100]} of E2B's API; see docs/agents/e2b.md"
        raise HttpError(501, said)
    raise HttpError(404, "there is nothing at this address")


def _called(core: Core, entry: templates.CatalogEntry) -> list[str]:
    pairs = asking.aliases(core.settings.e2b_aliases).items()
    return [name for name, template in pairs if template == entry.template.name]
