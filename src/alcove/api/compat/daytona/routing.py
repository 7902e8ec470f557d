"""What every route of this API has in common: where it is, and how it says that it failed."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Path
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from alcove.api.compat.daytona.errors import response_for
from alcove.http.access import core_of
from alcove.http.context import context_of
from alcove.model.errors import NotFound

API: Final = "/daytona/api"
TOOLBOX: Final = "/daytona/toolbox"
SandboxRef: TypeAlias = Annotated[
    str, Path(alias="sandbox", max_length=128, description="Id, or the caller's own name for it")
]


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
                return response_for(NotFound("there is nothing at this address"), request)
            try:
                return await handle(request)
            except Exception as error:
                return response_for(error, request)

        return checked


def router(prefix: str) -> APIRouter:
    return APIRouter(prefix=prefix, route_class=Route, include_in_schema=False)


def base_url(connection: HTTPConnection) -> str:
    """The address by which the client has reached us: the way that works for it."""
    host = connection.headers.get("host", "")
    if not host or len(host) > 255:
        return core_of(connection).settings.url
    scheme = "https" if context_of(connection.scope).secure else "http"
    return f"{scheme}://{host}"


def json(value: object, status: int = 200) -> Response:
    return JSONResponse(value, status_code=status)
