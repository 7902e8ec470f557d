# Made by tools/async_to_sync.py from _async/logs.py: change that one.
"""The lines of a workspace's log: so far, and as they come."""

from collections.abc import Iterator

from alcove.sdk._sync.events import follow
from alcove.sdk._sync.pages import items
from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import read
from alcove.wire.base import Page
from alcove.wire.files import LogLine


def logs(transport: Transport, path: str, *, follow_on: bool) -> Iterator[LogLine]:
    """Oldest first. With `follow_on` it ends when the workspace stops."""
    if follow_on:
        for event in follow(transport, path, {}):
            yield read(LogLine, event.data)
        return
    yield from items(transport, Page[LogLine], path)
