"""Users as whoever manages them sees them, and the way back in for who forgot a password."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from alcove.core import access, sign_in, users
from alcove.core.app import Core
from alcove.core.identity import event
from alcove.core.proofs import Secret
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Conflict, Denied, NotFound
from alcove.model.event import EventKind
from alcove.model.workspace import UserId
from alcove.store import events, people, sessions
from alcove.store import users as user_rows
from alcove.store.people import OpenSession, Person

PAGE_MAX: Final = 500


async def find(
    core: Core, actor: Actor, *, after: str = "", text: str | None = None, limit: int = 100
) -> Sequence[Person]:
    """A page by name: who they are, when they were last here, what they have. Raises Denied."""
    access.require(actor, Permission.AUDIT_READ)
    async with core.db.read() as tx:
        return await people.find(
            tx, after=after, text=text, limit=min(limit, PAGE_MAX), now=core.clock()
        )


async def get(core: Core, actor: Actor, ref: str) -> Person:
    """By id or name. Raises Denied and NotFound."""
    access.require(actor, Permission.AUDIT_READ)
    user = await users.get(core, actor, ref)
    async with core.db.read() as tx:
        found = await people.get(tx, user.id, now=core.clock())
    if found is None:
        raise NotFound(f"there is no user {ref!r}")
    return found


async def reset_password(core: Core, actor: Actor, ref: str) -> tuple[Secret, datetime]:
    """Take the password away, end every session, and answer a link that signs the user in
    once, to set another. Raises what `sign_in.new_link` raises."""
    user = await users.get(core, actor, ref)
    if user.id == actor.id:
        raise Conflict("this would sign you out; change your password on your account's page")
    secret, expires_at = await sign_in.new_link(core, actor, user.id)
    async with core.db.transaction() as tx:
        await user_rows.change(tx, user.id, {"password_hash": None})
        ended = await sessions.end_all(tx, user.id)
        told = event(
            actor,
            EventKind.USER_PASSWORD_CHANGED,
            subject=user.id,
            owner=user.id,
            detail={"name": user.name, "reset": True, "sessions_ended": len(ended)},
        )
        await events.append(tx, core.clock(), told)
    for id in ended:
        core.gate.forget(id)
    return secret, expires_at


async def has_password(core: Core, actor: Actor) -> bool:
    """Whether the caller signs in by a password; who does not, sets one without another."""
    async with core.db.read() as tx:
        return await user_rows.password_hash(tx, actor.id) is not None


async def sessions_of(core: Core, actor: Actor, ref: str = "me") -> Sequence[OpenSession]:
    """The browsers that are signed in: one's own; anybody's for administrators."""
    user = await _whose(core, actor, ref)
    async with core.db.read() as tx:
        return await people.sessions_of(tx, user, now=core.clock())


async def end_session(core: Core, actor: Actor, id: str, *, ref: str = "me") -> None:
    """Sign a browser out. Raises NotFound."""
    user = await _whose(core, actor, ref)
    open_ones = await sessions_of(core, actor, ref)
    if not any(one.session.id == id for one in open_ones):
        raise NotFound(f"there is no session {id[:64]!r}, or it is over")
    await _end(core, actor, user, [id])


async def end_other_sessions(core: Core, actor: Actor) -> int:
    """Sign every other browser of one's own out; answers how many there were."""
    open_ones = await sessions_of(core, actor)
    others = [one.session.id for one in open_ones if one.session.id != actor.credential]
    return await _end(core, actor, actor.id, others)


async def _whose(core: Core, actor: Actor, ref: str) -> UserId:
    """Raises Denied, also for a token that is limited to something."""
    if actor.scopes is not None or actor.workspace is not None:
        raise Denied("a token with scopes may not manage sessions")
    if ref in {"me", actor.id, actor.name}:
        return actor.id
    if not allows(actor, Permission.USER_MANAGE):
        raise Denied("only administrators manage other people's sessions")
    return (await users.get(core, actor, ref)).id


async def _end(core: Core, actor: Actor, user: UserId, ids: Sequence[str]) -> int:
    async with core.db.transaction() as tx:
        done = [id for id in ids if await sessions.end(tx, id)]
        if done:
            now = core.clock()
            await events.append(
                tx,
                now,
                *(event(actor, EventKind.SESSION_REVOKED, subject=i, owner=user) for i in done),
            )
    for id in done:
        core.gate.forget(id)
    return len(done)
