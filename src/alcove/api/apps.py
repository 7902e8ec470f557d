"""Apps: what listens inside a workspace, for browsers and programs.

By host (`8000--api--ada.<apps_domain>`, or `code--api--ada` for an app of the template's) an app
has an origin of its own, and browsers keep it apart from Alcove and from other apps. By path
(`/apps/<signed token>/…`) it shares ours: it is put into a sandbox there, without cookies. No
host below the domain ever reaches the API.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import anyio
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from alcove.api import apps_entry
from alcove.api.apps_requests import (
    PREFLIGHT,
    header,
    is_navigation,
    is_preflight,
    on_our_origin,
    raw_path,
    refuse_other_sites,
    refuse_our_pages,
    within,
    without_link,
)
from alcove.core import apps, identity, ports
from alcove.core.app import Core
from alcove.core.ports import Link
from alcove.core.proofs import SecretKind, parse
from alcove.core.waking import awake
from alcove.http.addresses import PATHS, label_below
from alcove.http.context import context_of
from alcove.http.problem import HttpError, refuse_socket, response_for
from alcove.http.relay import Outward, relay
from alcove.http.relay_headers import Inward, inward, outward
from alcove.model.access import SYSTEM, Actor
from alcove.model.errors import (
    AlcoveError,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from alcove.model.port import AppName, read_app_label
from alcove.model.workspace import Desired, Workspace, WorkspaceId
from alcove.store import workspaces

Allowed = Callable[[], Awaitable[bool]]
TOKEN_HEADER: Final = b"x-alcove-token"
"""For programs whose app wants `Authorization` for itself."""
RECHECK_S: Final = 2.0
"""How soon a connection ends after the right to it did."""
CLOSING_S: Final = 0.25
REFUSED_PER_MINUTE: Final = 120


async def serve_port(
    core: Core,
    workspace: Workspace,
    port: int,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    path: str,
    strip_headers: Collection[str] = (),
    host: str | None = None,
    prefix: str = "",
    cookies: bool = True,
    shape: Outward = outward,
    actor: Actor | None = None,
    allowed: Allowed | None = None,
) -> None:
    """Pass the request on to what listens on this port, as `path` (raw, with its query).

    The caller has decided that it may be. `strip_headers`: names that carry the caller's secrets;
    ours are taken out anyway. `host`: what the app takes for its own name. `allowed` is asked
    every few seconds, and the connection ends when it says no. Wakes a paused workspace, as
    `actor`. Raises what `ports.open`, `awake` and `relay` do.
    """
    workspace = await awake(core, actor or SYSTEM, workspace)
    await apps.first_use(core, workspace, port)
    told = Inward(
        host=(host or f"localhost:{port}").encode("latin-1", "replace"),
        strip=frozenset(name.lower().encode() for name in strip_headers) | {TOKEN_HEADER},
        prefix=prefix,
        cookies=cookies,
    )

    async def marked(message: dict[str, object]) -> None:
        # From here on the answer is the app's, and its headers are its own.
        context_of(scope).foreign = True
        await send(message)  # pyright: ignore[reportArgumentType]

    async def pass_on() -> None:
        async with ports.open(core, workspace, port) as stream:
            headers = inward(scope, told)
            await relay(
                stream,
                scope,
                receive,
                marked,  # pyright: ignore[reportArgumentType]
                path=path,
                headers=headers,
                shape=shape,
            )

    await _while(pass_on, core, allowed)


@dataclass(frozen=True, slots=True)
class _Way:
    """How somebody may get in."""

    actor: Actor | None
    by: str
    allowed: Allowed


class Apps:
    """Takes the requests that are for apps, and hands on all others."""

    def __init__(self, inner: ASGIApp, core: Core) -> None:
        self._inner = inner
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._inner(scope, receive, send)
            return
        host = header(scope, b"host")
        label = label_below(host, self._core.settings.apps_host)
        try:
            if label is not None:
                await self._by_host(label, host, scope, receive, send)
            elif scope["path"] == apps_entry.ENTER:
                answer = await apps_entry.enter(self._core, HTTPConnection(scope))
                await answer(scope, receive, send)
            elif scope["path"].startswith(PATHS):
                await self._by_path(scope, receive, send)
            else:
                await self._inner(scope, receive, send)
        except (AlcoveError, HttpError) as error:
            await _refuse(error, scope, receive, send)

    async def _by_host(
        self, label: str, host: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        core = self._core
        name = read_app_label(label)
        if name is None:
            raise NotFound("there is no app under this name; see `alcove port list`")
        if scope["path"] == apps_entry.ARRIVE:
            answer = await apps_entry.arrive(core, scope, label)
            await answer(scope, receive, send)
            return
        path, linked = without_link(raw_path(scope))
        workspace, port = await find(core, name)
        if linked is not None and is_navigation(scope):
            link, _ = await self._link(linked, workspace, port, path)
            there = apps_entry.with_link(core, scope, link, path)
            await there(scope, receive, send)
            return
        way = await self._way(scope, workspace, port, path, linked)
        if way is None or workspace is None:
            if way is None and is_navigation(scope):
                answer = apps_entry.begin(core, scope, label, path)
                await answer(scope, receive, send)
                return
            raise _closed(core, scope, way)
        context = context_of(scope)
        address = context.address
        await ports.opened(core, way.actor, workspace, port, address=address, by=way.by)
        await serve_port(
            core,
            workspace,
            port,
            scope,
            receive,
            send,
            path=path,
            host=host,
            actor=way.actor,
            allowed=way.allowed,
        )

    async def _way(
        self, scope: Scope, workspace: Workspace | None, port: int, path: str, linked: str | None
    ) -> _Way | None:
        """How the caller gets in; None for nobody we know. Raises NotFound for somebody whom
        this is no business of, and Denied for a page of another site."""
        core = self._core
        if linked is not None:
            link, _ = await self._link(linked, workspace, port, path)
            return self._by_link(link)
        actor, by = await _bearer(core, scope), "token"
        if actor is None:
            passed = await apps_entry.passed(core, scope, workspace, port)
            if isinstance(passed, Link):
                await self._link(passed.token, workspace, port, path)
                refuse_other_sites(core, scope, workspace)
                return self._by_link(passed)
            actor, by = passed, "browser"
        if workspace is not None and await ports.may_open(core, actor, workspace, port):
            if by == "browser" and not await ports.may_open(core, None, workspace, port):
                refuse_other_sites(core, scope, workspace)
            return _Way(actor, by if actor else "public", self._still(actor, workspace, port))
        if actor is not None:
            raise NotFound("there is no such app, or it is not yours to see")
        return None

    async def _link(
        self, token: str, workspace: Workspace | None, port: int, path: str
    ) -> tuple[Link, Workspace]:
        link, found = await ports.check(self._core, token)
        if workspace is None or found.id != workspace.id or link.port != port:
            raise NotFound("this link is for another app")
        return within(link, path), found

    def _by_link(self, link: Link) -> _Way:
        async def still() -> bool:
            try:
                await ports.check(self._core, link.token)
            except NotFound:
                return False
            return True

        return _Way(None, "link", still)

    def _still(self, actor: Actor | None, workspace: Workspace, port: int) -> Allowed:
        async def still() -> bool:
            now = actor
            if actor is not None:
                try:
                    now = await identity.recheck(self._core, actor)
                except Unauthenticated:
                    now = None
            return await ports.may_open(self._core, now, workspace, port)

        return still

    async def _by_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`/apps/<token>/…`, on our own origin."""
        core = self._core
        raw = raw_path(scope)
        token, slash, rest = raw[len(PATHS) :].partition("/")
        if not slash:
            where, question, query = token.partition("?")
            answer = RedirectResponse(f"{PATHS}{quote(where)}/{question}{query}", 307)
            await answer(scope, receive, send)
            return
        link, workspace = await ports.check(core, token)
        within(link, f"/{rest}")
        refuse_our_pages(scope)
        if is_preflight(scope):
            await PREFLIGHT(scope, receive, send)
            return
        prefix = f"{PATHS}{token}"
        way = self._by_link(link)
        address = context_of(scope).address
        await ports.opened(core, None, workspace, link.port, address=address, by="link")
        await serve_port(
            core,
            workspace,
            link.port,
            scope,
            receive,
            send,
            path=f"/{rest}",
            prefix=prefix,
            cookies=False,
            shape=lambda headers: on_our_origin(headers, prefix=prefix),
            allowed=way.allowed,
        )


