"""`/snapshots`: what sandboxes are made from, our templates and the caller's own snapshots; and
`/config`, which clients read first."""

from importlib.metadata import version
from typing import Annotated, Any, TypeAlias

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona import shapes
from alcove.api.compat.daytona.creating import unsupported
from alcove.api.compat.daytona.routing import API, base_url, json, router
from alcove.core import snapshots, templates
from alcove.core.pages import PAGE_MAX, PageRequest
from alcove.http.access import needs
from alcove.model.access import Actor, Permission
from alcove.model.errors import NotFound

routes = router(API)
Reader: TypeAlias = Annotated[Actor, needs(Permission.SNAPSHOT_READ)]
PAGES_MAX = 20


@routes.get("/config")
async def config(request: Request, core: CoreOf) -> Response:
    """Open: it tells nothing but addresses."""
    base = base_url(request)
    return json(
        {
            "version": version("alcove"),
            "oidc": {"issuer": "", "clientId": "", "audience": ""},
            "linkedAccountsEnabled": False,
            "announcements": {},
            "proxyTemplateUrl": "",
            "proxyToolboxUrl": f"{base}/daytona/toolbox",
            "defaultSnapshot": core.settings.daytona_snapshot,
            "dashboardUrl": base,
            "maxAutoArchiveInterval": 0,
            "maintanceMode": False,
            "maintananceMode": False,
            "environment": "alcove",
        }
    )


@routes.get("/snapshots")
async def find(
    core: CoreOf,
    actor: Reader,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    name: Annotated[str | None, Query(max_length=128)] = None,
    source: Annotated[str | None, Query(alias="sourceSandboxId", max_length=128)] = None,
) -> Response:
    """Own snapshots first, newest first, then the templates."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        part = await snapshots.find(core, actor, PageRequest(PAGE_MAX, cursor), workspace=source)
        found += [shapes.kept(core, one) for one in part.items]
        if (cursor := part.next_cursor) is None:
            break
    if source is None and actor.workspace is None:
        entries = await templates.find(core, actor, PageRequest(PAGE_MAX, None))
        found += [shapes.template(core, one.version) for one in entries.items]
    found = [one for one in found if name is None or name in one["name"]]
    here = found[(page - 1) * limit : page * limit]
    pages = max(1, -(-len(found) // limit))
    return json({"items": here, "total": len(found), "page": page, "totalPages": pages})


@routes.get("/snapshots/{name}")
async def get(core: CoreOf, actor: Reader, name: str) -> Response:
    try:
        return json(shapes.kept(core, await snapshots.get(core, actor, name)))
    except NotFound:
        entry = await templates.get(core, actor, name)
        return json(shapes.template(core, entry.version))


@routes.delete("/snapshots/{name}")
async def delete(
    core: CoreOf, actor: Annotated[Actor, needs(Permission.SNAPSHOT_WRITE)], name: str
) -> Response:
    await snapshots.delete(core, actor, name)
    return Response(status_code=200)


@routes.post("/snapshots")
async def create(
    core: CoreOf, actor: Annotated[Actor, needs(Permission.SNAPSHOT_WRITE)]
) -> Response:
    raise unsupported(
        "imageName", "images are not built on request; push a template, or snapshot a sandbox"
    )


@routes.post("/snapshots/{name}/activate")
async def activate(core: CoreOf, actor: Reader, name: str) -> Response:
    """All that are there can be used."""
    return await get(core, actor, name)
