"""Files of a workspace, for the API: bytes pass through, nothing is kept here.

What may be read and written is decided inside the workspace, by its kernel, with the rights of
its user. Each use is told of by an event, see `core/journal.py` for what that promises.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from alcove.core.agent import Reach
from alcove.core.agent_connection import Response
from alcove.core.app import Core
from alcove.core.execs import told
from alcove.core.intents import event
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, NotFound, Unavailable
from alcove.model.event import EventKind
from alcove.model.workspace import Workspace

PATH_MAX: Final = 4096
DEPTH_MAX: Final = 16
RANGE: Final = re.compile(r"bytes=[0-9]{0,18}-[0-9]{0,18}")
_PASSED_ON: Final = ("content-length", "content-range", "last-modified", "etag", "accept-ranges")
_TYPES: Final = {
    "FILE_TYPE_FILE": "file",
    "FILE_TYPE_DIRECTORY": "directory",
    "FILE_TYPE_SYMLINK": "symlink",
}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """`type`: file, directory, symlink or other. `target` is a symlink's."""

    name: str
    path: str
    type: str
    size: int
    mode: int
    modified_at: datetime | None
    target: str | None
    owner: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class FileBody:
    """`status` is 200, or 206 for a range. The pieces are read inside the block."""

    status: int
    headers: Mapping[str, str]
    """Those of length, range and age, in lower case."""
    pieces: AsyncIterator[bytes]


@asynccontextmanager
async def read(
    core: Core, actor: Actor, ref: str, path: str, *, range: str | None = None
) -> AsyncGenerator[FileBody]:
    """A file's bytes, or a part of them (`bytes=0-99`). Raises NotFound, Denied, Invalid."""
    workspace = await _workspace(core, actor, ref, path)
    headers = [("Range", range)] if range is not None and RANGE.fullmatch(range) else []
    target = f"/files?{urlencode({'path': path})}"
    async with core.agents.request(Reach.of(workspace), "GET", target, headers) as response:
        await _tell(core, actor, workspace, EventKind.FILE_READ, path)
        yield _body(response)


async def write(
    core: Core,
    actor: Actor,
    ref: str,
    path: str,
    pieces: AsyncIterable[bytes],
    *,
    size: int | None = None,
) -> None:
    """Replace or make a file, whole or not at all; directories above it are made."""
    workspace = await _workspace(core, actor, ref, path)
    headers = [("Content-Type", "application/octet-stream")]
    if size is not None:
        headers.append(("Content-Length", str(size)))
    target = f"/files?{urlencode({'path': path})}"
    reach = Reach.of(workspace)
    async with core.agents.request(reach, "POST", target, headers, pieces) as response:
        await response.read(limit=1 << 20)
    await _tell(core, actor, workspace, EventKind.FILE_WRITTEN, path)


async def remove(core: Core, actor: Actor, ref: str, path: str) -> None:
    """Remove a file, or a directory with all that is in it."""
    workspace = await _workspace(core, actor, ref, path)
    reach = Reach.of(workspace)
    await core.agents.json(reach, "POST", "/filesystem.Filesystem/Remove", {"path": path})
    await _tell(core, actor, workspace, EventKind.FILE_REMOVED, path)


async def make_directory(core: Core, actor: Actor, ref: str, path: str) -> None:
    """With those above it. Raises Conflict when something is there already."""
    workspace = await _workspace(core, actor, ref, path)
    reach = Reach.of(workspace)
    await core.agents.json(reach, "POST", "/filesystem.Filesystem/MakeDir", {"path": path})
    await _tell(core, actor, workspace, EventKind.FILE_WRITTEN, path)


async def move(core: Core, actor: Actor, ref: str, source: str, destination: str) -> None:
    """Give a file or a directory another name. Raises NotFound, and Invalid for a path."""
    workspace = await _workspace(core, actor, ref, source)
    await _workspace(core, actor, ref, destination)
    asked = {"source": source, "destination": destination}
    reach = Reach.of(workspace)
    await core.agents.json(reach, "POST", "/filesystem.Filesystem/Move", asked)
    await _tell(core, actor, workspace, EventKind.FILE_REMOVED, source)
    await _tell(core, actor, workspace, EventKind.FILE_WRITTEN, destination)


