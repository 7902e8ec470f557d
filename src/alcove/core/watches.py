"""What changes below a directory of a workspace, as it changes."""

import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, FieldError, Invalid, NotFound, TooMany, Unavailable

PATH_MAX: Final = 4096
MESSAGE_MAX: Final = 1 << 20
_ENVELOPE: Final = struct.Struct(">BI")
_END: Final = 2


class Change(StrEnum):
    CREATED = "created"
    WRITTEN = "written"
    REMOVED = "removed"
    RENAMED = "renamed"
    """It is gone from this name; its new one follows as `created` if it is watched too."""
    MODIFIED = "modified"
    """Its mode, owner or times."""
    LOST = "lost"
    """More happened than could be kept: look for yourself."""


@dataclass(frozen=True, slots=True)
class Seen:
    change: Change
    path: str
    """Relative to what is watched."""


_CHANGES: Final = {
    "EVENT_TYPE_CREATE": Change.CREATED,
    "EVENT_TYPE_WRITE": Change.WRITTEN,
    "EVENT_TYPE_REMOVE": Change.REMOVED,
    "EVENT_TYPE_RENAME": Change.RENAMED,
    "EVENT_TYPE_CHMOD": Change.MODIFIED,
}
_ERRORS: Final[Mapping[str, type[AlcoveError]]] = {
    "not_found": NotFound,
    "invalid_argument": Invalid,
}


@asynccontextmanager
async def watch(
    core: Core, actor: Actor, ref: str, path: str, *, recursive: bool = False
) -> AsyncGenerator[AsyncIterator[Seen | None]]:
    """Changes below a directory, for as long as the block lasts; None says that watching has
    begun, and now and then that it goes on. Raises NotFound, Invalid, TooMany."""
    if not path or len(path) > PATH_MAX or "\0" in path:
        raise Invalid("path: is no path", [FieldError("path", "is no path")])
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_FILES)
    core.journal.used(workspace.id, core.clock())
    said = json.dumps({"path": path, "recursive": recursive}).encode()
    headers = [
        ("Content-Type", "application/connect+json"),
        ("Connect-Protocol-Version", "1"),
        ("Keepalive-Ping-Interval", "15"),
    ]
    body = _ENVELOPE.pack(0, len(said)) + said
    async with core.agents.request(
        Reach.of(workspace), "POST", "/filesystem.Filesystem/WatchDir", headers, body
    ) as response:
        yield _seen(_messages(response.body()))


async def _seen(messages: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[Seen | None]:
    async for message in messages:
        if (error := message.get("error")) is not None:
            raise _error(str(error.get("code")), str(error.get("message"))[:500])
        event = message.get("filesystem")
        if not isinstance(event, dict):
            yield None
            continue
        kind = _CHANGES.get(str(event.get("type")), Change.LOST)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        yield Seen(kind, str(event.get("name") or "")[:PATH_MAX])  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


async def _messages(source: AsyncIterator[bytes]) -> AsyncIterator[Mapping[str, Any]]:
    buffer = bytearray()
    async for piece in source:
        buffer += piece
        while len(buffer) >= _ENVELOPE.size:
            flags, length = _ENVELOPE.unpack_from(buffer)
            if length > MESSAGE_MAX:
                raise Unavailable("the agent sent a message that is too long")
            end = _ENVELOPE.size + length
            if len(buffer) < end:
                break
            try:
                message = json.loads(bytes(buffer[_ENVELOPE.size : end]) or b"{}")
            except ValueError as error:
                raise Unavailable("the agent sent a message that is none") from error
            del buffer[:end]
            if isinstance(message, dict):
                yield message
            if flags & _END:
                return


def _error(code: str, message: str) -> AlcoveError:
    if code == "resource_exhausted":
        return TooMany(message, retry_after_s=5)
    return _ERRORS.get(code, Unavailable)(message)
