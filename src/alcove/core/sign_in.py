"""Signing in: by password or by a one-time link; and out again.

Rule: an unknown name, a wrong password and a disabled user get the same words after the same
time; a link is used up by the POST that follows a click, never by a GET, so that whoever merely
looks at it (a mail scanner, a preview) does not burn it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alcove.core import users as people
from alcove.core.identity import event, record
from alcove.core.passwords import matches
from alcove.core.proofs import Secret, SecretKind, new_secret, parse
from alcove.model.access import Actor, Permission, Role, allows
from alcove.model.errors import Denied, TooMany, Unauthenticated
from alcove.model.event import EventKind, NewEvent
from alcove.model.identity import Session, User
from alcove.store import events, sessions, users

if TYPE_CHECKING:
    from alcove.core.app import Core

SESSION_LIFE: Final = timedelta(hours=12)
LINK_LIFE: Final = timedelta(minutes=10)
ACCOUNT_SHARE: Final = 3
"""An account takes three times the tries of an address: less would let one stranger keep
somebody out."""
_REFUSED: Final = "the name or the password is wrong"
_LINK_REFUSED: Final = (
    "the link was used already or is older than ten minutes; "
    "`alcove login-link` on the server's machine makes another"
)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`secret` is the cookie's value."""

    user: User
    session: Session
    secret: Secret


async def by_password(
    core: "Core", *, name: str, password: str, address: str, request_id: str = ""
) -> SignedIn:
    """Raises Unauthenticated, or TooMany before any hashing."""
    _slow_down(core, f"sign-in:{address}", share=1)
    _slow_down(core, f"sign-in-as:{name[:64]}", share=ACCOUNT_SHARE)
    async with core.db.read() as tx:
        user = await users.by_name(tx, name)
        hash = None if user is None else await users.password_hash(tx, user.id)
    right = await matches(core.gate, password, hash)
    if user is None or not right or user.disabled or user.service:
        await _refused(core, name=name, user=user, address=address, request_id=request_id)
        raise Unauthenticated(_REFUSED)
    return await _open(core, user, address=address, request_id=request_id, how="password")


async def new_link(core: "Core", actor: Actor | None, ref: str) -> tuple[Secret, datetime]:
    """A link for this user; `actor` None is root on the server's machine, over its socket."""
    async with core.db.read() as tx:
        user = await people.find_one(tx, ref)
    if actor is not None:
        if not allows(actor, Permission.USER_MANAGE) or actor.scopes is not None:
            raise Denied("only administrators make sign-in links")
        user = await people.get(core, actor, ref)
        if user.role is Role.OWNER and actor.role is not Role.OWNER:
            raise Denied(f"{user.name} is an owner; only owners make links for owners")
    if user is None or user.disabled or user.service:
        raise Denied(f"{ref} is disabled or a service account; nobody signs in as that")
    secret = new_secret(SecretKind.LINK)
    expires_at = core.clock() + LINK_LIFE
    async with core.db.transaction() as tx:
        await sessions.add_link(tx, user.id, secret_sha256=secret.sha256, expires_at=expires_at)
        made = NewEvent(
            EventKind.SIGN_IN_LINK_CREATED,
            actor="system" if actor is None else actor.id,
            subject=user.id,
            owner=user.id,
            detail={"name": user.name},
            address="" if actor is None else actor.address,
            request_id="" if actor is None else actor.request_id,
        )
        await events.append(tx, core.clock(), made)
    return secret, expires_at


def link_url(core: "Core", secret: Secret) -> str:
    """Where the link leads: a page that asks for one click."""
    return f"{core.settings.url}/sign-in/link?token={secret.text}"


async def by_link(core: "Core", text: str, *, address: str, request_id: str = "") -> SignedIn:
    """Use a link up. Raises Unauthenticated."""
    _slow_down(core, f"sign-in:{address}", share=1)
    secret = parse(text, SecretKind.LINK)
    if secret is None:
        raise Unauthenticated(_LINK_REFUSED)
    async with core.db.transaction() as tx:
        id = await sessions.take_link(tx, secret.sha256, now=core.clock())
        user = None if id is None else await users.get(tx, id)
    if user is None or user.disabled:
        raise Unauthenticated(_LINK_REFUSED)
    return await _open(core, user, address=address, request_id=request_id, how="link")


async def sign_out(core: "Core", actor: Actor) -> None:
    """End the session that this request came with."""
    async with core.db.transaction() as tx:
        if await sessions.end(tx, actor.credential):
            said = event(
                actor, EventKind.SESSION_REVOKED, subject=actor.credential, owner=actor.id
            )
            await events.append(tx, core.clock(), said)
    core.gate.forget(actor.credential)


def _slow_down(core: "Core", key: str, *, share: int) -> None:
    rate = core.settings.sign_in_rate_per_minute * share
    wait = core.gate.rates.take(key, per_minute=rate, burst=rate, now=core.clock())
    if wait:
        raise TooMany(
            "too many tries to sign in; wait a little", retry_after_s=max(1, round(wait))
        )


async def _open(core: "Core", user: User, *, address: str, request_id: str, how: str) -> SignedIn:
    secret = new_secret(SecretKind.SESSION)
    now = core.clock()
    session = Session(
        id=secret.id,
        user=user.id,
        created_at=now,
        expires_at=now + SESSION_LIFE,
        address=address,
    )
    opened = NewEvent(
        EventKind.SESSION_OPENED,
        actor=user.id,
        subject=session.id,
        owner=user.id,
        detail={"kind": "browser", "by": how},
        address=address,
        request_id=request_id,
    )
    async with core.db.transaction() as tx:
        await sessions.add(tx, session, secret_sha256=secret.sha256)
        await events.append(tx, now, opened)
    return SignedIn(user=user, session=session, secret=secret)


async def _refused(
    core: "Core", *, name: str, user: User | None, address: str, request_id: str
) -> None:
    """The name as typed is not written down for unknown users: it may be a password."""
    await record(
        core,
        NewEvent(
            EventKind.SESSION_REFUSED,
            actor="system" if user is None else user.id,
            subject="unknown user" if user is None else user.id,
            owner=None if user is None else user.id,
            detail={} if user is None else {"name": name},
            address=address,
            request_id=request_id,
        ),
    )
