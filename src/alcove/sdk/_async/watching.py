"""Changes of files, as they happen."""

from collections.abc import AsyncIterator

import httpx

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import Query, problem_in_message, read
from alcove.sdk.errors import Unavailable
from alcove.sdk.sse import Parser
from alcove.wire.processes import FileChange

SILENCE_MAX_S = 60.0


async def watch(
    transport: AsyncTransport, base: str, path: str, *, recursive: bool
) -> AsyncIterator[FileChange | None]:
    """None once watching has begun, then each change. What happens while the connection is
    lost cannot be told, so it is not taken up: Unavailable."""
    query: Query = {"path": path, "recursive": recursive}
    async with transport.stream(
        "GET",
        f"{base}/files/watch",
        query=query,
        headers={"Accept": "text/event-stream"},
        timeout_s=SILENCE_MAX_S,
    ) as response:
        parser = Parser()
        try:
            async for chunk in response.aiter_bytes():
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
