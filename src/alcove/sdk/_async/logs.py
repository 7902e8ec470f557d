"""The lines of a workspace's log: so far, and as they come."""

from collections.abc import AsyncIterator
from typing import Final

from alcove.model.workspace import Phase
from alcove.sdk._async.events import follow
from alcove.sdk._async.pages import items
from alcove.sdk._async.primitives import sleep
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import read
from alcove.sdk.errors import Conflict
from alcove.wire.base import Page
from alcove.wire.files import LogLine
from alcove.wire.workspaces import Workspace

_UNDER_WAY: Final = frozenset(
    {Phase.PROVISIONING, Phase.STARTING, Phase.RUNNING, Phase.RESUMING, Phase.UNREACHABLE}
)
_LOOK_S: Final = 1.0


def lines(transport: AsyncTransport, workspace: str) -> AsyncIterator[LogLine]:
    """What there is, oldest first. `workspace` is its path."""
    return items(transport, Page[LogLine], f"{workspace}/logs")


async def follow_lines(transport: AsyncTransport, workspace: str) -> AsyncIterator[LogLine]:
    """What there is and what comes, until the workspace stops or fails.

    While it is being made the server has the image's log and ends the stream; so it is asked
    again until there is no more to come.
    """
    image_lines, last = 0, -1
    while True:
        known = image_lines
        stream = follow(transport, f"{workspace}/logs", {"after": last}, until_end=True)
        try:
            async for event in stream:
                line = read(LogLine, event.data)
                if line.offset >= 0:
                    last = line.offset
                elif known > 0:
                    # The image's lines have no number and come from the start each time.
                    known -= 1
                    continue
                else:
                    image_lines += 1
                yield line
        except Conflict:
            # It stopped between two looks.
            pass
        now = await transport.get(Workspace, workspace)
        if now.phase not in _UNDER_WAY:
            return
        await sleep(_LOOK_S)
