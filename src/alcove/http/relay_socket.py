"""One WebSocket between a client of ours and an app inside a workspace, message by message."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import anyio
from starlette.types import Message, Receive, Scope, Send
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from alcove.drivers.base import ByteStream
from alcove.http.problem import HttpError
from alcove.http.relay_headers import RawHeaders

MESSAGE_MAX: Final = 8 * 1024 * 1024
"""Of a message from the app; the listener bounds the client's."""
READ_SIZE: Final = 64 * 1024
GOODBYE_S: Final = 2.0
_WENT_WRONG: Final = 1014
"""Bad gateway, as the registry of close codes has it."""
_NOT_SENT: Final = frozenset({1004, 1005, 1006, 1015})
_REFUSAL_MAX: Final = 64 * 1024
_TARGET: Final = re.compile(r"/[!-~]*")


async def relay_socket(
    stream: ByteStream,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    path: str,
    headers: RawHeaders,
    shape: Callable[[RawHeaders], RawHeaders],
    head_timeout_s: float,
) -> None:
    """Raises HttpError before the upgrade: 502 for an app that answers with nonsense, 504 for
    one that says nothing. An app that refuses the upgrade is passed on as it answered."""
    if not _TARGET.fullmatch(path):
        raise HttpError(400, "the address cannot be passed on")
    await receive()
    link = _Link(stream, scope)
    response = await link.open(path, headers, head_timeout_s)
    if link.refused:
        await _refuse(scope, send, response, shape)
        return
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": link.protocol.subprotocol,
            "headers": _shaped(response, shape, b"sec-websocket-protocol"),
        }
    )
    failed: list[Exception] = []
    async with anyio.create_task_group() as tasks:

        async def inside() -> None:
            try:
                await _from_app(link, send)
            except OSError:
                # The client has gone meanwhile.
                pass
            except Exception as error:
                failed.append(error)
            tasks.cancel_scope.cancel()

        async def outside() -> None:
            await _from_client(link, receive)
            tasks.cancel_scope.cancel()

        tasks.start_soon(inside)
        tasks.start_soon(outside)
    if failed:
        raise failed[0]


