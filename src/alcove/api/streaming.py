"""Answers that last: plain ASGI, so that a chunk costs two calls and no copy.

While one runs, its caller is looked at again and again: a disabled user's or a revoked token's
stream ends within a second, and so does everybody's when the server is told to stop.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, TypeVar

import anyio
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from alcove.core.app import Core
from alcove.core.standing import still_allowed
from alcove.http.context import context_of
from alcove.http.problem import describe
from alcove.model.access import Actor
from alcove.model.errors import AlcoveError

BEAT_S: Final = 15.0
EVENT_STREAM: Final = "text/event-stream"
_ItemT = TypeVar("_ItemT")


class Writer:
    """What a body writes with. The status is sent with the first piece, so that an error before
    it is still an ordinary answer."""

    def __init__(self, send: Send, status: int, headers: Mapping[str, str]) -> None:
        self._send = send
        self._status = status
        self._headers = dict(headers)
        self.started = False

    async def start(
        self, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send the head now; only once."""
        self.started = True
        merged = {**self._headers, **(headers or {})}
        await self._send(
            {
                "type": "http.response.start",
                "status": status or self._status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1"))
                    for name, value in merged.items()
                ],
            }
        )

    async def write(self, data: bytes) -> None:
        """Waits while the client does not read."""
        if not self.started:
            await self.start()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def event(self, name: str, data: BaseModel | str, *, id: int | None = None) -> None:
        """A server-sent event. `data` is a model, or JSON in one line."""
        text = data if isinstance(data, str) else data.model_dump_json()
        head = f"id: {id}\n" if id is not None else ""
        await self.write(f"{head}event: {name}\ndata: {text}\n\n".encode())

    async def beat(self) -> None:
        """A comment, so that nothing between us takes the stream for dead."""
        await self.write(b": beat\n\n")

    async def end(self) -> None:
        if not self.started:
            await self.start()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


Fill: TypeAlias = Callable[[Writer], Awaitable[None]]


class Streaming(Response):
    """Runs `fill` for as long as the client is there and may have it."""

    def __init__(
        self,
        core: Core,
        actor: Actor,
        fill: Fill,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.core = core
        self.actor = actor
        self._fill = fill
        self.head = {"content-type": media_type, **(headers or {})}
        self._events = media_type == EVENT_STREAM
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = Writer(send, self.status_code, self.head)
        error = await self.run(receive, writer)
        if error is None:
            await writer.end()
            return
        if writer.started and self._events:
            problem, _ = describe(error, request_id=context_of(scope).request_id)
            await writer.event("error", problem.model_dump_json(exclude_none=True))
            await writer.end()
            if isinstance(error, AlcoveError):
                return
        raise error

    async def run(
        self, receive: Receive, writer: Writer, *, recheck: bool = True
    ) -> Exception | None:
        """Fill it, and answer what went wrong; the end is the caller's to write. `recheck`:
        whether the actor's right to it is looked at meanwhile."""
        # A task group would wrap what went wrong, so that it is carried out by hand.
        failed: Exception | None = None

        async def watch_client() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        async def watch_actor() -> None:
            nonlocal failed
            try:
                await still_allowed(self.core, self.actor)
            except AlcoveError as error:
                failed = error
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_client)
            if recheck:
                tasks.start_soon(watch_actor)
            if self._events:
                tasks.start_soon(_beat, writer)
            try:
                await self._fill(writer)
            except Exception as error:
                failed = error
            tasks.cancel_scope.cancel()
        return failed


async def _beat(writer: Writer) -> None:
    while True:
        await anyio.sleep(BEAT_S)
        if writer.started:
            await writer.beat()


@asynccontextmanager
async def closing(source: AsyncIterator[_ItemT]) -> AsyncGenerator[AsyncIterator[_ItemT]]:
    """Read from an async generator, and close it when the block ends, however that is."""
    try:
        yield source
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


def wants_events(connection: HTTPConnection) -> bool:
    """Whether the client asked for server-sent events."""
    return EVENT_STREAM in connection.headers.get("accept", "")
