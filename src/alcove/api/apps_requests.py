"""What a request to an app says of itself, and what an app may say where it shares our origin.

Pure but for what they raise: who may open the app is decided elsewhere.
"""

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from starlette.responses import Response
from starlette.types import Scope

from alcove.core.app import Core
from alcove.core.ports import Link
from alcove.http.addresses import LINK_QUERY, label_below
from alcove.http.problem import HttpError
from alcove.http.relay_headers import RawHeaders, outward
from alcove.model.errors import Denied, NotFound
from alcove.model.port import read_app_label
from alcove.model.workspace import Workspace

SANDBOX: Final = "sandbox allow-scripts allow-forms allow-popups"
_ON_OUR_ORIGIN: Final = {
    "content-security-policy": SANDBOX,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
}
_NOT_ON_OUR_ORIGIN: Final = (
    b"service-worker-allowed",
    b"strict-transport-security",
    b"referrer-policy",
    b"x-content-type-options",
)
_TARGET: Final = re.compile(r"/[!-~]*")


def on_our_origin(headers: RawHeaders, *, prefix: str) -> RawHeaders:
    """What an app may say where it shares our origin: in a sandbox, without cookies, and with
    its own redirects kept below its prefix. Whoever has the token may read, from anywhere."""
    kept = outward(headers, set_cookies=False, drop=_NOT_ON_OUR_ORIGIN, more=dict(_ON_OUR_ORIGIN))
    if not any(name == b"access-control-allow-origin" for name, _ in kept):
        kept.append((b"access-control-allow-origin", b"*"))
    return [(n, _below(v, prefix) if n == b"location" else v) for n, v in kept]


def within(link: Link, path: str) -> Link:
    """Raises NotFound unless the link opens this path, however it may be read inside."""
    if link.path_prefix != "/":
        plain = unquote(path.partition("?")[0])
        steps = re.split(r"[/\\]", unquote(plain))
        if not plain.startswith(link.path_prefix) or ".." in steps or "." in steps:
            raise NotFound(f"this link opens only what begins with {link.path_prefix}")
    return link


def refuse_other_sites(core: Core, scope: Scope, workspace: Workspace | None) -> None:
    """A cookie is sent with what other pages ask for too. They may lead here, and no more; the
    other apps of the same workspace may do more if they say who they are."""
    origin = header(scope, b"origin")
    own = header(scope, b"host").lower()
    if origin:
        host = origin.partition("://")[2].lower()
        if host == own or _is_sibling(core, host, own, workspace):
            return
        raise Denied("this request comes from a page of another site")
    site = header(scope, b"sec-fetch-site")
    if site in {"", "same-origin", "none"} and scope["type"] == "http":
        return
    if not site and scope["type"] == "websocket":
        return
    if is_navigation(scope) and header(scope, b"sec-fetch-dest") in {"", "document"}:
        return
    raise Denied("this request comes from a page of another site")


def _is_sibling(core: Core, host: str, own: str, workspace: Workspace | None) -> bool:
    """Names are compared with ids left out: the label behind the port is what names it."""
    label = label_below(host, core.settings.apps_host)
    other = None if label is None else read_app_label(label)
    mine = read_app_label(label_below(own, core.settings.apps_host) or "")
    if other is None or mine is None or workspace is None:
        return False
    return other.ref in {mine.ref, workspace.id}


def refuse_our_pages(scope: Scope) -> None:
    """What an app sends must not become part of one of our own pages, nor a service worker."""
    ours = header(scope, b"sec-fetch-site") == "same-origin"
    if header(scope, b"service-worker") or (ours and not is_navigation(scope)):
        raise Denied("apps are not for Alcove's own pages")


def is_navigation(scope: Scope) -> bool:
    """Whether somebody looks at this address in a browser."""
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    mode = header(scope, b"sec-fetch-mode")
    return mode == "navigate" if mode else "text/html" in header(scope, b"accept")


def is_preflight(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    return bool(header(scope, b"access-control-request-method"))


PREFLIGHT: Final = Response(
    status_code=204,
    headers={
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "*",
        "access-control-allow-headers": "*",
        "access-control-max-age": "600",
    },
)


def without_link(path: str) -> tuple[str, str | None]:
    """The path and query without the link's token, and the token."""
    where, question, query = path.partition("?")
    if LINK_QUERY not in query:
        return path, None
    pairs = parse_qsl(query, keep_blank_values=True)
    token = next((value for name, value in pairs if name == LINK_QUERY), None)
    kept = urlencode([pair for pair in pairs if pair[0] != LINK_QUERY])
    return where + (question + kept if kept else ""), token


def _below(location: bytes, prefix: str) -> bytes:
    if location.startswith(b"/") and not location.startswith((b"//", b"/\\")):
        return prefix.encode() + location
    return location


def raw_path(scope: Scope) -> str:
    """As it was asked for, with its query. Raises HttpError(400) for what cannot be passed on."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope.get("query_string") or b""
    path = (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")
    if not _TARGET.fullmatch(path):
        raise HttpError(400, "the address cannot be passed on")
    return path


def header(scope: Scope, wanted: bytes) -> str:
    found: list[bytes] = [value for name, value in scope["headers"] if name.lower() == wanted]
    return found[0].decode("latin-1") if found else ""