class _Link:
    """The side towards the app. `flush` may be called by both directions."""

    def __init__(self, stream: ByteStream, scope: Scope) -> None:
        offered = [Subprotocol(name) for name in scope.get("subprotocols") or ()]
        self.protocol = ClientProtocol(
            WebSocketURI(False, "app", 80, "/", ""),
            subprotocols=offered or None,
            max_size=MESSAGE_MAX,
        )
        self._stream = stream
        self._turn = anyio.Lock()
        self._early: list[Any] = []

    @property
    def refused(self) -> bool:
        return self.protocol.handshake_exc is not None

    async def open(self, path: str, headers: RawHeaders, timeout_s: float) -> Response:
        ours = self.protocol.connect()
        said = Headers()
        for name, value in headers:
            said[name.decode("latin-1")] = value.decode("latin-1")
        for name in ("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"):
            said[name] = ours.headers[name]
        if (subprotocols := ours.headers.get("Sec-WebSocket-Protocol")) is not None:
            said["Sec-WebSocket-Protocol"] = subprotocols
        self.protocol.send_request(Request(path, said))
        with anyio.move_on_after(timeout_s):
            try:
                await self.flush()
                return await self._response()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise HttpError(502, "the app closed the connection") from None
        raise HttpError(504, f"the app did not answer the upgrade within {timeout_s:g} s")

    async def _response(self) -> Response:
        while True:
            alive = await self.read()
            events = self.protocol.events_received()
            if events and isinstance(events[0], Response):
                self._early = list(events[1:])
                return events[0]
            if self.protocol.handshake_exc is not None or not alive:
                raise HttpError(502, "the app answers the upgrade with no HTTP")

    async def read(self) -> bool:
        """Take what has come. False at the end."""
        try:
            data = await self._stream.receive(READ_SIZE)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.protocol.receive_eof()
            return False
        self.protocol.receive_data(data)
        return True

    def events(self) -> Sequence[Any]:
        early, self._early = self._early, []
        return [*early, *self.protocol.events_received()]

    async def flush_if_open(self) -> None:
        """Pongs and the like: whether the app still reads is found out by reading."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self.flush()

    async def flush(self) -> None:
        async with self._turn:
            if out := b"".join(self.protocol.data_to_send()):
                await self._stream.send(out)


async def _from_app(link: _Link, send: Send) -> None:
    protocol = link.protocol
    parts: list[bytes] = []
    size, text, alive = 0, False, True
    while True:
        for event in link.events():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.CLOSE:
                await link.flush_if_open()
                said = protocol.close_rcvd
                await send(_close(said and said.code, said and said.reason))
                return
            if event.opcode in {Opcode.PING, Opcode.PONG}:
                continue
            if event.opcode is not Opcode.CONT:
                parts, size, text = [], 0, event.opcode is Opcode.TEXT
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > MESSAGE_MAX:
                await send(_close(1009, "the app's message is too large"))
                return
            if event.fin and not await _pass(send, b"".join(parts), text=text):
                return
        await link.flush_if_open()
        if protocol.parser_exc is not None and alive:
            await send(_close(_WENT_WRONG, "the app broke the rules of WebSockets"))
            return
        if not alive:
            await send(_close(_WENT_WRONG, "the app closed the connection"))
            return
        alive = await link.read()


async def _pass(send: Send, data: bytes, *, text: bool) -> bool:
    """Whether it could be: text that is no UTF-8 ends the connection."""
    if not text:
        await send({"type": "websocket.send", "bytes": data})
        return True
    try:
        await send({"type": "websocket.send", "text": data.decode()})
    except UnicodeDecodeError:
        await send(_close(1007, "the app sent text that is none"))
        return False
    return True


async def _from_client(link: _Link, receive: Receive) -> None:
    protocol = link.protocol
    while True:
        message = await receive()
        try:
            if message["type"] == "websocket.disconnect":
                await _say_goodbye(link, message)
                return
            if protocol.state is not State.OPEN:
                continue
            data = message.get("bytes")
            if data is not None:
                protocol.send_binary(data)
            else:
                protocol.send_text(str(message.get("text") or "").encode())
            await link.flush()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ProtocolError):
            # The other direction finds out why, and says so.
            await anyio.sleep_forever()


async def _say_goodbye(link: _Link, message: Message) -> None:
    code = int(message.get("code") or 1005)
    if link.protocol.state is not State.OPEN:
        return
    if code in _NOT_SENT:
        link.protocol.send_close(1001) if code == 1006 else link.protocol.send_close()
    else:
        link.protocol.send_close(code, str(message.get("reason") or "")[:100])
    with anyio.move_on_after(GOODBYE_S):
        await link.flush()


async def _refuse(
    scope: Scope, send: Send, response: Response, shape: Callable[[RawHeaders], RawHeaders]
) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    status = response.status_code if response.status_code >= 200 else 502
    body = bytes(response.body or b"")[:_REFUSAL_MAX]
    headers = _shaped(response, shape, b"content-length")
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


def _shaped(
    response: Response, shape: Callable[[RawHeaders], RawHeaders], *less: bytes
) -> list[tuple[bytes, bytes]]:
    raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in response.headers.raw_items()]
    return [
        (name, value)
        for name, value in shape(raw)
        if name not in less and not name.startswith(b"sec-websocket-")
    ]


def _close(code: int | None, reason: str | None) -> dict[str, Any]:
    """What can be sent: "no code given" is an ordinary end."""
    if code is None or code in _NOT_SENT:
        code = _WENT_WRONG if code == 1006 else 1000
    return {"type": "websocket.close", "code": code, "reason": (reason or "")[:100]}
