"""The catalog, and the form that creates a workspace from a template."""

import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import Path
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import templates, workspaces
from alcove.core.pages import PageRequest
from alcove.core.templates import CatalogEntry
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.http.problem import field_errors
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, FieldError, Invalid, QuotaExceeded, Unsupported
from alcove.model.template import ParameterType
from alcove.web.pages import CoreOf, render, router, see
from alcove.wire.workspaces import NewWorkspace

routes = router()
Name = Annotated[str, Path(max_length=64)]
Reader = Annotated[Actor, needs(Permission.TEMPLATE_READ)]
Creator = Annotated[Actor, needs(Permission.WORKSPACE_CREATE)]


@routes.get("/templates")
async def find(core: CoreOf, actor: Reader) -> Response:
    found = await templates.find(core, actor, PageRequest(500))
    ready = [entry for entry in found.items if entry.template.active is not None]
    return render("templates.html", user=actor.name, entries=ready)


@routes.get("/templates/{name}/new")
async def form(core: CoreOf, actor: Creator, name: Name) -> Response:
    entry = await templates.get(core, actor, name)
    return _form(actor, entry, values={}, errors=())


@routes.post("/templates/{name}/new")
async def create(request: Request, core: CoreOf, actor: Creator, name: Name) -> Response:
    entry = await templates.get(core, actor, name)
    fields = await read_form(request)
    try:
        wanted = NewWorkspace.model_validate(_wanted(entry, fields), strict=False)
        made = await workspaces.create(core, actor, wanted)
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False, include_input=False))
        return _form(actor, entry, values=fields, errors=found)
    except Invalid as error:
        faults = error.errors or (FieldError("", str(error)),)
        return _form(actor, entry, values=fields, errors=faults)
    except (Conflict, QuotaExceeded, Unsupported) as error:
        return _form(actor, entry, values=fields, errors=(FieldError("", str(error)),))
    return see(f"/workspaces/{made.id}")


def _wanted(entry: CatalogEntry, fields: Mapping[str, str]) -> dict[str, object]:
    """Only what was filled in: an empty field is the default."""
    wanted: dict[str, object] = {"template": entry.template.name}
    wanted |= {k: fields[k] for k in ("name", "repo", "branch", "ttl") if fields.get(k)}
    given: dict[str, str] = {}
    for parameter in entry.version.recipe.parameters:
        text = fields.get(f"parameters.{parameter.name}", "")
        if parameter.type is ParameterType.LIST:
            text = re.sub(r"\r\n?", "\n", text)
        if text:
            given[parameter.name] = text
    return wanted | ({"rich_parameters": given} if given else {})


def _form(
    actor: Actor,
    entry: CatalogEntry,
    *,
    values: Mapping[str, str],
    errors: "tuple[FieldError, ...] | list[FieldError]",
) -> Response:
    known = {"name", "repo", "branch", "ttl"} | {
        f"parameters.{p.name}" for p in entry.version.recipe.parameters
    }
    return render(
        "new.html",
        status=422 if errors else 200,
        user=actor.name,
        entry=entry,
        recipe=entry.version.recipe,
        values=values,
        errors={e.field: e.message for e in errors if e.field in known},
        others=[e for e in errors if e.field not in known],
    )
