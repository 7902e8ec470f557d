"""What every page has in common: rendering, errors as pages, and who is signed in.

Templates and the style sheet are read when the program starts, not when they are first used: by
then the server may no longer be allowed to read its own code.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Protocol, TypeAlias
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from alcove.core.app import Core
from alcove.http.access import core_of, needs
from alcove.http.context import context_of
from alcove.http.problem import HttpError, describe
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, Unauthenticated
from alcove.model.units import format_duration
from alcove.web import assets
from alcove.web.contexts import Frame
from alcove.web.frame import bare_frame
from alcove.web.text import ago, cores, image_title, mib, size, span, when
from alcove.wire.problems import Problem

_HERE: Final = Path(__file__).parent
_VIEWS: Final = {path.name: path.read_text() for path in (_HERE / "views").glob("*.html")}


async def _core(connection: HTTPConnection) -> Core:
    return core_of(connection)


CoreOf: TypeAlias = Annotated[Core, Depends(_core)]
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]


class PageRoute(APIRoute):
    """Errors become pages; who is not signed in is sent to sign in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def paged(request: Request) -> Response:
            try:
                return await handle(request)
            except Unauthenticated:
                here = request.url.path if request.method == "GET" else "/"
                return RedirectResponse(f"/sign-in?next={quote(here)}", 303)
            except (AlcoveError, HttpError, RequestValidationError) as error:
                return error_page(request, error)

        return paged


def router() -> APIRouter:
    return APIRouter(route_class=PageRoute, include_in_schema=False)


class Context(Protocol):
    """A frozen dataclass; its fields are what the view knows."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def render(view: str, context: Context, *, status: int = 200) -> HTMLResponse:
    """A page, or a fragment of one. What it shows is in the context; nothing is global."""
    return HTMLResponse(text_of(view, context), status)


def text_of(view: str, context: Context) -> str:
    known = {field.name: getattr(context, field.name) for field in fields(context)}
    return _environment.get_template(view).render(known)


@dataclass(frozen=True, slots=True)
class ErrorPage:
    frame: Frame
    title: str
    problem: Problem


def error_page(request: Request, error: Exception) -> Response:
    problem, headers = describe(error, request_id=context_of(request.scope).request_id)
    title = HTTPStatus(problem.status).phrase.capitalize()
    context = ErrorPage(bare_frame(request), title, problem)
    page = render("error.html", context, status=problem.status)
    page.headers.update(headers)
    return page


def see(path: str) -> Response:
    """After a POST: look there, so that a reload asks for nothing again."""
    return RedirectResponse(path, 303)


def _make_environment() -> Environment:
    environment = Environment(
        loader=DictLoader(_VIEWS),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.globals["asset"] = assets.path_of  # pyright: ignore[reportArgumentType]
    filters: dict[str, Callable[..., object]] = {
        "ago": ago,
        "bytes": size,
        "cores": cores,
        "duration": format_duration,
        "image_title": image_title,
        "mib": mib,
        "span": span,
        "when": when,
    }
    for name, make in filters.items():
        environment.filters[name] = make  # pyright: ignore[reportArgumentType]
    for name in _VIEWS:
        environment.get_template(name)
    return environment


_environment: Final = _make_environment()
