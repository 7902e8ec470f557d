# Made by tools/async_to_sync.py from _async/watching.py: change that one.
"""Changes of files, as they happen."""

from collections.abc import Iterator

import httpx

from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import Query, problem_in_message, read
from alcove.sdk.errors import Unavailable
from alcove.sdk.sse import Parser
from alcove.wire.processes import FileChange

SILENCE_MAX_S = 60.0


def watch(
    transport: Transport, base: str, path: str, *, recursive: bool
) -> Iterator[FileChange | None]:
    """None once watching has begun, then each change. What happens while the connection is
    lost cannot be told, so it is not taken up: Unavailable."""
    query: Query = {"path": path, "recursive": recursive}
    with transport.stream(
        "GET",
        f"{base}/files/watch",
        query=query,
        headers={"Accept": "text/event-stream"},
        timeout_s=SILENCE_MAX_S,
    ) as response:
        parser = Parser()
        try:
            for chunk in response.iter_bytes():
                for event in parser.feed(chunk):
                    match event.event:
                        case "ready":
                            yield None
                        case "change":
                            yield read(FileChange, event.data)
                        case "error":
                            raise problem_in_message(event.data)
                        case _:
                            pass
        except httpx.TransportError as error:
            raise Unavailable(f"lost the connection while watching: {error}") from error