async def find(core: Core, name: AppName) -> tuple[Workspace | None, int]:
    """The workspace and the port that a host name means; None and 0 when either is not there
    (any more): nobody is told which."""
    owner, slash, own_name = name.ref.rpartition("/")
    async with core.db.read() as tx:
        if slash:
            found = await workspaces.by_owner_name(tx, owner_name=owner, name=own_name)
        else:
            found = await workspaces.get(tx, WorkspaceId(name.ref))
    port = None if found is None else name.port(found)
    if found is None or port is None or found.desired is Desired.DELETED:
        return None, 0
    return found, port


async def _while(act: Callable[[], Awaitable[None]], core: Core, allowed: Allowed | None) -> None:
    """Until it is done, no longer allowed, or the server is about to end."""
    failed: list[Exception] = []

    async def watch() -> None:
        waited = 0.0
        while True:
            await anyio.sleep(CLOSING_S)
            waited += CLOSING_S
            if core.gate.closing:
                break
            if allowed is not None and waited >= RECHECK_S:
                waited = 0.0
                try:
                    if not await allowed():
                        break
                except Unavailable:
                    continue
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            await act()
        except Exception as error:
            failed.append(error)
        tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]


async def _bearer(core: Core, scope: Scope) -> Actor | None:
    """The actor behind a token of ours. What is not ours is the app's own business."""
    given = header(scope, TOKEN_HEADER)
    if not given:
        scheme, _, text = header(scope, b"authorization").partition(" ")
        given = text.strip() if scheme.lower() == "bearer" else ""
    if parse(given, SecretKind.TOKEN) is None:
        return None
    try:
        return await identity.authenticate_bearer(core, given)
    except Unauthenticated:
        _slow_down(core, scope)
        raise


def _closed(core: Core, scope: Scope, way: _Way | None) -> AlcoveError:
    _slow_down(core, scope)
    return Unauthenticated(
        "this app is private: send `Authorization: Bearer TOKEN` or `X-Alcove-Token: TOKEN`, "
        "use a signed link, or open it in a browser that is signed in"
    )


def _slow_down(core: Core, scope: Scope) -> None:
    key = f"refused:{context_of(scope).address}"
    limit = REFUSED_PER_MINUTE
    if wait := core.gate.rates.take(key, per_minute=limit, burst=limit, now=core.clock()):
        raise TooMany("too many requests; wait a little", retry_after_s=max(1, round(wait)))


async def _refuse(
    error: AlcoveError | HttpError, scope: Scope, receive: Receive, send: Send
) -> None:
    if context_of(scope).foreign:
        # The app's answer has begun: cutting it is all that can still be said.
        return
    if scope["type"] == "websocket":
        await refuse_socket(WebSocket(scope, receive, send), error)
        return
    await response_for(error, HTTPConnection(scope))(scope, receive, send)
