"""The SQL about browser sessions and one-time sign-in links. Functions never commit."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from alcove.model.identity import Credential, CredentialKind, Session
from alcove.model.workspace import UserId
from alcove.store.db import Tx
from alcove.store.schema import sessions, sign_in_links, users
from alcove.store.users import load_user


async def add(tx: Tx, session: Session, *, secret_sha256: str) -> None:
    await tx.execute(
        insert(sessions).values(
            id=session.id,
            user_id=session.user,
            secret_sha256=secret_sha256,
            created_at=session.created_at,
            expires_at=session.expires_at,
            last_used_at=session.created_at,
            address=session.address[:64],
        )
    )


async def credential(tx: Tx, id: str) -> Credential | None:
    """The session and its user in one look-up by primary key."""
    found = (
        select(sessions.c.secret_sha256, sessions.c.expires_at, *users.c)
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.id == id)
    )
    row = (await tx.execute(found)).one_or_none()
    if row is None:
        return None
    return Credential(
        kind=CredentialKind.SESSION,
        id=id,
        secret_sha256=row.secret_sha256,
        user=load_user(row),
        scopes=None,
        workspace=None,
        expires_at=row.expires_at,
    )


async def end(tx: Tx, id: str) -> bool:
    """Answers whether there was one."""
    done = delete(sessions).where(sessions.c.id == id).returning(sessions.c.id)
    return (await tx.execute(done)).one_or_none() is not None


async def end_all(tx: Tx, user: UserId, *, but: str = "") -> Sequence[str]:
    """Every session of the user, except the one named; answers their ids."""
    done = (
        delete(sessions)
        .where(sessions.c.user_id == user, sessions.c.id != but)
        .returning(sessions.c.id)
    )
    return [row.id for row in await tx.execute(done)]


async def touch(tx: Tx, used: Mapping[str, datetime]) -> None:
    """Record when each session was last used."""
    for id, at in used.items():
        await tx.execute(update(sessions).where(sessions.c.id == id).values(last_used_at=at))


async def add_link(tx: Tx, user: UserId, *, secret_sha256: str, expires_at: datetime) -> None:
    await tx.execute(
        insert(sign_in_links).values(
            user_id=user, secret_sha256=secret_sha256, expires_at=expires_at
        )
    )


async def take_link(tx: Tx, secret_sha256: str, *, now: datetime) -> UserId | None:
    """Use a link up; None when it is unknown, used or too old. One statement, so that of two
    who come at the same moment one gets in."""
    done = (
        delete(sign_in_links)
        .where(sign_in_links.c.secret_sha256 == secret_sha256)
        .returning(sign_in_links.c.user_id, sign_in_links.c.expires_at)
    )
    row = (await tx.execute(done)).one_or_none()
    return None if row is None or row.expires_at <= now else UserId(row.user_id)


async def drop_links(tx: Tx, user: UserId) -> None:
    await tx.execute(delete(sign_in_links).where(sign_in_links.c.user_id == user))


async def drop_expired(tx: Tx, *, now: datetime) -> None:
    """Sessions and links that are over."""
    await tx.execute(delete(sessions).where(sessions.c.expires_at <= now))
    await tx.execute(delete(sign_in_links).where(sign_in_links.c.expires_at <= now))
