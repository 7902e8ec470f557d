"""An app on loopback, and the relay to it under the server's own listener."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketStream
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from alcove.http.context import Context, set_context
from alcove.http.problem import refuse_socket, response_for
from alcove.http.relay import relay
from alcove.http.relay_headers import Inward, inward
from tests.api.served import listening

App = Callable[[SocketStream], Awaitable[None]]


@dataclass
class Raw:
    """An app that does byte by byte what a test says."""

    serve: App
    heads: list[bytes] = field(default_factory=list[bytes])
    closed: anyio.Event = field(default_factory=anyio.Event)
    """Set when the relay has closed a connection."""

    async def __call__(self, stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self.serve(stream)
            self.closed.set()


async def head_of(stream: SocketStream) -> tuple[bytes, bytes]:
    """The head of a request, and what came of its body with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def answering(answer: bytes, heads: list[bytes] | None = None) -> App:
    """Reads a head, answers this and closes."""

    async def serve(stream: SocketStream) -> None:
        head, _ = await head_of(stream)
        if heads is not None:
            heads.append(head)
        await stream.send(answer)

    return serve


@asynccontextmanager
async def relayed(serve: App, **told: Any) -> AsyncGenerator[tuple[str, Raw]]:
    """The URL under which the app answers through the relay."""
    raw = Raw(serve)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = int(listener.extra(anyio.abc.SocketAttribute.local_port))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        set_context(scope, Context(request_id="r", address="192.0.2.7", secure=False))
        said = inward(scope, Inward(host=b"app.example"))
        path = scope["raw_path"].decode()
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode()
        try:
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await relay(stream, scope, receive, send, path=path, headers=said, **told)
        except Exception as error:
            if scope["type"] == "websocket":
                await refuse_socket(WebSocket(scope, receive, send), error)
                return
            await response_for(error, HTTPConnection(scope))(scope, receive, send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, raw)
        async with listening(app) as url:
            yield url, raw
        tasks.cancel_scope.cancel()
    await listener.aclose()
