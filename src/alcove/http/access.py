"""Who is calling, and what a route needs: `actor: Annotated[Actor, needs(Permission.X)]`.

Rule: every route declares one permission (or that it is open), which a generated test reads.
The declaration is the first check; the verb checks again with the owner of what is touched.
"""

import hmac
from dataclasses import replace
from typing import Any, Final, cast
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.requests import HTTPConnection

from alcove.core import identity
from alcove.core.app import Core
from alcove.http.context import context_of
from alcove.model.access import ANY, OWN, Actor, Permission
from alcove.model.errors import Denied, TooMany, Unauthenticated

COOKIE: Final = "alcove_session"
SECURE_COOKIE: Final = "__Host-alcove_session"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FAILURES_PER_MINUTE: Final = 120


def core_of(connection: HTTPConnection) -> Core:
    return cast("Core", connection.app.state.core)


class Need:
    """A dependency that answers the actor, if it may do this to anything at all."""

    def __init__(self, permission: Permission | None) -> None:
        self.permission = permission

    async def __call__(self, connection: HTTPConnection) -> Actor:
        actor = await caller(connection)
        if self.permission is not None and not _might(actor, self.permission):
            raise Denied(_why_not(actor, self.permission))
        return actor


def needs(permission: Permission) -> Any:
    """For `Annotated`: the caller, who may do this at least to what is their own."""
    return Depends(Need(permission), use_cache=False)


def needs_sign_in() -> Any:
    """For `Annotated`: the caller, whatever they may do."""
    return Depends(Need(None), use_cache=False)


async def caller(connection: HTTPConnection) -> Actor:
    """The actor behind the request's credential. Raises Unauthenticated, Denied, TooMany."""
    core = core_of(connection)
    context = context_of(connection.scope)
    try:
        actor = await _authenticated(core, connection)
    except Unauthenticated:
        # Guessing is slowed down by address; who has a good token is never held up by it.
        _slow_down(core, f"refused:{context.address}", FAILURES_PER_MINUTE)
        raise
    _slow_down(core, f"requests:{actor.id}", core.settings.request_rate_per_minute)
    context.actor = actor.name
    return replace(actor, address=context.address, request_id=context.request_id)


def cookie_name(*, secure: bool) -> str:
    """`__Host-` where browsers take it; they do not over plain HTTP, not even on loopback."""
    return SECURE_COOKIE if secure else COOKIE


def same_origin(connection: HTTPConnection) -> bool:
    """Whether a browser says that the request comes from our own pages.

    `Origin` is sent with every unsafe request; where it is missing `Sec-Fetch-Site` tells.
    """
    origin = connection.headers.get("origin")
    if origin is not None:
        host = connection.headers.get("host", "")
        own = {host.lower(), urlsplit(core_of(connection).settings.url).netloc.lower()}
        return origin != "null" and urlsplit(origin).netloc.lower() in own
    return connection.headers.get("sec-fetch-site") in {"same-origin", "none"}


async def _authenticated(core: Core, connection: HTTPConnection) -> Actor:
    header = connection.headers.get("authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        if not hmac.compare_digest(scheme.lower().encode(), b"bearer"):
            raise Unauthenticated("send `Authorization: Bearer TOKEN`")
        return await identity.authenticate_bearer(core, text.strip())
    secure = context_of(connection.scope).secure
    cookie = connection.cookies.get(cookie_name(secure=secure))
    if cookie is None:
        raise Unauthenticated("send `Authorization: Bearer TOKEN`, or sign in")
    actor = await identity.authenticate_session(core, cookie)
    unsafe = connection.scope["type"] == "websocket" or connection.scope["method"] not in _SAFE
    if unsafe and not same_origin(connection):
        raise Denied("this request comes from another site; with a cookie that is not allowed")
    return actor


def _slow_down(core: Core, key: str, per_minute: int) -> None:
    wait = core.gate.rates.take(key, per_minute=per_minute, burst=per_minute, now=core.clock())
    if wait:
        raise TooMany("too many requests; wait a little", retry_after_s=max(1, round(wait)))


def _might(actor: Actor, permission: Permission) -> bool:
    """Whether there can be anything at all that the actor may do this to."""
    if actor.scopes is not None and permission not in actor.scopes:
        return False
    return permission in OWN[actor.role] | ANY[actor.role]


def _why_not(actor: Actor, permission: Permission) -> str:
    if permission in OWN[actor.role] | ANY[actor.role]:
        return f"this token does not have the scope {permission}"
    return f"the role {actor.role} may not do this ({permission})"
