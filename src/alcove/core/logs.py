"""What a workspace says while it starts: the image's build, the start-up's steps, the agent."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from alcove.core import access
from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.drivers.base import ImageBuilder
from alcove.model.access import Actor, Permission
from alcove.model.errors import DriverError, Unavailable
from alcove.model.workspace import Phase

LINE_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LogLine:
    """`offset` grows; a follower goes on behind the last one it has. Image lines have -1."""

    offset: int
    at: datetime | None
    source: str
    line: str


async def read(
    core: Core, actor: Actor, ref: str, *, follow: bool = False, after: int = 0
) -> AsyncIterator[LogLine]:
    """The log from `after` on; with `follow`, also what comes.

    While the workspace does not run there is only its image's log.
    """
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_READ)
    if workspace.phase is not Phase.RUNNING:
        if isinstance(core.driver, ImageBuilder):
            try:
                text = await core.driver.image_log(workspace.spec.image.key)
            except DriverError as error:
                text = str(error)
            for line in text.splitlines():
                yield LogLine(-1, None, "image", line)
        return
    query = {"offset": after, **({"follow": 1} if follow else {})}
    target = f"/alcove/logs?{urlencode(query)}"
    async with core.agents.request(Reach.of(workspace), "GET", target) as response:
        waiting = b""
        async for piece in response.body():
            *lines, waiting = (waiting + piece).split(b"\n")
            if len(waiting) > LINE_MAX:
                raise Unavailable("the agent's log has a line without end")
            for line in lines:
                if line:
                    yield _line(line)


def _line(text: bytes) -> LogLine:
    try:
        said: Mapping[str, Any] = json.loads(text)
        at = said.get("at")
        return LogLine(
            offset=int(said["offset"]),
            at=datetime.fromisoformat(at) if at else None,
            source=str(said.get("source") or "agent"),
            line=str(said.get("line") or ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable("the agent's log cannot be read") from error
