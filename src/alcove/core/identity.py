"""Who is calling: from a secret to an Actor, in one look-up or less.

An unknown secret, a revoked one, an expired one and a disabled user's are refused with the same
words. Signing in is in `sign_in`, users in `users`, tokens in `tokens`.
"""

import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from alcove.core.proofs import SecretKind, parse
from alcove.model.access import SYSTEM, Actor
from alcove.model.errors import Unauthenticated
from alcove.model.event import EventKind, NewEvent
from alcove.model.identity import Credential, CredentialKind
from alcove.store import device_logins, events, idempotency, sessions, ssh_keys, tokens, users
from alcove.store.db import Tx

if TYPE_CHECKING:
    from alcove.core.app import Core

KEYS_KEPT: Final = timedelta(hours=24)
_LookUp: TypeAlias = Callable[[Tx, str], Awaitable[Credential | None]]
_REFUSED: Final = (
    "the token is unknown, expired or revoked; make another with `alcove token create`"
)
_LOOK_UPS: Final[Mapping[CredentialKind, _LookUp]] = {
    CredentialKind.TOKEN: tokens.credential,
    CredentialKind.SESSION: sessions.credential,
    CredentialKind.SSH_KEY: ssh_keys.credential,
}
_SIGNED_OUT: Final = "you are not signed in, or the session is over; sign in again"


async def authenticate_bearer(core: "Core", text: str) -> Actor:
    """The actor behind an API token. Raises Unauthenticated."""
    return await _authenticate(core, text, SecretKind.TOKEN, _REFUSED)


async def authenticate_session(core: "Core", text: str) -> Actor:
    """The actor behind a session cookie. Raises Unauthenticated."""
    return await _authenticate(core, text, SecretKind.SESSION, _SIGNED_OUT)


async def recheck(core: "Core", actor: Actor) -> Actor:
    """The actor as of now, for whoever serves one call for long. Raises Unauthenticated once
    its credential or its user is no longer good."""
    for kind in CredentialKind:
        found = await _look_up(core, actor.credential, kind)
        if found is not None and found.user.id == actor.id:
            return _actor(core, found, _REFUSED)
    raise Unauthenticated(_REFUSED)


async def names(core: "Core", ids: Iterable[str]) -> Mapping[str, str]:
    """User id to name; an id that is nobody's (`system`) stands for itself."""
    wanted = set(ids)
    missing = wanted - core.gate.names.keys() - {SYSTEM.id}
    found = {id: core.gate.names[id] for id in wanted & core.gate.names.keys()}
    if missing:
        async with core.db.read() as tx:
            fresh = await users.names(tx, missing)
        for id, name in fresh.items():
            core.gate.remember_name(id, name)
        found |= fresh
    return {id: found.get(id, id) for id in wanted}


async def tidy(core: "Core") -> None:
    """Write down what was used when, and drop what is over. Called every minute."""
    now = core.clock()
    used = dict(core.gate.used)
    async with core.db.transaction() as tx:
        await tokens.touch(tx, used)
        await sessions.touch(tx, used)
        await ssh_keys.touch(tx, used)
        await sessions.drop_expired(tx, now=now)
        await device_logins.drop_expired(tx, now=now)
        await idempotency.drop_old(tx, kept_since=now - KEYS_KEPT)
    for id, at in used.items():
        if core.gate.used.get(id) == at:
            del core.gate.used[id]


async def record(core: "Core", *news: NewEvent) -> None:
    """Events that belong to no other change."""
    async with core.db.transaction() as tx:
        await events.append(tx, core.clock(), *news)


def event(
    actor: Actor,
    kind: EventKind,
    *,
    subject: str,
    owner: str | None,
    detail: Mapping[str, object] | None = None,
    at: datetime | None = None,
) -> NewEvent:
    """An event of what this actor did; `at` for what is written a moment later."""
    return NewEvent(
        kind=kind,
        actor=actor.id,
        subject=subject,
        owner=owner,
        detail=detail,
        address=actor.address,
        request_id=actor.request_id,
        at=at,
    )


async def _authenticate(core: "Core", text: str, kind: SecretKind, refusal: str) -> Actor:
    secret = parse(text, kind)
    if secret is None:
        raise Unauthenticated(refusal)
    wanted = CredentialKind.TOKEN if kind is SecretKind.TOKEN else CredentialKind.SESSION
    found = await _look_up(core, secret.id, wanted)
    if found is None or not hmac.compare_digest(found.secret_sha256, secret.sha256):
        raise Unauthenticated(refusal)
    return _actor(core, found, refusal)


async def _look_up(core: "Core", id: str, kind: CredentialKind) -> Credential | None:
    now = core.clock()
    known, credential = core.gate.recall(kind, id, now=now)
    if not known:
        async with core.db.read() as tx:
            credential = await _LOOK_UPS[kind](tx, id)
        core.gate.remember(kind, id, credential, now=now)
    return credential


def _actor(core: "Core", found: Credential, refusal: str) -> Actor:
    now = core.clock()
    if found.user.disabled or (found.expires_at is not None and found.expires_at <= now):
        raise Unauthenticated(refusal)
    core.gate.used[found.id] = now
    return Actor(
        id=found.user.id,
        name=found.user.name,
        role=found.user.role,
        service=found.user.service,
        scopes=found.scopes,
        workspace=found.workspace,
        credential=found.id,
        expires_at=found.expires_at if found.kind is CredentialKind.TOKEN else None,
    )
