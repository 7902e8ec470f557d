"""Signing in by password or by link, and out; and what pages load."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import sign_in
from alcove.core.sign_in import SESSION_LIFE, SignedIn
from alcove.http.access import cookie_name, needs_sign_in, same_origin
from alcove.http.body import read_form
from alcove.http.context import context_of
from alcove.model.access import Actor
from alcove.model.errors import Denied, Unauthenticated
from alcove.web import assets
from alcove.web.contexts import Frame
from alcove.web.frame import bare_frame
from alcove.web.pages import CoreOf, render, router, see

routes = router()
Text = Annotated[str, Query(max_length=512)]


@dataclass(frozen=True, slots=True)
class SignInPage:
    frame: Frame
    next: str
    """Where to go then; a page of ours."""
    name: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class LinkPage:
    frame: Frame
    token: str
    fault: str = ""


@routes.get("/sign-in")
async def form(request: Request, next: Text = "/") -> Response:
    return render("sign_in.html", SignInPage(bare_frame(request), local(next)))


@routes.post("/sign-in")
async def by_password(request: Request, core: CoreOf) -> Response:
    _own_page(request)
    fields = await read_form(request)
    name, back = fields.get("name", ""), local(fields.get("next", "/"))
    context = context_of(request.scope)
    try:
        done = await sign_in.by_password(
            core,
            name=name,
            password=fields.get("password", ""),
            address=context.address,
            request_id=context.request_id,
        )
    except Unauthenticated as error:
        page = SignInPage(bare_frame(request), back, name, str(error))
        return render("sign_in.html", page, status=401)
    return _signed_in(request, done, back)


@routes.get("/sign-in/link")
async def confirm(request: Request, token: Text) -> Response:
    """One click away: whoever merely fetches the link does not use it up."""
    return render("link.html", LinkPage(bare_frame(request), token))


@routes.post("/sign-in/link")
async def by_link(request: Request, core: CoreOf) -> Response:
    _own_page(request)
    fields = await read_form(request)
    context = context_of(request.scope)
    try:
        done = await sign_in.by_link(
            core,
            fields.get("token", ""),
            address=context.address,
            request_id=context.request_id,
        )
    except Unauthenticated as error:
        return render("link.html", LinkPage(bare_frame(request), "", str(error)), status=401)
    return _signed_in(request, done, "/")


@routes.post("/sign-out")
async def sign_out(
    request: Request, core: CoreOf, actor: Annotated[Actor, needs_sign_in()]
) -> Response:
    await sign_in.sign_out(core, actor)
    response = see("/sign-in")
    secure = context_of(request.scope).secure
    response.delete_cookie(cookie_name(secure=secure), secure=secure, httponly=True)
    return response


@routes.get("/assets/{file}")
async def asset(request: Request) -> Response:
    return assets.answer(request)


def local(path: str) -> str:
    """Only to our own pages: `//evil.example` and `/\\evil.example` are other sites."""
    good = path.startswith("/") and path[1:2] not in {"/", "\\"} and path.isprintable()
    return path if good else "/"


def _own_page(request: Request) -> None:
    """So that nobody is signed in to somebody else's account by another site."""
    if not same_origin(request):
        raise Denied("this form was sent by another site")


def _signed_in(request: Request, done: SignedIn, back: str) -> Response:
    secure = context_of(request.scope).secure
    response = see(back)
    response.set_cookie(
        cookie_name(secure=secure),
        done.secret.text,
        max_age=int(SESSION_LIFE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=secure,
    )
    return response
