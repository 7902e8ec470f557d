"""The outermost layer, as plain ASGI: request id, real address, access log, latency, headers.

One layer and not one for each, because every request pays for every layer. Nothing of a body,
a token or a query string is ever logged.
"""

import ipaddress
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alcove.http.context import Context, context_of, set_context
from alcove.http.latency import Latency
from alcove.http.problem import response_for

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SLASH: Final = re.compile(rb"%2[fF]")
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_log = structlog.get_logger("alcove.access")


class Edge:
    """Wraps the whole app; the only layer that every request goes through."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Sequence[str], latency: Latency) -> None:
        self._app = app
        self._trusted: list[Network] = [
            ipaddress.ip_network(proxy, strict=False) for proxy in trusted_proxies
        ]
        self._latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        _name_with_slash(scope)
        set_context(scope, self._context(scope))
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        began = time.perf_counter()
        status, ended = 0, False

        async def send_on(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), context)
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception as error:
            if status and not ended:
                # The answer has begun; cutting it is all that can still be said.
                _log.exception("cut", request_id=context.request_id)
                raise
            if not status:
                await response_for(error, HTTPConnection(scope))(scope, receive, send_on)
        finally:
            seconds = time.perf_counter() - began
            route = route_of(scope)
            self._latency.observe(scope["method"], route, status, seconds)
            if scope["path"] not in _QUIET:
                _log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    ms=round(seconds * 1000, 2),
                    actor=context.actor,
                    address=context.address,
                    request_id=context.request_id,
                )

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        began = time.perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            _log.info(
                "websocket",
                route=route_of(scope),
                ms=round((time.perf_counter() - began) * 1000, 2),
                actor=context.actor,
                address=context.address,
                request_id=context.request_id,
            )

    def _context(self, scope: Scope) -> Context:
        headers = Headers(scope=scope)
        client = scope.get("client")
        peer = str(client[0]) if client else ""
        secure = scope.get("scheme") in {"https", "wss"}
        request_id = ""
        address = peer
        if self._trusts(peer):
            address = self._forwarded_for(headers.getlist("x-forwarded-for")) or peer
            secure = headers.get("x-forwarded-proto", "") == "https" or secure
            request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(8)
        return Context(request_id=request_id, address=address, secure=secure)

    def _trusts(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)

    def _forwarded_for(self, values: Sequence[str]) -> str:
        """The last address that is not one of our proxies: what stands before it was written
        by the client and proves nothing."""
        hops = [hop.strip() for value in values for hop in value.split(",")]
        for hop in reversed(hops):
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                return ""
            if not self._trusts(hop):
                return hop
        return ""


def route_of(scope: Scope) -> str:
    """The route's pattern, so that logs and metrics hold no names and stay few."""
    route: Any = scope.get("route")
    return str(getattr(route, "path_format", "")) or "(none)"


def _name_with_slash(scope: Scope) -> None:
    """`owner%2Fname` is one segment of the path; the server in front decoded it to two."""
    raw: bytes = scope.get("raw_path") or b""
    if _SLASH.search(raw) and raw.startswith(b"/api/"):
        scope["path"] = unquote(_SLASH.sub(b":", raw).decode("latin-1"))


def _add_headers(headers: MutableHeaders, context: Context) -> None:
    if context.foreign:
        return
    headers["x-request-id"] = context.request_id
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("content-security-policy", _PAGE_POLICY if page else _API_POLICY)
    headers.setdefault("cache-control", "no-store")
    if context.secure:
        headers.setdefault("strict-transport-security", "max-age=31536000")
