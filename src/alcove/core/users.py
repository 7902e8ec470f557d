"""Users and service accounts: make, change, disable.

Rules: an owner is changed by owners only, the last owner stays one, and disabling ends every
session and token in the same transaction.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from alcove.core.identity import event
from alcove.core.passwords import hashed, matches
from alcove.core.proofs import new_id
from alcove.model.access import Actor, Permission, Role, allows
from alcove.model.errors import Conflict, Denied, FieldError, Invalid, NotFound, TooMany
from alcove.model.event import EventKind, NewEvent
from alcove.model.identity import User
from alcove.model.workspace import UserId
from alcove.store import events, sessions, tokens, users
from alcove.store.db import Tx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alcove.core.app import Core

_T = TypeVar("_T")
FIRST: Final = "admin"
RESERVED: Final = frozenset({"me", "system", "new"})
PASSWORD_TRIES_PER_MINUTE: Final = 5


@dataclass(frozen=True, slots=True)
class UserDraft:
    """A user about to be made."""

    name: str
    display_name: str = ""
    email: str = ""
    role: Role = Role.MEMBER
    service: bool = False
    password: str | None = None


@dataclass(frozen=True, slots=True)
class UserChanges:
    """None leaves a thing as it is."""

    display_name: str | None = None
    email: str | None = None
    role: Role | None = None
    disabled: bool | None = None


async def ensure_first(core: "Core") -> User:
    """The first owner; made without a password when there is nobody yet. Such a one signs in
    by a link, which only root on the server's machine can make."""
    async with core.db.transaction() as tx:
        if (owner := await users.first_owner(tx)) is not None:
            return owner
        if await users.any_exists(tx):
            raise Conflict("there are users but no owner who is not disabled")
        first = User(
            id=UserId(f"us-{new_id()}"),
            name=FIRST,
            display_name="",
            email="",
            role=Role.OWNER,
            service=False,
            disabled=False,
            created_at=core.clock(),
        )
        await users.add(tx, first, password_hash=None)
        made = NewEvent(
            EventKind.USER_CREATED,
            actor="system",
            subject=first.id,
            owner=first.id,
            detail={"name": first.name, "role": first.role},
        )
        await events.append(tx, core.clock(), made)
        return first


async def create(core: "Core", actor: Actor, draft: UserDraft) -> User:
    """Raises Denied, Invalid, and Conflict when the name is taken."""
    _may_manage(actor)
    if draft.role is Role.OWNER and actor.role is not Role.OWNER:
        raise Denied("only an owner makes an owner")
    _check(draft)
    hash = None if draft.password is None else await hashed(core.gate, draft.password)
    user = User(
        id=UserId(f"us-{new_id()}"),
        name=draft.name,
        display_name=draft.display_name,
        email=draft.email,
        role=draft.role,
        service=draft.service,
        disabled=False,
        created_at=core.clock(),
    )
    detail = {"name": user.name, "role": user.role, "service": user.service}
    async with core.db.transaction() as tx:
        await users.add(tx, user, password_hash=hash)
        said = event(actor, EventKind.USER_CREATED, subject=user.id, owner=user.id, detail=detail)
        await events.append(tx, core.clock(), said)
    return user


async def get(core: "Core", actor: Actor, ref: str) -> User:
    """By id or by name; `me` is the caller."""
    async with core.db.read() as tx:
        user = await find_one(tx, actor.id if ref == "me" else ref)
    if user is None or not allows(actor, Permission.USER_READ, owner=user.id):
        raise NotFound(f"there is no user {ref!r}")
    return user


async def me(core: "Core", actor: Actor) -> User:
    """The caller; everybody may know who they are, whatever their token is limited to."""
    async with core.db.read() as tx:
        user = await users.get(tx, actor.id)
    if user is None:
        raise NotFound("you are not there any more")
    return user


async def find(core: "Core", actor: Actor, *, after: str, limit: int) -> "Sequence[User]":
    """A page in the order of names."""
    if not allows(actor, Permission.USER_READ):
        raise Denied("this token may not read users")
    async with core.db.read() as tx:
        return await users.find(tx, after=after, limit=limit)


async def update(core: "Core", actor: Actor, ref: str, changes: UserChanges) -> User:
    """People change their own display name and email; the rest is for administrators."""
    before = await _to_change(core, actor, ref, changes)
    after = replace(
        before,
        display_name=_or(changes.display_name, before.display_name),
        email=_or(changes.email, before.email),
        role=_or(changes.role, before.role),
        disabled=_or(changes.disabled, before.disabled),
    )
    values = {
        name: getattr(after, name)
        for name in ("display_name", "email", "role", "disabled")
        if getattr(after, name) != getattr(before, name)
    }
    ended: Sequence[str] = ()
    async with core.db.transaction() as tx:
        if before.role is Role.OWNER and (after.role is not Role.OWNER or after.disabled):
            others = [id for id in await users.lock_owners(tx) if id != before.id]
            if not others:
                raise Conflict(f"{before.name} is the last owner; make another owner first")
        await users.change(tx, before.id, values)
        if after.disabled and not before.disabled:
            ended = await _end_everything(core, tx, before.id)
        if said := _told(actor, before, after):
            await events.append(tx, core.clock(), *said)
    core.gate.forget_user(before.id)
    for id in ended:
        core.gate.forget(id)
    return after


