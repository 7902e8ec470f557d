"""The SQL about API tokens. Functions take an open transaction and never commit.

Only the SHA-256 of a secret is stored: a secret has 256 random bits, so a slow hash would add
nothing but time to each request.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from alcove.model.access import Permission
from alcove.model.identity import Credential, CredentialKind, Token
from alcove.model.workspace import UserId, WorkspaceId
from alcove.store.db import Tx
from alcove.store.schema import tokens, users
from alcove.store.users import load_user


async def add(tx: Tx, token: Token, *, secret_sha256: str) -> None:
    scopes = None if token.scopes is None else json.dumps(sorted(token.scopes))
    await tx.execute(
        insert(tokens).values(
            id=token.id,
            user_id=token.user,
            name=token.name,
            secret_sha256=secret_sha256,
            scopes=scopes,
            workspace_id=token.workspace,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
    )


async def credential(tx: Tx, id: str) -> Credential | None:
    """The token and its user in one look-up by primary key; None if it was revoked."""
    found = (
        select(
            tokens.c.secret_sha256,
            tokens.c.scopes,
            tokens.c.workspace_id,
            tokens.c.expires_at,
            *users.c,
        )
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.id == id, tokens.c.revoked_at.is_(None))
    )
    row = (await tx.execute(found)).one_or_none()
    if row is None:
        return None
    return Credential(
        kind=CredentialKind.TOKEN,
        id=id,
        secret_sha256=row.secret_sha256,
        user=load_user(row),
        scopes=_load_scopes(row.scopes),
        workspace=_load_workspace(row.workspace_id),
        expires_at=row.expires_at,
    )


async def get(tx: Tx, id: str) -> Token | None:
    """None also when it was revoked."""
    found = select(tokens).where(tokens.c.id == id, tokens.c.revoked_at.is_(None))
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else _load(row)


async def find(tx: Tx, user: UserId | None, *, after: str, limit: int) -> Sequence[Token]:
    """A page in the order of ids; of all users when `user` is None."""
    page = select(tokens).where(tokens.c.revoked_at.is_(None), tokens.c.id > after)
    if user is not None:
        page = page.where(tokens.c.user_id == user)
    return [_load(row) for row in await tx.execute(page.order_by(tokens.c.id).limit(limit))]


async def count_live(tx: Tx, user: UserId, *, limit: int) -> int:
    """How many tokens the user has, counted up to the limit."""
    live = (
        select(tokens.c.id)
        .where(tokens.c.user_id == user, tokens.c.revoked_at.is_(None))
        .limit(limit)
    )
    return len((await tx.execute(live)).all())


async def revoke(tx: Tx, id: str, *, now: datetime) -> bool:
    """Answers whether it was good until now."""
    done = (
        update(tokens)
        .where(tokens.c.id == id, tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(tokens.c.id)
    )
    return (await tx.execute(done)).one_or_none() is not None


async def revoke_all(tx: Tx, user: UserId, *, now: datetime) -> Sequence[str]:
    """Every token of the user; answers their ids."""
    done = (
        update(tokens)
        .where(tokens.c.user_id == user, tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(tokens.c.id)
    )
    return [row.id for row in await tx.execute(done)]


async def touch(tx: Tx, used: Mapping[str, datetime]) -> None:
    """Record when each token was last used."""
    for id, at in used.items():
        await tx.execute(update(tokens).where(tokens.c.id == id).values(last_used_at=at))


def _load(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        user=UserId(row.user_id),
        name=row.name,
        scopes=_load_scopes(row.scopes),
        workspace=_load_workspace(row.workspace_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def _load_scopes(text: str | None) -> frozenset[Permission] | None:
    # A scope that this release does not know gives nothing.
    if text is None:
        return None
    return frozenset(Permission(scope) for scope in json.loads(text) if scope in set(Permission))


def _load_workspace(id: str | None) -> WorkspaceId | None:
    return None if id is None else WorkspaceId(id)
