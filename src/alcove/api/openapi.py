"""`/openapi.json`: what FastAPI derives, plus what only we know.

Bodies are read by pydantic itself (see `body`), so they are entered here; field descriptions
are the docstrings below the fields, read from the source once, when somebody asks.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, cast

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from alcove.http.access import Need
from alcove.http.body import Body
from alcove.wire.problems import Problem
from alcove.wire.templates import NewTemplateVersion

DESCRIPTION: Final = """\
JSON is snake_case; times are RFC 3339 UTC; durations are text such as `90s`, `30m`, `4h`, `7d`.
Send `Authorization: Bearer TOKEN`. Errors are RFC 9457 problems with a stable `code`.
Lists answer `{items, next_cursor}`. A `POST` may carry `Idempotency-Key`. A workspace is named
by its id, by its name, or by `owner%2Fname`.
"""
_REF: Final = "#/components/schemas/{model}"
_SECURITY: Final[list[dict[str, list[str]]]] = [{"token": []}, {"session": []}]


def describe(app: FastAPI, routers: Iterable[APIRouter], version: str) -> dict[str, Any]:
    """The whole document."""
    document = get_openapi(
        title="Alcove", version=version, description=DESCRIPTION, routes=app.routes
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    # NewTemplateVersion is one of two bodies, so that its route reads it by itself.
    models: set[type[BaseModel]] = {Problem, NewTemplateVersion}
    for route in api_routes(routers):
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            models |= _complete(route, operation)
    _add_models(schemas, models)
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
        "session": {"type": "apiKey", "in": "cookie", "name": "alcove_session"},
    }
    _add_descriptions(schemas)
    return document


def api_routes(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    """Every route that is described. From the routers: how an app keeps the ones that it
    includes is FastAPI's own business."""
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                yield route


def dependencies(dependant: Dependant) -> Iterator[object]:
    """Everything that is called for a route before its handler, at any depth."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from dependencies(inner)


def need_of(route: APIRoute) -> Need | None:
    """What the route asks of the caller; None when it is open to everybody."""
    for call in dependencies(route.dependant):
        if isinstance(call, Need):
            return call
    return None


def _complete(route: APIRoute, operation: dict[str, Any]) -> set[type[BaseModel]]:
    """Enter the body and the permission; answers the models that need a schema."""
    models: set[type[BaseModel]] = set()
    for call in dependencies(route.dependant):
        if isinstance(call, Body):
            model = cast("type[BaseModel]", call.model)  # pyright: ignore[reportUnknownMemberType]
            content = {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}
            operation["requestBody"] = {"content": content, "required": not call.optional}
            models.add(model)
    need = need_of(route)
    if need is not None:
        operation["security"] = _SECURITY
        if need.permission is not None:
            operation["x-permission"] = str(need.permission)
    return models


def _add_models(schemas: dict[str, Any], models: set[type[BaseModel]]) -> None:
    ordered = sorted(models, key=lambda model: model.__name__)
    _, made = models_json_schema(
        [(model, "validation") for model in ordered],
        ref_template="#/components/schemas/{model}",
    )
    for name, schema in made.get("$defs", {}).items():
        schemas.setdefault(name, schema)


def _add_descriptions(schemas: dict[str, Any]) -> None:
    known = {
        model.__name__: model
        for model in _subclasses(BaseModel)
        if model.__module__.startswith("alcove.wire")
    }
    for name, schema in schemas.items():
        model = known.get(name)
        if model is None:
            continue
        texts = _field_texts(model)
        for field, part in schema.get("properties", {}).items():
            if field in texts and "description" not in part:
                part["description"] = texts[field]


def _subclasses(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _subclasses(inner)


@cache
def _field_texts(model: type[BaseModel]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind.__module__.startswith("alcove.wire"):
            texts |= _docstrings(kind.__module__).get(kind.__name__, {})
    return texts


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Class to field to the text that stands below the field."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields = found.setdefault(node.name, {})
        for line, below in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(line, ast.AnnAssign)
                and isinstance(line.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                fields[line.target.id] = inspect.cleandoc(below.value.value)
    return found
