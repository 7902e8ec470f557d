"""The app factory: routes, errors, the document, and the edge around all of it."""

from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from alcove.api import (
    events,
    execs,
    files,
    logs,
    problem,
    schemas,
    server,
    sockets,
    templates,
    tokens,
    users,
    workspaces,
)
from alcove.api.edge import Edge
from alcove.api.metrics import Latency
from alcove.api.openapi import describe
from alcove.core.app import Core

ROUTERS: Final = (
    workspaces.routes,
    execs.routes,
    sockets.routes,
    files.routes,
    logs.routes,
    events.routes,
    templates.routes,
    users.routes,
    tokens.routes,
    server.routes,
    server.open_routes,
    schemas.routes,
)
"""One line for each resource."""


def create_app(core: Core) -> ASGIApp:
    """Everything that the server answers over HTTP."""
    inner = build(core)
    latency = Latency(core.metrics.registry)
    return Edge(inner, trusted_proxies=core.settings.trusted_proxies, latency=latency)


def build(core: Core) -> FastAPI:
    """The app without the edge; tests read its routes."""
    app = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, debug=False
    )
    app.state.core = core
    problem.install(app)
    for router in ROUTERS:
        app.include_router(router)
    document: dict[str, Any] = {}

    async def openapi(_request: object) -> JSONResponse:
        # Made when somebody first asks: it takes a while, and most servers are never asked.
        if not document:
            document.update(describe(app, version("alcove")))
        return JSONResponse(document)

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    return app
