"""`/tokens`: API tokens of the caller, and for administrators of others."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.pages import PageQuery, after
from alcove.api.routing import router
from alcove.core import identity, tokens
from alcove.core.pages import write_cursor
from alcove.core.tokens import TokenDraft
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model import identity as model
from alcove.model.access import Actor, Permission
from alcove.wire.base import Page
from alcove.wire.tokens import NewToken, Token, TokenCreated

routes = router("tokens")
Manager = Annotated[Actor, needs(Permission.TOKEN_MANAGE)]
Id = Annotated[str, Path(max_length=64)]


class TokenQuery(PageQuery):
    user: Annotated[str, Field(max_length=64)] | None = None
    """Somebody else's, by name: for administrators."""


@routes.get("/tokens", **documents(Page[Token], 404))
async def find(core: CoreOf, actor: Manager, query: Annotated[TokenQuery, Query()]) -> Response:
    """List tokens. Secrets are not in it; nothing shows them again."""
    found = await tokens.find(
        core, actor, user=query.user, after=after(query.cursor), limit=query.limit + 1
    )
    shown = found[: query.limit]
    names = await identity.names(core, {t.user for t in shown})
    more = write_cursor(shown[-1].id) if len(found) > query.limit else None
    items = [present(token, names[token.user]) for token in shown]
    return answer(Page[Token](items=items, next_cursor=more))


@routes.post("/tokens", **documents(TokenCreated, 400, 404, 409, 413, 415, status=201))
async def create(
    request: Request,
    core: CoreOf,
    actor: Manager,
    new: Annotated[NewToken, body(NewToken)],
    key: IdempotencyKey = None,
) -> Response:
    """Make a token. The secret is in this answer and nowhere else; a token never may do more,
    nor live longer, than the one that made it."""

    async def act() -> Response:
        draft = TokenDraft(
            name=new.name,
            scopes=None if new.scopes is None else frozenset(new.scopes),
            expires_in_s=new.expires_in,
            workspace=new.workspace,
            user=new.user,
        )
        token, secret = await tokens.create(core, actor, draft)
        names = await identity.names(core, {token.user})
        shown = present(token, names[token.user]).model_dump()
        return answer(TokenCreated(**shown, token=secret.text), 201)

    return await once(request, actor, key, act, holds_secret=True)


@routes.get("/tokens/{id}", **documents(Token, 404))
async def get(core: CoreOf, actor: Manager, id: Id) -> Response:
    """One token."""
    token = await tokens.get(core, actor, id)
    names = await identity.names(core, {token.user})
    return answer(present(token, names[token.user]))


@routes.delete("/tokens/{id}", **documents(None, 404, status=204))
async def revoke(core: CoreOf, actor: Manager, id: Id) -> Response:
    """Revoke a token: refused from now on, on every server within a second."""
    await tokens.revoke(core, actor, id)
    return nothing()


def present(token: model.Token, user: str) -> Token:
    return Token(
        id=token.id,
        name=token.name,
        user=user,
        scopes=None if token.scopes is None else sorted(token.scopes),
        workspace=token.workspace,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )
