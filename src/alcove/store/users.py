"""The SQL about users. Functions take an open transaction and never commit.

The keeper of pools is a row that only owns; nobody finds it here.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from alcove.model.access import Role
from alcove.model.errors import Conflict
from alcove.model.identity import User
from alcove.model.pool import KEEPER
from alcove.model.workspace import UserId
from alcove.store.db import Tx
from alcove.store.schema import users

_PEOPLE: Final = users.c.id != KEEPER


async def add(tx: Tx, user: User, *, password_hash: str | None) -> None:
    """Raises Conflict when the name is taken, also by a disabled user."""
    values = {
        "id": user.id,
        "name": user.name,
        "display_name": user.display_name,
        "email": user.email,
        "role": user.role,
        "service": user.service,
        "disabled": user.disabled,
        "password_hash": password_hash,
        "created_at": user.created_at,
    }
    try:
        async with tx.begin_nested():
            await tx.execute(insert(users).values(**values))
    except IntegrityError as error:
        raise Conflict(f"the name {user.name!r} is taken; choose another") from error


async def get(tx: Tx, id: UserId) -> User | None:
    row = (await tx.execute(select(users).where(users.c.id == id, _PEOPLE))).one_or_none()
    return None if row is None else load_user(row)


async def by_name(tx: Tx, name: str) -> User | None:
    row = (await tx.execute(select(users).where(users.c.name == name, _PEOPLE))).one_or_none()
    return None if row is None else load_user(row)


async def find(tx: Tx, *, after: str, limit: int) -> Sequence[User]:
    """A page in the order of names, beginning behind the name `after`; without who keeps pools."""
    page = (
        select(users)
        .where(users.c.name > after, users.c.id != KEEPER)
        .order_by(users.c.name)
        .limit(limit)
    )
    return [load_user(row) for row in await tx.execute(page)]


async def names(tx: Tx, ids: Collection[str]) -> Mapping[str, str]:
    """Id to name, for those that exist."""
    found = await tx.execute(select(users.c.id, users.c.name).where(users.c.id.in_(ids)))
    return {row.id: row.name for row in found}


async def any_exists(tx: Tx) -> bool:
    """Whether somebody can have signed in: who keeps pools is there from the start."""
    found = select(users.c.id).where(users.c.id != KEEPER).limit(1)
    return (await tx.execute(found)).one_or_none() is not None


async def first_owner(tx: Tx) -> User | None:
    """The oldest owner who is not disabled."""
    oldest = (
        select(users)
        .where(users.c.role == Role.OWNER, users.c.disabled.is_(False))
        .order_by(users.c.created_at, users.c.id)
        .limit(1)
    )
    row = (await tx.execute(oldest)).one_or_none()
    return None if row is None else load_user(row)


async def lock_owners(tx: Tx) -> Sequence[UserId]:
    """The owners who are not disabled, locked until the commit, so that two of them cannot
    take each other's role away at the same moment."""
    owners = (
        select(users.c.id)
        .where(users.c.role == Role.OWNER, users.c.disabled.is_(False))
        .order_by(users.c.id)
        .with_for_update()
    )
    return [UserId(row.id) for row in await tx.execute(owners)]


async def change(tx: Tx, id: UserId, values: Mapping[str, Any]) -> None:
    """Write the named columns."""
    if values:
        await tx.execute(update(users).where(users.c.id == id).values(**values))


async def password_hash(tx: Tx, id: UserId) -> str | None:
    found = select(users.c.password_hash).where(users.c.id == id)
    return (await tx.execute(found)).scalar_one_or_none()


def load_user(row: Row[Any]) -> User:
    return User(
        id=UserId(row.id),
        name=row.name,
        display_name=row.display_name,
        email=row.email,
        role=Role(row.role),
        service=row.service,
        disabled=row.disabled,
        created_at=row.created_at,
    )
