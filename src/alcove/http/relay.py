"""One HTTP exchange, or one WebSocket, between a client of ours and an app inside a workspace.

Both directions run at once and each is read only as fast as its other side takes it. The app is
anybody's program: its heads are bounded and parsed, bodies are framed anew, and nothing that it
says about the connection is passed on. The stream is used once and is closed by its opener.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import anyio
import h11
from starlette.types import Receive, Scope, Send

from alcove.drivers.base import ByteStream
from alcove.http.problem import HttpError
from alcove.http.relay_headers import RawHeaders, outward
from alcove.http.relay_socket import relay_socket

HEAD_MAX: Final = 64 * 1024
HEAD_TIMEOUT_S: Final = 300.0
"""How long an app may take to begin its answer, from the last piece of the request on."""
READ_SIZE: Final = 64 * 1024
_METHODS_OF_PROXIES: Final = frozenset({"CONNECT", "TRACE"})
_BODILESS: Final = frozenset({204, 304})
Outward: TypeAlias = Callable[[RawHeaders], RawHeaders]


class BadGateway(HttpError):
    """The app's answer is none. The workspace's fault, not ours: nothing about it is logged."""

    def __init__(self, detail: str, *, status: int = 502) -> None:
        super().__init__(status, detail)


async def relay(
    stream: ByteStream,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    path: str,
    headers: RawHeaders,
    shape: Outward = outward,
    head_timeout_s: float = HEAD_TIMEOUT_S,
) -> None:
    """Pass on what `scope` asks for, as `path` (with its query) and with exactly `headers`
    (see `relay_headers.inward`); `shape` bounds the headers of the answer.

    Raises HttpError while nothing was answered yet: 400 for framing that can be read in two
    ways, 502 for an app that closes or speaks no HTTP, 504 for one that says nothing. A body
    that breaks off later breaks off for the client too. Returns when the client has gone.
    """
    if scope["type"] == "websocket":
        await relay_socket(
            stream,
            scope,
            receive,
            send,
            path=path,
            headers=headers,
            shape=shape,
            head_timeout_s=head_timeout_s,
        )
        return
    exchange = _Exchange(stream, scope, receive, send, shape, head_timeout_s)
    await exchange.run(path, headers)


class _Exchange:
    def __init__(
        self,
        stream: ByteStream,
        scope: Scope,
        receive: Receive,
        send: Send,
        shape: Outward,
        head_timeout_s: float,
    ) -> None:
        self._stream, self._scope = stream, scope
        self._receive, self._send = receive, send
        self._shape = shape
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX)
        self._head_timeout_s = head_timeout_s
        self._patience = anyio.CancelScope()
        self._head: h11.Response | None = None
        self._failed: Exception | None = None

    async def run(self, path: str, headers: RawHeaders) -> None:
        head = self._request(path, headers)
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                try:
                    await self._stream.send(head)
                    tasks.start_soon(self._pump, tasks.cancel_scope)
                    await self._answer()
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    self._failed = BadGateway("the app closed the connection")
                except Exception as error:
                    self._failed = error
                tasks.cancel_scope.cancel()

            tasks.start_soon(answer)
        # A task group would wrap it, so the error is carried out by hand. Once the answer has
        # begun it is simply not ended, and the server in front cuts the connection.
        if self._failed is not None and (
            self._head is None or not isinstance(self._failed, HttpError)
        ):
            raise self._failed

    def _request(self, path: str, headers: RawHeaders) -> bytes:
        """The head. What frames the body is ours, so that nobody can read it in two ways."""
        if self._scope["method"] in _METHODS_OF_PROXIES:
            raise HttpError(405, "this method is not passed on")
        framing = _framing(self._scope["headers"])
        try:
            request = h11.Request(
                method=str(self._scope["method"]).encode("ascii"),
                target=path.encode("ascii"),
                headers=[*headers, *framing, (b"connection", b"close")],
            )
            head = self._http.send(request) or b""
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise HttpError(400, f"the request cannot be passed on: {error}") from None
        if not framing:
            self._http.send(h11.EndOfMessage())
        return head

    async def _pump(self, everything: anyio.CancelScope) -> None:
        """The request's body into the app, and then watch for a client that goes away."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                everything.cancel()
                return
            if self._http.our_state is not h11.SEND_BODY:
                continue
            try:
                await self._give(message.get("body", b""), last=not message.get("more_body"))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                # It may have answered (a refusal) before it had read all of the body.
                self._http.send_failed()
            except h11.LocalProtocolError as error:
                self._failed = HttpError(400, f"the body does not fit its length: {error}")
                everything.cancel()
                return

    async def _give(self, data: bytes, *, last: bool) -> None:
        out = b""
        if data:
            out = self._http.send(h11.Data(data=data)) or b""
        if last:
            out += self._http.send(h11.EndOfMessage()) or b""
        if out:
            await self._stream.send(out)
        self._patience.deadline = anyio.current_time() + self._head_timeout_s

    async def _answer(self) -> None:
        self._patience.deadline = anyio.current_time() + self._head_timeout_s
        with self._patience:
            self._head = await self._response_head()
        if self._head is None:
            raise BadGateway(
                f"the app did not begin to answer within {self._head_timeout_s:g} s", status=504
            )
        status = self._head.status_code
        headers = list(self._shape([(n, v) for n, v in self._head.headers]))
        if status in _BODILESS:
            headers = [(n, v) for n, v in headers if n != b"content-length"]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        while isinstance(event := await self._event(), h11.Data):
            await self._send(
                {"type": "http.response.body", "body": bytes(event.data), "more_body": True}
            )
        if not isinstance(event, h11.EndOfMessage):
            raise BadGateway("the app's answer broke off")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _response_head(self) -> h11.Response:
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise BadGateway("the app closed the connection without an answer")
            if event.status_code == 101:
                raise BadGateway("the app changed the protocol without being asked")

    async def _event(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                try:
                    received = await self._stream.receive(READ_SIZE)
                except anyio.EndOfStream:
                    received = b""
                self._http.receive_data(received)
        except h11.RemoteProtocolError as error:
            raise BadGateway(f"the app does not speak HTTP: {error}") from None
        return event


def _framing(headers: RawHeaders) -> RawHeaders:
    """How the body is framed towards the app; empty when there is none. Raises HttpError(400)."""
    lengths = {v.strip() for n, v in headers if n.lower() == b"content-length"}
    chunked = [v.strip().lower() for n, v in headers if n.lower() == b"transfer-encoding"]
    if chunked and (lengths or chunked != [b"chunked"]):
        raise HttpError(400, "the request gives its body's length in more than one way")
    if chunked:
        return [(b"transfer-encoding", b"chunked")]
    if not lengths:
        return []
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 18:
        raise HttpError(400, "Content-Length is not one number")
    return [(b"content-length", length)]
