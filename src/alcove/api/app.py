"""The app factory: routes, errors, the document, and the edge around all of it."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final, cast

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from alcove.api import (
    devices,
    events,
    exec_outputs,
    execs,
    files,
    live_sessions,
    logs,
    pools,
    ports,
    processes,
    recordings,
    schemas,
    server,
    snapshots,
    sockets,
    ssh_keys,
    templates,
    terminals,
    tokens,
    users,
    workspace_apps,
    workspaces,
)
from alcove.api.apps import Apps
from alcove.api.compat import daytona
from alcove.api.compat.e2b import PREFIX, E2b
from alcove.api.openapi import describe
from alcove.core.app import Core
from alcove.http import problem
from alcove.http.edge import Edge
from alcove.http.latency import Latency

ROUTERS: Final = (
    workspaces.routes,
    execs.routes,
    sockets.routes,
    terminals.routes,
    processes.routes,
    files.routes,
    ports.routes,
    workspace_apps.routes,
    snapshots.routes,
    live_sessions.routes,
    recordings.routes,
    exec_outputs.routes,
    logs.routes,
    events.routes,
    templates.routes,
    pools.routes,
    users.routes,
    tokens.routes,
    ssh_keys.routes,
    devices.routes,
    server.routes,
    server.open_routes,
    schemas.routes,
)
"""One line for each resource."""


def create_app(core: Core, *, pages: Sequence[APIRouter] = ()) -> ASGIApp:
    """Everything that the server answers over HTTP: the API, and beside it these pages."""
    sandboxes = E2b(core)
    inner = build(core, pages=pages)
    inner.mount(PREFIX, sandboxes)
    latency = Latency(core.metrics.registry)
    return Edge(
        Apps(sandboxes.by_host(inner), core),
        trusted_proxies=core.settings.trusted_proxies,
        latency=latency,
    )


def build(core: Core, *, pages: Sequence[APIRouter] = ()) -> FastAPI:
    """The app without the edge; tests read its routes."""
    app = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, debug=False
    )
    app.state.core = core
    app.state.pages = tuple(pages)
    problem.install(app)
    app.add_exception_handler(405, cast("Any", _not_that_method))
    for router in (*ROUTERS, *daytona.ROUTERS, *pages):
        app.include_router(router)
    document: dict[str, Any] = {}

    async def openapi(_request: object) -> JSONResponse:
        # Made when somebody first asks: it takes a while, and most servers are never asked.
        if not document:
            document.update(describe(app, ROUTERS, version("alcove")))
        return JSONResponse(document)

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    return app


async def _not_that_method(request: Request, _error: Exception) -> Response:
    """Each method is a route of its own, so that the router knows only the first one's."""
    path = request.scope["path"]
    methods = {
        method
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.fullmatch(path)
        for method in route.methods or ()
    }
    error = problem.HttpError(
        405,
        "this address does not take this method; see the header Allow",
        {"allow": ", ".join(sorted(methods))},
    )
    return problem.response_for(error, request)
