"""`/templates`: the catalog, pushing a version, promoting one, and trying one out."""

from functools import partial
from typing import Annotated, Final

import anyio
from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf
from alcove.api.catalog import (
    present,
    present_parameter,
    present_problem,
    present_rendered,
    present_version,
)
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.pages import PageQuery
from alcove.api.routing import router
from alcove.api.tar import files_of_tar
from alcove.core import access, identity, templates
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.core.templates import BYTES_MAX, VERSION_MAX, Pushed
from alcove.http.access import needs
from alcove.http.body import body, parse, read_all, require_type
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid
from alcove.wire.base import NAME_PATTERN, Page
from alcove.wire.templates import (
    LintAnswer,
    LintRequest,
    NewTemplate,
    NewTemplateVersion,
    Rendered,
    RenderRequest,
    Template,
    TemplateFiles,
    TemplateParameter,
    TemplateVersion,
    files_of,
)
from alcove.wire.workspaces import NewWorkspace

routes = router("templates")
JSON_MAX: Final = 3 * BYTES_MAX
TAR_MAX: Final = 2 * BYTES_MAX
TAR: Final = "application/x-tar"
Reader = Annotated[Actor, needs(Permission.TEMPLATE_READ)]
Author = Annotated[Actor, needs(Permission.TEMPLATE_WRITE)]
Name = Annotated[str, Path(max_length=63)]
Number = Annotated[int, Path(ge=1, le=VERSION_MAX)]
_VERSION_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/NewTemplateVersion"}},
            TAR: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class PushQuery(PageQuery):
    """For a tar, which has no room for these."""

    message: Annotated[str, Field(max_length=256)] = ""
    promote: bool = False


@routes.get("/templates", **documents(Page[Template]))
async def find(core: CoreOf, actor: Reader, page: Annotated[PageQuery, Query()]) -> Response:
    """The catalog, by name."""
    found = await templates.find(core, actor, PageRequest(page.limit, page.cursor))
    items = [present(entry) for entry in found.items]
    return answer(Page[Template](items=items, next_cursor=found.next_cursor))


@routes.post("/templates", **documents(TemplateVersion, 400, 409, 413, 415, status=201))
async def create(
    request: Request,
    core: CoreOf,
    actor: Author,
    new: Annotated[NewTemplate, body(NewTemplate, size_max=JSON_MAX)],
    key: IdempotencyKey = None,
) -> Response:
    """Push a template from its files; its name is `template.yaml`'s unless given."""

    async def act() -> Response:
        pushed = await templates.push(
            core,
            actor,
            name=new.name,
            files=_files(new),
            message=new.message,
            promote=new.promote,
        )
        return await _pushed(core, pushed)

    return await once(request, actor, key, act)


@routes.post("/templates/lint", **documents(LintAnswer, 400, 413, 415))
async def lint(
    core: CoreOf,
    actor: Reader,
    asked: Annotated[LintRequest, body(LintRequest, size_max=JSON_MAX)],
) -> Response:
    """What a push of these files would say, each problem with its line; nothing is stored."""
    access.require(actor, Permission.TEMPLATE_READ)
    # Off the loop: a large template takes a while to read.
    look = partial(templates.lint, _files(asked), name=asked.name)
    problems = await anyio.to_thread.run_sync(look)
    ok = not any(p.severity == "error" for p in problems)
    return answer(LintAnswer(ok=ok, problems=[present_problem(p) for p in problems]))


@routes.get("/templates/{name}", **documents(Template, 404))
async def get(core: CoreOf, actor: Reader, name: Name) -> Response:
    """One template, as new workspaces get it."""
    return answer(present(await templates.get(core, actor, name)))


@routes.get("/templates/{name}/parameters", **documents(Page[TemplateParameter], 404))
async def parameters(core: CoreOf, actor: Reader, name: Name) -> Response:
    """The questions that it asks."""
    entry = await templates.get(core, actor, name)
    items = [present_parameter(p) for p in entry.version.recipe.parameters]
    return answer(Page[TemplateParameter](items=items))


@routes.get("/templates/{name}/versions", **documents(Page[TemplateVersion], 404))
async def versions(
    core: CoreOf, actor: Reader, name: Name, page: Annotated[PageQuery, Query()]
) -> Response:
    """Versions, newest first. One never changes."""
    entry = await templates.get(core, actor, name)
    found = await templates.versions(core, actor, name, PageRequest(page.limit, page.cursor))
    names = await identity.names(core, {v.created_by for v in found.items})
    items = [
        present_version(v, names[v.created_by], active=v.number == entry.template.active)
        for v in found.items
    ]
    return answer(Page[TemplateVersion](items=items, next_cursor=found.next_cursor))


@routes.post(
    "/templates/{name}/versions",
    **documents(TemplateVersion, 400, 409, 413, 415, status=201),
    openapi_extra=_VERSION_BODY,
)
async def push(
    request: Request,
    core: CoreOf,
    actor: Author,
    name: Annotated[str, Path(max_length=63, pattern=NAME_PATTERN)],
    query: Annotated[PushQuery, Query()],
    key: IdempotencyKey = None,
) -> Response:
    """Push a version, as a JSON of files or as a tar. The template is made if it is not there;
    the same files again answer the version that has them."""
    kind = require_type(request, "application/json", TAR)
    raw = await read_all(request, size_max=JSON_MAX if kind != TAR else TAR_MAX)
    request.state.raw_body = raw
    if kind == TAR:
        files = files_of_tar(raw)
        message, promote = query.message, query.promote
    else:
        new = parse(NewTemplateVersion, raw)
        files, message, promote = _files(new), new.message, new.promote

    async def act() -> Response:
        pushed = await templates.push(
            core, actor, name=name, files=files, message=message, promote=promote
        )
        return await _pushed(core, pushed)

    return await once(request, actor, key, act)


@routes.post("/templates/{name}/versions/{number}/promote", **documents(Template, 404, 409))
async def promote(core: CoreOf, actor: Author, name: Name, number: Number) -> Response:
    """Make a version the one that new workspaces get; an older one rolls back."""
    return answer(present(await templates.promote(core, actor, name, number)))


@routes.post("/templates/{name}/render", **documents(Rendered, 400, 404, 413, 415))
async def render(
    core: CoreOf,
    actor: Reader,
    name: Name,
    asked: Annotated[RenderRequest, body(RenderRequest, optional=True)],
) -> Response:
    """What a workspace with these parameters would be; nothing is made."""
    request = NewWorkspace(
        template_id=name,
        template_version=asked.version,
        parameters=asked.parameters,
        resources=asked.resources,
        isolation=asked.isolation,
        network=asked.network,
    )
    version, made = await templates.render_dry(core, actor, name, request)
    return answer(present_rendered(version, made))


def _files(request: TemplateFiles) -> dict[str, bytes]:
    try:
        return files_of(request)
    except ValueError as error:
        said = str(error)
        raise Invalid(f"files_base64: {said}", [FieldError("files_base64", said)]) from None


async def _pushed(core: Core, pushed: Pushed) -> Response:
    version = pushed.version
    names = await identity.names(core, {version.created_by})
    shown = present_version(
        version,
        names[version.created_by],
        active=pushed.active,
        warnings=[present_problem(p) for p in pushed.warnings],
    )
    return answer(shown, 201 if pushed.fresh else 200)
