"""API tokens: make, list, revoke.

Rule: a token never may do more, nor live longer, than what made it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alcove.core import users as people
from alcove.core import workspaces
from alcove.core.identity import event
from alcove.core.proofs import Secret, SecretKind, new_secret
from alcove.model.access import Actor, Permission, Role, allows
from alcove.model.errors import Denied, FieldError, Invalid, NotFound, QuotaExceeded
from alcove.model.event import EventKind
from alcove.model.identity import Token, User
from alcove.model.workspace import UserId
from alcove.store import events, tokens
from alcove.store.db import Tx

if TYPE_CHECKING:
    from alcove.core.app import Core

LIFE_DEFAULT: Final = timedelta(days=90)
LIFE_MAX: Final = timedelta(days=3650)
TOKENS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class TokenDraft:
    """A token about to be made; `user` by name, None for the caller's own."""

    name: str
    scopes: frozenset[Permission] | None = None
    expires_in_s: int | None = None
    workspace: str | None = None
    user: str | None = None


async def create(core: "Core", actor: Actor, draft: TokenDraft) -> tuple[Token, Secret]:
    """Raises Denied, Invalid and NotFound. The secret is nowhere but in the answer."""
    user = await _for_whom(core, actor, draft.user)
    scopes = _scopes(actor, draft.scopes)
    workspace = None
    if draft.workspace is not None:
        workspace = (await workspaces.get(core, actor, draft.workspace)).id
    secret = new_secret(SecretKind.TOKEN)
    token = Token(
        id=secret.id,
        user=user.id,
        name=draft.name,
        scopes=scopes,
        workspace=workspace,
        created_at=core.clock(),
        expires_at=_end(core.clock(), actor, user, draft.expires_in_s),
        last_used_at=None,
    )
    async with core.db.transaction() as tx:
        await _add(core, tx, actor, token, secret)
    return token, secret


async def create_for_device(
    core: "Core", tx: Tx, actor: Actor, *, name: str
) -> tuple[Token, Secret]:
    """One with all rights of somebody who let a program in; in the transaction that uses the
    permission up."""
    secret = new_secret(SecretKind.TOKEN)
    token = Token(
        id=secret.id,
        user=actor.id,
        name=name,
        scopes=None,
        workspace=None,
        created_at=core.clock(),
        expires_at=core.clock() + LIFE_DEFAULT,
        last_used_at=None,
    )
    await _add(core, tx, actor, token, secret)
    return token, secret


async def create_for_owner(core: "Core", owner: User, *, name: str) -> tuple[Token, Secret]:
    """One with all rights, for whoever is root on the server's machine."""
    actor = Actor(id=owner.id, name=owner.name, role=owner.role)
    return await create(core, actor, TokenDraft(name=name, expires_in_s=None))


async def find(
    core: "Core", actor: Actor, *, user: str | None, after: str, limit: int
) -> Sequence[Token]:
    """The caller's own; somebody else's for administrators."""
    owner = await _for_whom(core, actor, user)
    async with core.db.read() as tx:
        return await tokens.find(tx, owner.id, after=after, limit=limit)


async def get(core: "Core", actor: Actor, id: str) -> Token:
    async with core.db.read() as tx:
        token = await tokens.get(tx, id)
    if token is None or not _may_manage(actor, token.user):
        raise NotFound(f"there is no token {id!r}")
    return token


async def revoke(core: "Core", actor: Actor, id: str) -> None:
    """From this moment it is refused here, and within a second on every other server."""
    token = await get(core, actor, id)
    async with core.db.transaction() as tx:
        if await tokens.revoke(tx, id, now=core.clock()):
            said = event(
                actor,
                EventKind.TOKEN_REVOKED,
                subject=id,
                owner=token.user,
                detail={"name": token.name},
            )
            await events.append(tx, core.clock(), said)
    core.gate.forget(id)


async def _for_whom(core: "Core", actor: Actor, name: str | None) -> User:
    if name is None or name in {actor.name, actor.id}:
        if not allows(actor, Permission.TOKEN_MANAGE, owner=actor.id):
            raise Denied("this token may not manage tokens")
        return await people.get(core, _unscoped(actor), actor.id)
    if not allows(actor, Permission.TOKEN_MANAGE):
        raise Denied("only administrators manage other people's tokens")
    user = await people.get(core, _unscoped(actor), name)
    if user.role is Role.OWNER and actor.role is not Role.OWNER:
        raise Denied(f"{user.name} is an owner; only owners manage owners' tokens")
    if user.disabled:
        raise Denied(f"{user.name} is disabled")
    return user


def _unscoped(actor: Actor) -> Actor:
    """To look the user up; what a token may do was decided before."""
    return Actor(id=actor.id, name=actor.name, role=actor.role)


def _may_manage(actor: Actor, owner: UserId) -> bool:
    return allows(actor, Permission.TOKEN_MANAGE, owner=owner)


def _scopes(actor: Actor, wanted: frozenset[Permission] | None) -> frozenset[Permission] | None:
    if actor.scopes is None:
        return wanted
    if wanted is None:
        return actor.scopes
    if beyond := sorted(wanted - actor.scopes):
        said = f"this token does not have {', '.join(beyond)} to give"
        raise Invalid(f"scopes: {said}", [FieldError("scopes", said)])
    return wanted


def _end(now: datetime, actor: Actor, user: User, life_s: int | None) -> datetime | None:
    life = None if life_s is None else timedelta(seconds=life_s)
    if life is not None and life > LIFE_MAX:
        said = f"is more than {LIFE_MAX.days} days"
        raise Invalid(f"expires_in: {said}", [FieldError("expires_in", said)])
    if life is None and not user.service:
        life = LIFE_DEFAULT
    end = None if life is None else now + life
    if actor.expires_at is None:
        return end
    return actor.expires_at if end is None else min(end, actor.expires_at)


async def _add(core: "Core", tx: Tx, actor: Actor, token: Token, secret: Secret) -> None:
    detail = {
        "name": token.name,
        "scopes": None if token.scopes is None else sorted(token.scopes),
        "workspace": token.workspace,
        "expires_at": token.expires_at,
    }
    if await tokens.count_live(tx, token.user, limit=TOKENS_MAX) >= TOKENS_MAX:
        raise QuotaExceeded(f"{TOKENS_MAX} tokens are the most; revoke some first")
    await tokens.add(tx, token, secret_sha256=secret.sha256)
    said = event(actor, EventKind.TOKEN_CREATED, subject=token.id, owner=token.user, detail=detail)
    await events.append(tx, core.clock(), said)
