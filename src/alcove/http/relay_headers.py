"""Which headers go on to an app inside a workspace, and which come back. Pure.

An app is anybody's program. It must not see what belongs to Alcove (our cookies, tokens and
routing headers), must not be told a made-up origin of a request, and must not say anything to a
browser that holds for more than the app's own address.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from starlette.types import Scope

from alcove.http.access import COOKIE, SECURE_COOKIE
from alcove.http.context import context_of

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]
APP_COOKIE: Final = "alcove_app"
"""What lets a browser into one private app; with `__Host-` where browsers take that."""
HANDSHAKE_COOKIE: Final = "alcove_enter"
OUR_COOKIES: Final = frozenset(
    {
        COOKIE,
        SECURE_COOKIE,
        *(
            f"{prefix}{name}"
            for prefix in ("", "__Host-")
            for name in (APP_COOKIE, HANDSHAKE_COOKIE)
        ),
    }
)
HEADERS_MAX: Final = 100
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REPLACED: Final = frozenset(
    {
        b"host",
        b"expect",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-real-ip",
    }
)
_OURS: Final = (b"x-alcove-", b"e2b-", b"x-daytona-")
_HANDSHAKE: Final = b"sec-websocket-"
_REACHES_FURTHER: Final = frozenset(
    {
        b"alt-svc",
        b"clear-site-data",
        b"expect-ct",
        b"nel",
        b"public-key-pins",
        b"report-to",
        b"reporting-endpoints",
    }
)
"""Answers that a browser applies to the whole origin, or to others."""
_SECRET: Final = re.compile(rb"al[csl]_[a-z2-7]{16}_[0-9A-Za-z]{43}")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]")


@dataclass(frozen=True, slots=True)
class Inward:
    """What the caller of the relay decides about the headers that go in."""

    host: bytes
    """The `Host` that the app sees."""
    strip: frozenset[bytes] = frozenset()
    """Further names that stay outside, in lower case."""
    prefix: str = ""
    """The part of the path that the app does not see."""
    cookies: bool = True
    """Whether the browser's other cookies are the app's."""


def inward(scope: Scope, told: Inward) -> RawHeaders:
    """The headers for the app. Our own secrets are taken out wherever they stand."""
    headers: RawHeaders = scope["headers"]
    named = _named_by_connection(headers)
    kept: list[tuple[bytes, bytes]] = [(b"host", told.host)]
    for name, value in headers:
        name = name.lower()
        if name in _HOP_BY_HOP | _REPLACED | named | told.strip or name == b"content-length":
            continue
        if name == b"cookie":
            value = cookies_without(value, OUR_COOKIES) if told.cookies else b""
        elif name.startswith((*_OURS, _HANDSHAKE)) or _SECRET.search(value):
            continue
        if name == b"cookie" and not value:
            continue
        kept.append((name, _BAD_VALUE.sub(b" ", value)))
    return (*kept, *_forwarded(scope, told))


def outward(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    set_cookies: bool = True,
    drop: Collection[bytes] = (),
    more: Mapping[str, str] | None = None,
) -> list[tuple[bytes, bytes]]:
    """The headers for the client: at most `HEADERS_MAX`, no hop-by-hop ones, none that say
    something about more than this address; a cookie is for this host alone, and never ours."""
    headers = list(headers)
    named = _named_by_connection(headers)
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers[:HEADERS_MAX]:
        name = name.lower()
        if name in _HOP_BY_HOP | _REACHES_FURTHER | named or name in drop:
            continue
        if name == b"set-cookie":
            bounded = host_only(value) if set_cookies else None
            if bounded is None:
                continue
            value = bounded
        kept.append((name, value))
    for name, value in (more or {}).items():
        kept.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    return kept


def cookies_without(value: bytes, names: Collection[str]) -> bytes:
    """A `Cookie` header without these cookies, and without any of our secrets."""
    kept = [
        pair.strip()
        for pair in value.split(b";")
        if pair.partition(b"=")[0].strip().decode("latin-1") not in names
        and not _SECRET.search(pair)
    ]
    return b"; ".join(pair for pair in kept if pair)


def host_only(value: bytes) -> bytes | None:
    """A `Set-Cookie` without its domain, so that no other app and not Alcove gets the cookie;
    None for one of our names. Browsers do not tell `__Host-` and its other spellings apart."""
    name = value.partition(b"=")[0].strip().decode("latin-1").lower()
    if name in {cookie.lower() for cookie in OUR_COOKIES}:
        return None
    parts = value.split(b";")
    kept = [part for part in parts[1:] if part.partition(b"=")[0].strip().lower() != b"domain"]
    return b";".join([parts[0], *kept])


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    return frozenset(
        word.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for word in value.split(b",")
    )


def _forwarded(scope: Scope, told: Inward) -> RawHeaders:
    context = context_of(scope)
    asked = next((v for n, v in scope["headers"] if n.lower() == b"host"), b"")
    said = [
        (b"x-forwarded-proto", b"https" if context.secure else b"http"),
        (b"x-forwarded-host", _BAD_VALUE.sub(b"", asked)),
    ]
    if context.address:
        said.append((b"x-forwarded-for", context.address.encode("latin-1", "replace")))
    if told.prefix:
        said.append((b"x-forwarded-prefix", told.prefix.encode("latin-1", "replace")))
    return said
