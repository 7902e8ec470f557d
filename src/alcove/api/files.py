"""`/workspaces/{workspace}/files` and `/archive`: bytes through, nothing kept here."""

from typing import Annotated, TypeAlias

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.routing import router
from alcove.api.streaming import Streaming, Writer
from alcove.core import files
from alcove.core.files import DEPTH_MAX, PATH_MAX
from alcove.http.access import needs
from alcove.http.body import require_type, stream
from alcove.http.problem import responses
from alcove.model.access import Actor, Permission
from alcove.wire.base import Page
from alcove.wire.files import FileEntry

routes = router("files")
OCTETS = "application/octet-stream"
TAR = "application/x-tar"
User: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_FILES)]
FilePath: TypeAlias = Annotated[
    str,
    Query(
        min_length=1,
        max_length=PATH_MAX,
        description="Absolute, or relative to the home of the workspace's user.",
    ),
]
_ERRORS = (401, 403, 404, 409, 422, 429, 503)


def _body(media_type: str) -> dict[str, object]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "content": content}}


@routes.get(
    "/workspaces/{workspace}/files",
    response_class=Response,
    responses={
        200: {"description": "The bytes", "content": {OCTETS: {}}},
        206: {"description": "A part of them", "content": {OCTETS: {}}},
        **responses(*_ERRORS),
    },
)
async def read(
    core: CoreOf,
    actor: User,
    ref: WorkspaceRef,
    path: FilePath,
    range: Annotated[str | None, Header(max_length=64, description="`bytes=0-99`")] = None,
) -> Response:
    """A file's bytes, or a part of them."""

    async def fill(writer: Writer) -> None:
        async with files.read(core, actor, ref, path, range=range) as body:
            await writer.start(status=body.status, headers=body.headers)
            async for piece in body.pieces:
                await writer.write(piece)

    headers = {"content-disposition": "attachment"}
    return Streaming(core, actor, fill, media_type=OCTETS, headers=headers)


@routes.put(
    "/workspaces/{workspace}/files",
    **documents(None, 404, 409, 413, 415, status=204),
    openapi_extra=_body(OCTETS),
)
async def write(
    request: Request, core: CoreOf, actor: User, ref: WorkspaceRef, path: FilePath
) -> Response:
    """Make or replace a file: whole or not at all. Directories above it are made."""
    require_type(request, OCTETS)
    size = request.headers.get("content-length", "")
    await files.write(
        core,
        actor,
        ref,
        path,
        stream(request, size_max=core.settings.body_max_mib << 20),
        size=int(size) if size.isdecimal() else None,
    )
    return nothing()


@routes.delete("/workspaces/{workspace}/files", **documents(None, 404, 409, status=204))
async def remove(core: CoreOf, actor: User, ref: WorkspaceRef, path: FilePath) -> Response:
    """Remove a file, or a directory with all that is in it."""
    await files.remove(core, actor, ref, path)
    return nothing()


@routes.get("/workspaces/{workspace}/files/list", **documents(Page[FileEntry], 404, 409))
async def find(
    core: CoreOf,
    actor: User,
    ref: WorkspaceRef,
    path: FilePath = ".",
    depth: Annotated[int, Query(ge=1, le=DEPTH_MAX)] = 1,
) -> Response:
    """What a directory holds."""
    found = await files.find(core, actor, ref, path, depth=depth)
    items = [
        FileEntry(
            name=entry.name,
            path=entry.path,
            type=entry.type,
            size=entry.size,
            mode=f"{entry.mode & 0o7777:04o}",
            modified_at=entry.modified_at,
            target=entry.target,
        )
        for entry in found
    ]
    return answer(Page[FileEntry](items=items))


@routes.get(
    "/workspaces/{workspace}/archive",
    response_class=Response,
    responses={
        200: {"description": "A tar", "content": {TAR: {}}},
        **responses(*_ERRORS),
    },
)
async def read_archive(
    core: CoreOf, actor: User, ref: WorkspaceRef, path: FilePath = "."
) -> Response:
    """A file or a directory as a tar, written as it is read."""

    async def fill(writer: Writer) -> None:
        async with files.read_archive(core, actor, ref, path) as body:
            await writer.start(headers=body.headers)
            async for piece in body.pieces:
                await writer.write(piece)

    return Streaming(core, actor, fill, media_type=TAR)


@routes.put(
    "/workspaces/{workspace}/archive",
    **documents(None, 404, 409, 413, 415, status=204),
    openapi_extra=_body(TAR),
)
async def write_archive(
    request: Request, core: CoreOf, actor: User, ref: WorkspaceRef, path: FilePath = "."
) -> Response:
    """Unpack a tar below a directory. What would leave it is refused."""
    require_type(request, TAR)
    pieces = stream(request, size_max=core.settings.body_max_mib << 20)
    await files.write_archive(core, actor, ref, path, pieces)
    return nothing()
