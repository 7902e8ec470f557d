"""What every page has in common: rendering, errors as pages, and who is signed in.

Templates and the style sheet are read when the program starts, not when they are first used: by
then the server may no longer be allowed to read its own code.
"""

from collections.abc import Callable, Coroutine
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias
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
from alcove.web import assets

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


def render(view: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A page. What it shows is passed in; nothing is global but the style sheet."""
    return HTMLResponse(_environment.get_template(view).render(**context), status)


def error_page(request: Request, error: Exception) -> Response:
    problem, headers = describe(error, request_id=context_of(request.scope).request_id)
    page = render(
        "error.html",
        status=problem.status,
        user=context_of(request.scope).actor,
        title=HTTPStatus(problem.status).phrase,
        problem=problem,
    )
    page.headers.update(headers)
    return page


def see(path: str) -> Response:
    """After a POST: look there, so that a reload asks for nothing again."""
    return RedirectResponse(path, 303)


def _ago(at: datetime | None, now: datetime) -> str:
    """`4m 12s`, `3h 20m`, `5d`."""
    if at is None:
        return "never"
    seconds = max(0, int(abs((now - at).total_seconds())))
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds}s" if minutes else f"{seconds}s"


def _make_environment() -> Environment:
    environment = Environment(
        loader=DictLoader(_VIEWS), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )
    environment.globals["asset"] = assets.path_of  # pyright: ignore[reportArgumentType]
    environment.globals["user"] = ""  # pyright: ignore[reportArgumentType]
    environment.filters["ago"] = _ago  # pyright: ignore[reportArgumentType]
    for name in _VIEWS:
        environment.get_template(name)
    return environment


_environment: Final = _make_environment()
