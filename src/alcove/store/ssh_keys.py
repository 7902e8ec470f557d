"""The SQL about people's SSH keys. Functions take an open transaction and never commit."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from alcove.model.identity import Credential, CredentialKind
from alcove.model.ssh import SshKey
from alcove.model.workspace import UserId
from alcove.store.db import Tx
from alcove.store.schema import ssh_keys, users
from alcove.store.users import load_user


async def add(tx: Tx, key: SshKey) -> bool:
    """False when somebody has a key of this fingerprint."""
    values = {
        "id": key.id,
        "user_id": key.user,
        "name": key.name,
        "public_key": key.public_key,
        "fingerprint": key.fingerprint,
        "created_at": key.created_at,
    }
    try:
        async with tx.begin_nested():
            await tx.execute(insert(ssh_keys).values(**values))
    except IntegrityError:
        return False
    return True


async def find(tx: Tx, user: UserId, *, after: str, limit: int) -> Sequence[SshKey]:
    """A page in the order of ids."""
    page = (
        select(ssh_keys)
        .where(ssh_keys.c.user_id == user, ssh_keys.c.id > after)
        .order_by(ssh_keys.c.id)
        .limit(limit)
    )
    return [_load(row) for row in await tx.execute(page)]


async def by_fingerprint(tx: Tx, fingerprint: str) -> SshKey | None:
    found = select(ssh_keys).where(ssh_keys.c.fingerprint == fingerprint)
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else _load(row)


async def credential(tx: Tx, id: str) -> Credential | None:
    """The key and its user in one look-up by primary key; None if it was removed."""
    found = (
        select(ssh_keys.c.fingerprint, *users.c)
        .join(users, users.c.id == ssh_keys.c.user_id)
        .where(ssh_keys.c.id == id)
    )
    row = (await tx.execute(found)).one_or_none()
    if row is None:
        return None
    return Credential(
        kind=CredentialKind.SSH_KEY,
        id=id,
        secret_sha256=row.fingerprint,
        user=load_user(row),
        scopes=None,
        workspace=None,
        expires_at=None,
    )


async def remove(tx: Tx, id: str, *, user: UserId) -> SshKey | None:
    """The key that was removed; None when the user has none of this id."""
    done = (
        delete(ssh_keys)
        .where(ssh_keys.c.id == id, ssh_keys.c.user_id == user)
        .returning(*ssh_keys.c)
    )
    row = (await tx.execute(done)).one_or_none()
    return None if row is None else _load(row)


async def touch(tx: Tx, used: Mapping[str, datetime]) -> None:
    """Record when each key was last used."""
    for id, at in used.items():
        await tx.execute(update(ssh_keys).where(ssh_keys.c.id == id).values(last_used_at=at))


def _load(row: Row[Any]) -> SshKey:
    return SshKey(
        id=row.id,
        user=UserId(row.user_id),
        name=row.name,
        public_key=row.public_key,
        fingerprint=row.fingerprint,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
