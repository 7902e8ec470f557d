"""`/users`: people and service accounts."""

from typing import Annotated

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.pages import PageQuery, after
from alcove.api.routing import router
from alcove.core import sign_in, users
from alcove.core.pages import write_cursor
from alcove.core.users import UserChanges, UserDraft
from alcove.http.access import needs, needs_sign_in
from alcove.http.body import body
from alcove.model import identity as model
from alcove.model.access import Actor, Permission, allows
from alcove.wire.base import Page
from alcove.wire.users import Me, NewUser, PasswordChange, SignInLink, User, UserChange

routes = router("users")
Ref = Annotated[str, Path(max_length=64, description="Id or name, or `me`.")]


@routes.get("/users", **documents(Page[User]))
async def find(
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.USER_READ)],
    page: Annotated[PageQuery, Query()],
) -> Response:
    """List users in the order of their names."""
    found = await users.find(core, actor, after=after(page.cursor), limit=page.limit + 1)
    shown = found[: page.limit]
    more = write_cursor(shown[-1].name) if len(found) > page.limit else None
    return answer(Page[User](items=[present(actor, u) for u in shown], next_cursor=more))


@routes.post("/users", **documents(User, 400, 409, 413, 415, status=201))
async def create(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.USER_MANAGE)],
    new: Annotated[NewUser, body(NewUser)],
    key: IdempotencyKey = None,
) -> Response:
    """Make a person or a service account."""

    async def act() -> Response:
        draft = UserDraft(
            name=new.name,
            display_name=new.display_name,
            email=new.email,
            role=new.role,
            service=new.service,
            password=None if new.password is None else new.password.get_secret_value(),
        )
        return answer(present(actor, await users.create(core, actor, draft)), 201)

    return await once(request, actor, key, act)


@routes.get("/users/me", **documents(Me))
async def me(core: CoreOf, actor: Annotated[Actor, needs_sign_in()]) -> Response:
    """The caller, and what this credential may do with what is the caller's own."""
    user = await users.me(core, actor)
    may = [p for p in Permission if allows(actor, p, owner=actor.id, workspace=actor.workspace)]
    shown = present(actor, user).model_dump()
    return answer(Me(**shown, permissions=may, workspace=actor.workspace))


@routes.get("/users/{user}", **documents(User, 404))
async def get(
    core: CoreOf, actor: Annotated[Actor, needs(Permission.USER_READ)], user: Ref
) -> Response:
    """One user."""
    return answer(present(actor, await users.get(core, actor, user)))


@routes.patch("/users/{user}", **documents(User, 400, 404, 409, 413, 415))
async def update(
    core: CoreOf,
    actor: Annotated[Actor, needs_sign_in()],
    user: Ref,
    change: Annotated[UserChange, body(UserChange)],
) -> Response:
    """Change a user. Role and `disabled` are for administrators; disabling ends every session
    and token at once."""
    changes = UserChanges(
        display_name=change.display_name,
        email=change.email,
        role=change.role,
        disabled=change.disabled,
    )
    return answer(present(actor, await users.update(core, actor, user, changes)))


@routes.post("/users/{user}/password", **documents(None, 400, 404, 413, 415, status=204))
async def set_password(
    core: CoreOf,
    actor: Annotated[Actor, needs_sign_in()],
    user: Ref,
    change: Annotated[PasswordChange, body(PasswordChange)],
) -> Response:
    """Set a password. For one's own the present one is asked; ends the other sessions."""
    current = None if change.current is None else change.current.get_secret_value()
    await users.set_password(core, actor, user, current=current, new=change.new.get_secret_value())
    return nothing()


@routes.post("/users/{user}/sign-in-link", **documents(SignInLink, 404, status=201))
async def sign_in_link(
    core: CoreOf, actor: Annotated[Actor, needs(Permission.USER_MANAGE)], user: Ref
) -> Response:
    """Make a link that signs this user in, once, within ten minutes."""
    secret, expires_at = await sign_in.new_link(core, actor, user)
    url = sign_in.link_url(core, secret)
    return answer(SignInLink(url=url, expires_at=expires_at), 201)


def present(actor: Actor, user: model.User) -> User:
    """The user as this caller may see it: other people's addresses are not for everyone."""
    sees_email = user.id == actor.id or any(
        allows(actor, p) for p in (Permission.USER_MANAGE, Permission.AUDIT_READ)
    )
    return User(
        id=user.id,
        name=user.name,
        display_name=user.display_name,
        email=user.email if sees_email else "",
        role=user.role,
        service=user.service,
        disabled=user.disabled,
        created_at=user.created_at,
    )
