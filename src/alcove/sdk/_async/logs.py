"""The lines of a workspace's log: so far, and as they come."""

from collections.abc import AsyncIterator

from alcove.sdk._async.events import follow
from alcove.sdk._async.pages import items
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import read
from alcove.wire.base import Page
from alcove.wire.files import LogLine


async def logs(transport: AsyncTransport, path: str, *, follow_on: bool) -> AsyncIterator[LogLine]:
    """Oldest first. With `follow_on` it ends when the workspace stops."""
    if follow_on:
        async for event in follow(transport, path, {}):
            yield read(LogLine, event.data)
        return
    async for line in items(transport, Page[LogLine], path):
        yield line
