"""Users with what they have, for whoever manages them. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Label, Row, func, literal, or_, select
from sqlalchemy.sql.functions import count

from alcove.model.identity import Session, User
from alcove.model.pool import KEEPER
from alcove.model.workspace import Phase, UserId
from alcove.store.db import Tx
from alcove.store.schema import sessions, ssh_keys, tokens, users, workspaces
from alcove.store.users import load_user


@dataclass(frozen=True, slots=True)
class Person:
    user: User
    has_password: bool
    seen_at: datetime | None
    """When a session or token of theirs was last used, to within a minute; None: never, or it
    is gone."""
    workspaces: int
    running: int
    tokens: int
    sessions: int
    keys: int


_LIVE: Final = (workspaces.c.owner == users.c.id, workspaces.c.phase != Phase.DELETED)
_GOOD: Final = (tokens.c.user_id == users.c.id, tokens.c.revoked_at.is_(None))


def _many(table: Any, *where: ColumnElement[bool], name: str) -> Label[int]:
    found = select(count(literal(1))).select_from(table).where(*where)
    return found.scalar_subquery().label(name)


def _query(now: datetime) -> Any:
    good = (*_GOOD, or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now))
    running = (*_LIVE, workspaces.c.phase == Phase.RUNNING)
    by_session = select(func.max(sessions.c.last_used_at, type_=sessions.c.last_used_at.type))
    by_token = select(func.max(tokens.c.last_used_at, type_=tokens.c.created_at.type))
    return select(
        *users.c,
        by_session.where(sessions.c.user_id == users.c.id).scalar_subquery().label("by_session"),
        by_token.where(tokens.c.user_id == users.c.id).scalar_subquery().label("by_token"),
        _many(workspaces, *_LIVE, name="workspaces"),
        _many(workspaces, *running, name="running"),
        _many(tokens, *good, name="tokens"),
        _many(sessions, sessions.c.user_id == users.c.id, name="sessions"),
        _many(ssh_keys, ssh_keys.c.user_id == users.c.id, name="keys"),
    ).where(users.c.id != KEEPER)


async def find(
    tx: Tx, *, after: str, limit: int, text: str | None, now: datetime
) -> Sequence[Person]:
    """A page in the order of names, beginning behind `after`. One query."""
    query = _query(now).where(users.c.name > after).order_by(users.c.name).limit(limit)
    if text is not None:
        places = (users.c.name, users.c.display_name, users.c.email)
        query = query.where(or_(*(place.icontains(text, autoescape=True) for place in places)))
    return [_load(row) for row in await tx.execute(query)]


async def get(tx: Tx, id: UserId, *, now: datetime) -> Person | None:
    row = (await tx.execute(_query(now).where(users.c.id == id))).one_or_none()
    return None if row is None else _load(row)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A browser that is signed in."""

    session: Session
    last_used_at: datetime


async def sessions_of(tx: Tx, user: UserId, *, now: datetime) -> Sequence[OpenSession]:
    """Used last, first."""
    query = (
        select(sessions)
        .where(sessions.c.user_id == user, sessions.c.expires_at > now)
        .order_by(sessions.c.last_used_at.desc(), sessions.c.id)
    )
    return [
        OpenSession(
            Session(row.id, UserId(row.user_id), row.created_at, row.expires_at, row.address),
            row.last_used_at,
        )
        for row in await tx.execute(query)
    ]


def _load(row: Row[Any]) -> Person:
    seen = [at for at in (row.by_session, row.by_token) if at is not None]
    return Person(
        user=load_user(row),
        has_password=row.password_hash is not None,
        seen_at=max(seen, default=None),
        workspaces=row.workspaces,
        running=row.running,
        tokens=row.tokens,
        sessions=row.sessions,
        keys=row.keys,
    )