async def find(
    core: Core, actor: Actor, ref: str, path: str, *, depth: int = 1
) -> Sequence[FileEntry]:
    """What is in a directory, `depth` levels deep."""
    workspace = await _workspace(core, actor, ref, path)
    if not 1 <= depth <= DEPTH_MAX:
        said = f"{depth} is not between 1 and {DEPTH_MAX}"
        raise Invalid(f"depth: {said}", [FieldError("depth", said)])
    asked = {"path": path, "depth": depth}
    target = "/filesystem.Filesystem/ListDir"
    answer = await core.agents.json(Reach.of(workspace), "POST", target, asked)
    core.journal.used(workspace.id, core.clock())
    entries: Sequence[Mapping[str, Any]] = answer.get("entries") or () if answer else ()
    return [_entry(said) for said in entries]


async def stat(core: Core, actor: Actor, ref: str, path: str) -> FileEntry:
    workspace = await _workspace(core, actor, ref, path)
    target = "/filesystem.Filesystem/Stat"
    answer = await core.agents.json(Reach.of(workspace), "POST", target, {"path": path})
    if not answer or "entry" not in answer:
        raise NotFound(f"{path[:200]!r} is not there")
    return _entry(answer["entry"])


@asynccontextmanager
async def read_archive(core: Core, actor: Actor, ref: str, path: str) -> AsyncGenerator[FileBody]:
    """A file or directory as a tar, written as it is read."""
    workspace = await _workspace(core, actor, ref, path)
    target = f"/alcove/archive?{urlencode({'path': path})}"
    async with core.agents.request(Reach.of(workspace), "GET", target) as response:
        await _tell(core, actor, workspace, EventKind.FILE_READ, path, archive=True)
        yield _body(response)


async def write_archive(
    core: Core, actor: Actor, ref: str, path: str, pieces: AsyncIterable[bytes]
) -> None:
    """Unpack a tar below a directory. The agent refuses entries that would leave it."""
    workspace = await _workspace(core, actor, ref, path)
    target = f"/alcove/archive?{urlencode({'path': path})}"
    headers = [("Content-Type", "application/x-tar")]
    reach = Reach.of(workspace)
    async with core.agents.request(reach, "PUT", target, headers, pieces) as response:
        await response.read(limit=1 << 20)
    await _tell(core, actor, workspace, EventKind.FILE_WRITTEN, path, archive=True)


async def _workspace(core: Core, actor: Actor, ref: str, path: str) -> Workspace:
    if not path or len(path.encode(errors="replace")) > PATH_MAX or "\0" in path:
        said = f"must be a path of 1 to {PATH_MAX} bytes without NUL"
        raise Invalid(f"path: {said}", [FieldError("path", said)])
    return await entered(core, actor, ref, Permission.WORKSPACE_FILES)


def _body(response: Response) -> FileBody:
    headers = {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
    return FileBody(response.status, headers, response.body())


def _entry(said: Mapping[str, Any]) -> FileEntry:
    """What the agent says of a file; a workspace may say anything."""
    try:
        modified = said.get("modifiedTime")
        return FileEntry(
            name=str(said["name"]),
            path=str(said["path"]),
            type="symlink" if said.get("isSymlink") else _TYPES.get(said["type"], "other"),
            size=int(said.get("size") or 0),
            mode=int(said.get("mode") or 0),
            modified_at=datetime.fromisoformat(modified) if modified else None,
            target=said.get("symlinkTarget") or None,
            owner=str(said.get("owner") or ""),
            group=str(said.get("group") or ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("the agent's list of files cannot be read") from error


async def _tell(
    core: Core,
    actor: Actor,
    workspace: Workspace,
    kind: EventKind,
    path: str,
    *,
    archive: bool = False,
) -> None:
    core.journal.used(workspace.id, core.clock())
    detail: dict[str, object] = {"path": told([path])[0]}
    if archive:
        detail["archive"] = True
    await core.journal.record(event(kind, actor, workspace, detail, at=core.clock()))
