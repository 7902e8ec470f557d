"""What every route of the API has in common.

`Route` refuses query parameters that the route does not declare: a misspelt filter must not
answer everything.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from alcove.model.errors import FieldError, Invalid, NotFound

PREFIX = "/api/v2"


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = frozenset(query_names(self.dependant))

        async def checked(request: Request) -> Response:
            if "\0" in request.scope["path"]:
                # PostgreSQL has no NUL in text, so nothing can have such a name.
                raise NotFound("there is nothing at this address")
            if request.scope["query_string"]:
                refuse_unknown(request, known)
            return await handle(request)

        return checked


def router(tag: str) -> APIRouter:
    """A router for one resource."""
    return APIRouter(prefix=PREFIX, tags=[tag], route_class=Route)


def refuse_unknown(request: Request, known: frozenset[str]) -> None:
    """Raises Invalid, naming every query parameter that is not known, or has NUL in it."""
    for name, value in request.query_params.multi_items():
        if "\0" in value:
            raise Invalid(f"{name[:64]}: has NUL in it", [FieldError(name[:64], "has NUL in it")])
    if unknown := sorted(set(request.query_params) - known):
        has = ", ".join(sorted(known)) or "none"
        said = f"there is no such query parameter; there is {has}"
        raise Invalid(
            f"{unknown[0][:64]}: {said}", [FieldError(name[:64], said) for name in unknown[:20]]
        )


def query_names(dependant: Dependant) -> list[str]:
    """The query parameters that a route declares, also inside a model and by dependencies."""
    names: list[str] = []
    for param in dependant.query_params:
        kind: Any = param.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += [f.alias or name for name, f in kind.model_fields.items()]
        else:
            names.append(param.alias)
    for inner in dependant.dependencies:
        names += query_names(inner)
    return names
