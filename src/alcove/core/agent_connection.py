"""One kept HTTP/1.1 connection to a workspace's agent, over whatever byte stream the driver gives.

The workspace is not trusted: everything read is bounded, and a connection on which anything went
wrong, or whose answer was not read to its end, is closed and never used again.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import anyio
import httptools

from alcove.drivers.base import ByteStream
from alcove.model.errors import Unavailable

HEAD_MAX: Final = 64 * 1024
READ_SIZE: Final = 256 * 1024
CLOSE_TIMEOUT_S: Final = 1.0
_TARGET: Final = re.compile(r"[!-~]+")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")

Headers = Sequence[tuple[str, str]]
Body = bytes | AsyncIterable[bytes] | None


class Broken(Unavailable):
    """The connection ended or spoke nonsense. `fresh`: nothing of the answer had come yet."""

    def __init__(self, message: str, *, fresh: bool) -> None:
        super().__init__(message)
        self.fresh = fresh


class Connection:
    """Used by one request at a time. `resources` closes what the driver opened."""

    def __init__(self, stream: ByteStream, resources: AsyncExitStack) -> None:
        self._stream = stream
        self._resources = resources
        self._answer = _Answer()
        self._sent = True
        self.reusable = True
        """Whether the next request may go over it: nothing is under way on it."""

    async def request(self, method: str, target: str, headers: Headers, body: Body) -> "Response":
        """Send a request and read the head of its answer."""
        framed, declared = _framed(headers, body)
        head = _head(method, target, framed)
        self.reusable = self._sent = False
        answer = self._answer
        answer.begin(bodiless=method == "HEAD")
        try:
            await self._send(head, body, declared)
            self._sent = True
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The agent may have answered (a refusal) before it had read all of the body.
            pass
        while not answer.status:
            await self._read_more()
        return Response(self, answer.status, answer.headers)

    async def data(self) -> bytes | None:
        """The next piece of the answer's body; None at its end, when the connection is free."""
        answer = self._answer
        while not answer.pieces:
            if answer.ended:
                self.reusable = self._sent and answer.keeps
                return None
            await self._read_more()
        pieces, answer.pieces = answer.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def upgraded(self) -> "Upgraded":
        """The raw stream after a 101, with what had been read beyond it."""
        return Upgraded(self._stream, self._answer.beyond)

    async def aclose(self) -> None:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self._resources.aclose()

    async def _send(self, head: bytes, body: Body, declared: int | None) -> None:
        if body is None or isinstance(body, bytes):
            await self._stream.send(head + (body or b""))
            return
        await self._stream.send(head)
        left = declared
        async for piece in body:
            if not piece:
                continue
            if left is None:
                await self._stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                continue
            left -= len(piece)
            if left < 0:
                break
            await self._stream.send(piece)
        if left is None:
            await self._stream.send(b"0\r\n\r\n")
        elif left:
            raise Broken("the request's body is not as long as was said", fresh=False)

    async def _read_more(self) -> None:
        fresh = self._answer.fresh
        try:
            received = await self._stream.receive(READ_SIZE)
        except anyio.EndOfStream:
            raise Broken("the agent closed the connection", fresh=fresh) from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Broken("the connection to the agent was cut", fresh=fresh) from error
        self._answer.feed(received)


class _Answer:
    """One answer after another, as the parser tells of them."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin(bodiless=False)

    def begin(self, *, bodiless: bool) -> None:
        """Expect the next answer; one to HEAD is without its body."""
        self._bodiless = bodiless
        self._idle_bytes = 0
        self.fresh = True
        """Nothing of it has come."""
        self.status = 0
        """0 until its head is complete."""
        self.headers: dict[str, str] = {}
        """With names in lower case."""
        self.pieces: list[bytes] = []
        self.ended = False
        self.keeps = False
        """Whether the connection stays open after it."""
        self.beyond = b""
        """What came after a 101."""

    def feed(self, data: bytes) -> None:
        """Raises Broken for what is no HTTP, and for a head without end."""
        self.fresh = False
        self._idle_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.beyond = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            raise Broken(f"the agent's answer is no HTTP: {error}", fresh=False) from error
        if self._idle_bytes > HEAD_MAX:
            raise Broken("the head of the agent's answer is too long", fresh=False)

    def on_message_begin(self) -> None:
        if self.ended:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self.headers.clear()
            return
        self.status = status
        self._idle_bytes = 0
        self.ended = self._bodiless

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)
        self._idle_bytes = 0

    def on_message_complete(self) -> None:
        # After a 101 follows what is not HTTP, and after an interim answer another one.
        if self.status and self.status != 101:
            self.ended = True
            self.keeps = self._parser.should_keep_alive()
            self._idle_bytes = 0


def _head(method: str, target: str, headers: Headers) -> bytes:
    """Raises Broken for what would not be read as one request with these headers."""
    if not (_NAME.fullmatch(method) and _TARGET.fullmatch(target)):
        raise Broken(f"the request could not be sent: {method} {target!r}", fresh=False)
    lines = [f"{method} {target} HTTP/1.1", "Host: agent"]
    for name, value in headers:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise Broken(f"the request could not be sent: header {name!r}", fresh=False)
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


def _framed(headers: Headers, body: Body) -> tuple[Headers, int | None]:
    """With what says how long the body is; and how long, where that is known before."""
    for name, value in headers:
        if name.lower() == "content-length":
            return headers, int(value)
    if isinstance(body, bytes):
        return [*headers, ("Content-Length", str(len(body)))], len(body)
    if body is None:
        return headers, 0
    return [*headers, ("Transfer-Encoding", "chunked")], None


class Response:
    """The head of an answer; the body is read once, piece by piece."""

    def __init__(self, connection: Connection, status: int, headers: Mapping[str, str]) -> None:
        self.connection = connection
        self.status = status
        self.headers = headers
        """With names in lower case."""

    async def body(self) -> AsyncIterator[bytes]:
        while (piece := await self.connection.data()) is not None:
            yield piece

    async def read(self, *, limit: int) -> bytes:
        """The whole body. Raises Unavailable when it is longer than `limit`."""
        parts: list[bytes] = []
        size = 0
        while (piece := await self.connection.data()) is not None:
            size += len(piece)
            if size > limit:
                raise Unavailable(f"the agent's answer is longer than {limit} bytes")
            parts.append(piece)
        return b"".join(parts)


class Upgraded:
    """A byte stream that first gives what was already read."""

    def __init__(self, stream: ByteStream, early: bytes) -> None:
        self._stream = stream
        self._early = early

    async def send(self, item: bytes, /) -> None:
        await self._stream.send(item)

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        if self._early:
            piece, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return piece
        return await self._stream.receive(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()
