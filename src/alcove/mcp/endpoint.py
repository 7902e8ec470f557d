"""`/mcp` over streamable HTTP, without state: who calls, what they may send, and what they end.

The protocol's library is loaded with the first request that needs it, since most servers are
never asked and it is large. Each request has a task group of its own, which ends with it: a
client that goes away ends what it had started.
"""

import importlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import anyio
from fastapi import APIRouter
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from alcove.core.app import Core
from alcove.http.access import caller, core_of
from alcove.http.body import read_all
from alcove.http.problem import HttpError, response_for
from alcove.mcp.calls import CALLER, Caller, LinkUrl
from alcove.mcp.sessions import UnderWay, is_session, new_session
from alcove.model.access import Actor
from alcove.model.errors import AlcoveError, Denied, NotFound, Unauthenticated, Unavailable

PATH: Final = "/mcp"
BODY_MAX: Final = 8 << 20
SESSION: Final = "mcp-session-id"
_METHODS: Final = ("POST", "DELETE")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
Serve: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def routes(*, link_url: LinkUrl) -> APIRouter:
    """A router with the one address. Each has its own count of what runs."""
    router = APIRouter()
    router.add_route(PATH, cast("Any", Endpoint(link_url)), methods=None, include_in_schema=False)
    return router


class Endpoint:
    """The ASGI app behind the route."""

    path_format = PATH

    def __init__(self, link_url: LinkUrl) -> None:
        self._link_url = link_url
        self._under_way = UnderWay()
        self._serve: Serve | None = None
        self._loading = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        request = Request(scope, receive)
        try:
            core = core_of(request)
            actor = await _admitted(request, core)
            match request.method:
                case "POST":
                    await self._post(core, actor, request, send)
                case "DELETE":
                    session = _session(core, actor, request)
                    self._under_way.cancel_all(session or "")
                    await Response(status_code=204)(scope, receive, send)
                case _:
                    await response_for(_not_that_method(), request)(scope, receive, send)
        except (AlcoveError, HttpError) as error:
            await response_for(error, request)(scope, receive, send)

    async def _post(self, core: Core, actor: Actor, request: Request, send: Send) -> None:
        session = _session(core, actor, request)
        raw = await read_all(request, size_max=BODY_MAX)
        method, params = _message(raw)
        scope, receive = request.scope, request.receive
        if method == "notifications/cancelled" and session is not None:
            self._under_way.cancel(session, params.get("requestId"))
            await Response(status_code=202)(scope, receive, send)
            return
        serve = await self._loaded()
        scope[CALLER] = Caller(core, actor, self._link_url, session, self._under_way)
        if method == "initialize":
            send = _with_session(send, new_session(core, actor))
        await serve(scope, _replayed(raw, receive), send)

    async def _loaded(self) -> Serve:
        if self._serve is not None:
            return self._serve
        async with self._loading:
            try:
                name = "alcove.mcp.serving"
                module = await anyio.to_thread.run_sync(importlib.import_module, name)
            except (ImportError, OSError) as error:
                # As when the rights to read the code were dropped meanwhile.
                raise Unavailable(f"MCP cannot be loaded here: {error}") from error
            if self._serve is None:
                self._serve = cast("Serve", module.build())
        return self._serve


def _not_that_method() -> HttpError:
    said = "this server tells nothing by itself; send each message by POST"
    return HttpError(405, said, {"allow": ", ".join(_METHODS)})


async def _admitted(request: Request, core: Core) -> Actor:
    """Raises Denied for another site's page, Unauthenticated without a good token."""
    origin = request.headers.get("origin")
    if origin is not None and not _is_own(origin, core.settings.url):
        raise Denied("this request comes from another site's page; MCP clients send no Origin")
    if "authorization" not in request.headers:
        raise Unauthenticated("send `Authorization: Bearer TOKEN`")
    return await caller(request)


def _is_own(origin: str, url: str) -> bool:
    """By the configured address and not by `Host`, which a page that rebinds its name chooses."""
    try:
        said, own = urlsplit(origin), urlsplit(url)
        same_port = (said.port, said.scheme) == (own.port, own.scheme)
    except ValueError:
        return False
    both_here = said.hostname in _LOOPBACK and own.hostname in _LOOPBACK
    return same_port and (said.hostname == own.hostname or both_here)


def _session(core: Core, actor: Actor, request: Request) -> str | None:
    """Raises NotFound for a session that was not given to this credential."""
    id = request.headers.get(SESSION)
    if id is not None and not is_session(core, actor, id):
        raise NotFound("there is no such session; begin with initialize and without its header")
    return id


def _message(raw: bytes) -> tuple[str, Mapping[str, Any]]:
    """The method and its parameters; empty for what the library is to refuse."""
    try:
        said: Any = json.loads(raw)
        params: Any = said.get("params") or {}
        return str(said.get("method", "")), dict(params)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return "", {}


def _replayed(raw: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _with_session(send: Send, session: str) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(scope=message)[SESSION] = session
        await send(message)

    return send_on
