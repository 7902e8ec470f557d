"""`/e2b`: the control API, and the way into sandboxes, on one address; and by names of hosts."""

from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from alcove.api.compat.e2b import errors, ports, relaying, sandboxes, snapshots, templates
from alcove.api.compat.e2b.errors import response_for
from alcove.api.compat.e2b.routing import API, Api, Target, at_root, by_host, by_request
from alcove.core.app import Core
from alcove.drivers.base import AGENT_PORT
from alcove.http.problem import HttpError

PREFIX: Final = "/e2b"
ROUTERS: Final = (sandboxes.routes, snapshots.routes, templates.routes)
"""The last one answers all that is left."""


class E2b:
    """The whole of it as one ASGI application. Mount it at `PREFIX`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._api = _control(core)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _below(scope)
        await self._serve(by_request(_headers(scope), path), scope, receive, send)

    def by_host(self, inner: ASGIApp) -> ASGIApp:
        """What hosts of sandboxes and signed URLs are for, and `inner` for all else."""
        domain = self._core.settings.sandbox_domain

        async def routed(scope: Scope, receive: Receive, send: Send) -> None:
            host = _headers(scope).get("host", "") if "headers" in scope else ""
            found = by_host(host, domain, scope["path"]) if host else None
            if found is None and scope["type"] == "http":
                found = at_root(scope["path"], scope["query_string"].decode("latin-1"))
            if found is None:
                await inner(scope, receive, send)
            else:
                await self._serve(found, scope, receive, send)

        return routed

    async def _serve(
        self, found: Target | Api | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if isinstance(found, Target):
            scope["route"] = _SANDBOX if found.port == AGENT_PORT else _PORT
        if found is API and scope["type"] == "http":
            try:
                await self._api(_with_bearer(scope), receive, send)
            finally:
                scope["route"] = _Named(PREFIX + getattr(scope.get("route"), "path_format", ""))
        elif not isinstance(found, Target):
            if scope["type"] == "http":
                error = HttpError(404, "there is nothing at this address")
                await response_for(error, scope)(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
        elif found.port != AGENT_PORT:
            await ports.serve(self._core, found, scope, receive, send)
        elif scope["type"] == "http":
            await relaying.serve(self._core, found, scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


class _Named(BaseRoute):
    """What the access log and the metrics call a request that no route of a router took."""

    def __init__(self, path_format: str) -> None:
        self.path_format = path_format


_SANDBOX: Final = _Named("/e2b/(sandbox)")
_PORT: Final = _Named("/e2b/(port)")


def _control(core: Core) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.core = core
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def _with_bearer(scope: Scope) -> Scope:
    """`X-API-KEY` is a token of ours. A browser's session does not count here."""
    headers = [(k, v) for k, v in scope["headers"] if k != b"cookie"]
    key = next((v for k, v in headers if k == b"x-api-key"), None)
    if key is not None:
        headers = [(k, v) for k, v in headers if k != b"authorization"]
        headers.append((b"authorization", b"Bearer " + key))
    scope["headers"] = headers
    return scope


def _below(scope: Scope) -> str:
    """The path below where this is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return (path[len(root) :] if root and path.startswith(root) else path) or "/"


def _headers(scope: Scope) -> Headers:
    return Headers(scope=scope)