async def set_password(
    core: "Core", actor: Actor, ref: str, *, current: str | None, new: str
) -> None:
    """Whoever changes their own has to know the present one; administrators set others'."""
    user = await get(core, actor, ref)
    own = user.id == actor.id
    if actor.scopes is not None or actor.workspace is not None:
        raise Denied("a token with scopes may not change passwords")
    if not own:
        _may_manage(actor)
        _may_touch_owner(actor, user)
    if user.service:
        raise Invalid(f"{user.name} is a service account; it has tokens and no password")
    if own:
        await _prove(core, user, current)
    hash = await hashed(core.gate, new, field="new")
    keep = actor.credential if own else ""
    async with core.db.transaction() as tx:
        await users.change(tx, user.id, {"password_hash": hash})
        ended = await sessions.end_all(tx, user.id, but=keep)
        await sessions.drop_links(tx, user.id)
        said = event(actor, EventKind.USER_PASSWORD_CHANGED, subject=user.id, owner=user.id)
        await events.append(tx, core.clock(), said)
    for id in ended:
        core.gate.forget(id)


async def find_one(tx: Tx, ref: str) -> User | None:
    """By id or by name."""
    return await users.get(tx, UserId(ref)) or await users.by_name(tx, ref)


async def _prove(core: "Core", user: User, current: str | None) -> None:
    """Check the present password; who has none yet (came by a link) proves nothing more."""
    async with core.db.read() as tx:
        hash = await users.password_hash(tx, user.id)
    if hash is None:
        return
    wait = core.gate.rates.take(
        f"password:{user.id}",
        per_minute=PASSWORD_TRIES_PER_MINUTE,
        burst=PASSWORD_TRIES_PER_MINUTE,
        now=core.clock(),
    )
    if wait:
        raise TooMany("too many tries; wait a little", retry_after_s=max(1, round(wait)))
    if current is None or not await matches(core.gate, current, hash):
        said = "is not the present password"
        raise Invalid(f"current: {said}", [FieldError("current", said)])


async def _to_change(core: "Core", actor: Actor, ref: str, changes: UserChanges) -> User:
    user = await get(core, actor, ref)
    beyond = changes.role is not None or changes.disabled is not None
    if actor.id != user.id or beyond or actor.scopes is not None:
        _may_manage(actor)
    _may_touch_owner(actor, user)
    if changes.role is Role.OWNER and actor.role is not Role.OWNER:
        raise Denied("only an owner makes an owner")
    if changes.role is Role.OWNER and user.service:
        raise Denied("a service account cannot be an owner")
    lower = changes.role not in {None, user.role} and user.role is Role.ADMIN
    if lower and user.id == actor.id:
        raise Conflict("you cannot give up your own role; ask another administrator")
    if changes.disabled and user.id == actor.id:
        raise Conflict("you cannot disable yourself; ask another administrator")
    return user


def _may_manage(actor: Actor) -> None:
    if not allows(actor, Permission.USER_MANAGE):
        raise Denied("only administrators manage users")


def _may_touch_owner(actor: Actor, user: User) -> None:
    if user.role is Role.OWNER and actor.role is not Role.OWNER:
        raise Denied(f"{user.name} is an owner; only owners change owners")


def _check(draft: UserDraft) -> None:
    errors: list[FieldError] = []
    if draft.name in RESERVED or draft.name.startswith(("us-", "ws-")):
        errors.append(FieldError("name", f"{draft.name!r} is reserved; choose another"))
    if draft.service and draft.password is not None:
        errors.append(FieldError("password", "a service account has tokens and no password"))
    if draft.service and draft.role is Role.OWNER:
        errors.append(FieldError("role", "a service account cannot be an owner"))
    if errors:
        raise Invalid("; ".join(f"{e.field}: {e.message}" for e in errors), errors)


async def _end_everything(core: "Core", tx: Tx, user: UserId) -> "Sequence[str]":
    ended = [*await sessions.end_all(tx, user)]
    ended += await tokens.revoke_all(tx, user, now=core.clock())
    await sessions.drop_links(tx, user)
    return ended


def _told(actor: Actor, before: User, after: User) -> list[NewEvent]:
    told: list[NewEvent] = []
    if before.role != after.role:
        detail = {"name": after.name, "from": before.role, "to": after.role}
        told.append(
            event(
                actor,
                EventKind.USER_ROLE_CHANGED,
                subject=after.id,
                owner=after.id,
                detail=detail,
            )
        )
    if before.disabled != after.disabled:
        kind = EventKind.USER_DISABLED if after.disabled else EventKind.USER_ENABLED
        told.append(
            event(actor, kind, subject=after.id, owner=after.id, detail={"name": after.name})
        )
    return told


def _or(new: _T | None, old: _T) -> _T:
    return old if new is None else new
