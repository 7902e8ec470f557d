"""`files/upload…`, `files/download…`: files in and out, one or many, by token or by signed URL."""

import json as text
import posixpath
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona import errors, signing
from alcove.api.compat.daytona.creating import Asked
from alcove.api.compat.daytona.multipart import Form
from alcove.api.compat.daytona.routing import TOOLBOX, SandboxRef, json, router
from alcove.api.compat.daytona.streamed import Streamed
from alcove.api.compat.daytona.toolbox_files import FilePath, User
from alcove.api.streaming import Writer
from alcove.core import files
from alcove.http.body import body, stream
from alcove.http.context import context_of
from alcove.model.errors import AlcoveError, FieldError, Invalid

routes = router(TOOLBOX + "/{sandbox}/files")
OCTETS: Final = "application/octet-stream"


class FilesDownload(Asked):
    paths: Annotated[
        list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1000)
    ]


@routes.get("/download")
async def download(request: Request, core: CoreOf, ref: SandboxRef, path: FilePath) -> Response:
    """One file, for a token or a signature."""
    actor = await signing.caller(request, core, ref, method="GET", path=path)

    async def fill(writer: Writer) -> None:
        async with files.read(core, actor, ref, path) as found:
            await writer.start(status=found.status, headers=found.headers)
            async for piece in found.pieces:
                await writer.write(piece)

    name = quote(posixpath.basename(path))
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{name}"}
    return Streamed(core, actor, fill, media_type=OCTETS, headers=headers)


@routes.post("/upload")
@routes.post("/upload-v2")
async def upload(request: Request, core: CoreOf, ref: SandboxRef, path: FilePath) -> Response:
    """One file, as the body or as the file of a form; whole or not at all."""
    actor = await signing.caller(request, core, ref, method="POST", path=path)
    size_max = core.settings.body_max_mib << 20
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        taken = 0

        async def take(_field: str, _name: str, pieces: AsyncIterator[bytes]) -> None:
            nonlocal taken
            taken += 1
            if taken > 1:
                raise Invalid("send one file; bulk-upload takes many")
            await files.write(core, actor, ref, path, pieces)

        await Form(request, size_max=size_max).read(take)
        if not taken:
            raise Invalid("file: the form has no file", [FieldError("file", "is missing")])
    else:
        await files.write(core, actor, ref, path, stream(request, size_max=size_max))
    return json({"name": posixpath.basename(path), "path": path, "type": "file"})


@routes.post("/bulk-upload")
async def bulk_upload(request: Request, core: CoreOf, actor: User, ref: SandboxRef) -> Response:
    """`files[0].path` says where `files[0].file` goes, and stands before it."""
    form = Form(request, size_max=core.settings.body_max_mib << 20)
    done: list[dict[str, Any]] = []
    faults: list[str] = []

    async def take(field: str, name: str, pieces: AsyncIterator[bytes]) -> None:
        path = form.fields.get(f"{field.removesuffix('.file')}.path") or name
        if not path:
            raise Invalid(f"{field[:64]}: its path has to stand before it")
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in pieces:
                size += len(piece)
                yield piece

        try:
            await files.write(core, actor, ref, path, counted())
        except Invalid as error:
            faults.append(f"{path[:200]}: {error}")
        else:
            done.append({"path": path, "bytes": size})

    await form.read(take)
    if faults:
        return json({"errors": faults, "files": done, "message": "; ".join(faults)}, 400)
    if not done:
        raise Invalid("files[0].file: the form has no file")
    return json({"files": done, "errors": []})


@routes.post("/bulk-download")
async def bulk_download(
    request: Request,
    core: CoreOf,
    actor: User,
    ref: SandboxRef,
    asked: Annotated[FilesDownload, body(FilesDownload)],
) -> Response:
    """A form with one part for each path: `file` with its bytes, or `error` with the reason."""
    boundary = secrets.token_hex(24)
    await files.stat(core, actor, ref, "/")

    async def fill(writer: Writer) -> None:
        for path in asked.paths:
            await _part(writer, boundary, path)
        await writer.write(f"--{boundary}--\r\n".encode())

    async def _part(writer: Writer, boundary: str, path: str) -> None:
        begun = False
        try:
            async with files.read(core, actor, ref, path) as found:
                head = {"content-type": OCTETS}
                if "content-length" in found.headers:
                    head["content-length"] = found.headers["content-length"]
                await writer.write(_head(boundary, "file", path, head))
                begun = True
                async for piece in found.pieces:
                    await writer.write(piece)
        except AlcoveError as error:
            if begun:
                # Cutting the answer is all that can still be said.
                raise
            said, _, _ = errors.said(
                error,
                path=request.scope["path"],
                request_id=context_of(request.scope).request_id,
                now=core.clock().isoformat(),
            )
            head = {"content-type": "application/json"}
            await writer.write(_head(boundary, "error", path, head))
            await writer.write(text.dumps(said).encode())
        await writer.write(b"\r\n")

    media_type = f"multipart/form-data; boundary={boundary}"
    return Streamed(core, actor, fill, media_type=media_type)


def _head(boundary: str, name: str, path: str, headers: Mapping[str, str]) -> bytes:
    if path.isascii() and path.isprintable():
        quoted = path.replace("\\", "\\\\").replace('"', '\\"')
        filename = f'filename="{quoted}"'
    else:
        filename = f"filename*=UTF-8''{quote(path, safe='/')}"
    lines = [f"--{boundary}", f'content-disposition: form-data; name="{name}"; {filename}']
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
