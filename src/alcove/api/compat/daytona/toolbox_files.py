"""`files…`: what a sandbox has on its disk. Bytes pass through, nothing is kept here."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona.creating import Asked
from alcove.api.compat.daytona.routing import TOOLBOX, SandboxRef, json, router
from alcove.api.compat.daytona.shapes import stamp
from alcove.core import execs, files
from alcove.core.agent import Call
from alcove.core.app import Core
from alcove.http.access import needs
from alcove.http.body import body
from alcove.http.problem import HttpError
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, Conflict, FieldError, Invalid

routes = router(TOOLBOX + "/{sandbox}/files")
User: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_FILES)]
FilePath: TypeAlias = Annotated[str, Query(min_length=1, max_length=files.PATH_MAX)]
Pattern: TypeAlias = Annotated[str, Query(min_length=1, max_length=1024)]
REPLACE_MAX: Final = 16 << 20
"""Bytes of a file whose text is replaced; it is held in memory."""
MATCHES_MAX: Final = 10_000
_MODE: Final = re.compile(r"0?[0-7]{3,4}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10}")
_MATCH: Final = re.compile(rb"([^\x00]*)\x00([0-9]+):(.*)")
_LETTERS: Final = {"directory": "d", "symlink": "l", "file": "-"}


class ReplaceRequest(Asked):
    files: Annotated[list[str], Field(max_length=1000)]
    pattern: Annotated[str, Field(min_length=1, max_length=65536)]
    new_value: Annotated[str, Field(max_length=1 << 20)]


@routes.get("")
async def find(
    core: CoreOf,
    actor: User,
    ref: SandboxRef,
    path: FilePath = ".",
    depth: Annotated[int, Query(ge=1, le=files.DEPTH_MAX)] = 1,
) -> Response:
    """What a directory holds."""
    return json([_info(one) for one in await files.find(core, actor, ref, path, depth=depth)])


@routes.get("/info")
async def info(core: CoreOf, actor: User, ref: SandboxRef, path: FilePath) -> Response:
    return json(_info(await files.stat(core, actor, ref, path)))


@routes.post("/folder")
async def folder(
    core: CoreOf,
    actor: User,
    ref: SandboxRef,
    path: FilePath,
    mode: Annotated[str, Query(max_length=8)] = "0755",
) -> Response:
    """Make a directory with those above it; one that is there stays, with this mode."""
    _check_mode(mode)
    try:
        await files.make_directory(core, actor, ref, path)
    except Conflict:
        if (await files.stat(core, actor, ref, path)).type != "directory":
            raise
    await _chmod(core, actor, ref, path, mode)
    return Response(status_code=201)


@routes.delete("")
async def remove(
    core: CoreOf, actor: User, ref: SandboxRef, path: FilePath, recursive: bool = False
) -> Response:
    """A directory only with `recursive`."""
    if (await files.stat(core, actor, ref, path)).type == "directory" and not recursive:
        said = f"{path[:200]!r} is a directory; ask for it with recursive"
        raise Invalid(f"recursive: {said}", [FieldError("recursive", said)])
    await files.remove(core, actor, ref, path)
    return Response(status_code=204)


@routes.post("/move")
async def move(
    core: CoreOf, actor: User, ref: SandboxRef, source: FilePath, destination: FilePath
) -> Response:
    await files.move(core, actor, ref, source, destination)
    return Response(status_code=200)


@routes.get("/find")
async def find_text(
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_EXEC)],
    ref: SandboxRef,
    path: FilePath,
    pattern: Pattern,
) -> Response:
    """Lines with this text in them, in a file or in all below a directory."""
    command = ("grep", "-rIFZn", "-e", pattern, "--", path)
    found = await _run(core, actor, ref, command, good=(0, 1, 2))
    matches: list[dict[str, object]] = []
    for line in found.stdout.split(b"\n"):
        if len(matches) == MATCHES_MAX:
            break
        if hit := _MATCH.fullmatch(line):
            name, number, content = (part.decode(errors="replace") for part in hit.groups())
            matches.append({"file": name, "line": int(number), "content": content})
    if found.exit_code == 2 and not matches:
        # Told apart from nothing found: the path may not be there.
        await files.stat(core, actor, ref, path)
    return json(matches)


@routes.get("/search")
async def search(
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_EXEC)],
    ref: SandboxRef,
    path: FilePath,
    pattern: Pattern,
) -> Response:
    """Files whose name matches (`*.py`), below a directory."""
    if path.startswith("-"):
        path = f"./{path}"
    command = ("find", path, "-name", pattern, "-print0")
    found = await _run(core, actor, ref, command, good=(0, 1))
    names = found.stdout.decode(errors="replace").split("\0")[:-1]
    if found.exit_code == 1 and not names:
        await files.stat(core, actor, ref, path)
    return json({"files": names[:MATCHES_MAX]})


@routes.post("/replace")
async def replace(
    core: CoreOf,
    actor: User,
    ref: SandboxRef,
    asked: Annotated[ReplaceRequest, body(ReplaceRequest, size_max=2 << 20)],
) -> Response:
    """Put one text in the place of another in each file; each has its own result."""
    results: list[dict[str, object]] = []
    for path in asked.files:
        try:
            await _replace(core, actor, ref, path, asked)
        except AlcoveError as error:
            results.append({"file": path, "success": False, "error": str(error)})
        else:
            results.append({"file": path, "success": True})
    return json(results)


@routes.post("/permissions")
async def permissions(
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_EXEC)],
    ref: SandboxRef,
    path: FilePath,
    owner: Annotated[str | None, Query(max_length=32)] = None,
    group: Annotated[str | None, Query(max_length=32)] = None,
    mode: Annotated[str | None, Query(max_length=8)] = None,
) -> Response:
    await files.stat(core, actor, ref, path)
    if owner or group:
        for name, value in (("owner", owner), ("group", group)):
            if value and not _NAME.fullmatch(value):
                raise Invalid(f"{name}: is no name", [FieldError(name, "is no name")])
        who = f"{owner or ''}:{group}" if group else owner or ""
        await _run(core, actor, ref, ("chown", "--", who, path))
    if mode:
        _check_mode(mode)
        await _chmod(core, actor, ref, path, mode)
    return Response(status_code=200)


async def _replace(core: Core, actor: Actor, ref: str, path: str, asked: ReplaceRequest) -> None:
    before = bytearray()
    async with files.read(core, actor, ref, path) as found:
        async for piece in found.pieces:
            before += piece
            if len(before) > REPLACE_MAX:
                raise Invalid(f"{path[:200]!r} is larger than {REPLACE_MAX} bytes")
    after = bytes(before).replace(asked.pattern.encode(), asked.new_value.encode())

    async def pieces() -> AsyncIterator[bytes]:
        yield after

    if after != bytes(before):
        await files.write(core, actor, ref, path, pieces(), size=len(after))


async def _chmod(core: Core, actor: Actor, ref: str, path: str, mode: str) -> None:
    await _run(core, actor, ref, ("chmod", "--", mode, path))


async def _run(
    core: Core, actor: Actor, ref: str, command: tuple[str, ...], *, good: tuple[int, ...] = (0,)
) -> execs.ExecResult:
    """Raises Invalid with what the program said."""
    call = Call(command=command, env={"LC_ALL": "C.UTF-8"}, timeout_s=120)
    ended = await execs.run(core, actor, ref, call)
    if ended.exit_code not in good:
        why = ended.error or ended.stderr[:1000].decode(errors="replace").strip()
        if "not permitted" in why or "ermission denied" in why:
            raise HttpError(403, why)
        raise Invalid(why or f"{command[0]} ended with {ended.exit_code}")
    return ended


def _check_mode(mode: str) -> None:
    if not _MODE.fullmatch(mode):
        said = "must be octal, such as 644 or 0755"
        raise Invalid(f"mode: {said}", [FieldError("mode", said)])


def _info(entry: files.FileEntry) -> dict[str, Any]:
    bits = entry.mode & 0o7777
    at = stamp(entry.modified_at) or ""
    return {
        "name": entry.name,
        "path": entry.path,
        "isDir": entry.type == "directory",
        "size": entry.size,
        "modTime": at,
        "modifiedAt": at,
        "mode": _LETTERS.get(entry.type, "?") + _rwx(bits),
        "permissions": f"{bits:04o}",
        "owner": entry.owner,
        "group": entry.group,
    }


def _rwx(bits: int) -> str:
    return "".join(
        letter if bits >> (8 - at) & 1 else "-" for at, letter in enumerate("rwxrwxrwx")
    )
