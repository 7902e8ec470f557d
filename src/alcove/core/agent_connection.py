"""One kept HTTP/1.1 connection to a workspace's agent, over whatever byte stream the driver gives.

The workspace is not trusted: everything read is bounded, and a connection on which anything went
wrong, or whose answer was not read to its end, is closed and never used again.
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import anyio
import h11

from alcove.drivers.base import ByteStream
from alcove.model.errors import Unavailable

HEAD_MAX: Final = 64 * 1024
READ_SIZE: Final = 256 * 1024
CLOSE_TIMEOUT_S: Final = 1.0

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
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX)

    @property
    def reusable(self) -> bool:
        return self._http.our_state is h11.IDLE and self._http.their_state is h11.IDLE

    async def request(self, method: str, target: str, headers: Headers, body: Body) -> "Response":
        """Send a request and read the head of its answer."""
        try:
            await self._send(method, target, headers, body)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The agent may have answered (a refusal) before it had read all of the body.
            pass
        except h11.LocalProtocolError as error:
            raise Broken(f"the request could not be sent: {error}", fresh=False) from error
        while True:
            event = await self._event(fresh=True)
            if isinstance(event, h11.Response):
                return Response(self, event)
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return Response(self, event)
                continue
            raise Broken("the agent closed the connection without an answer", fresh=True)

    async def data(self) -> bytes | None:
        """The next piece of the answer's body; None at its end, when the connection is free."""
        event = await self._event(fresh=False)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise Broken("the agent's answer broke off", fresh=False)
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return None

    def upgraded(self) -> "Upgraded":
        """The raw stream after a 101, with what had been read beyond it."""
        rest, _ = self._http.trailing_data
        return Upgraded(self._stream, bytes(rest))

    async def aclose(self) -> None:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self._resources.aclose()

    async def _send(self, method: str, target: str, headers: Headers, body: Body) -> None:
        all_headers = [("Host", "agent"), *headers]
        if isinstance(body, bytes):
            all_headers.append(("Content-Length", str(len(body))))
        elif body is not None and not any(n.lower() == "content-length" for n, _ in headers):
            all_headers.append(("Transfer-Encoding", "chunked"))
        request = h11.Request(method=method, target=target, headers=all_headers)
        head = self._http.send(request) or b""
        if body is None or isinstance(body, bytes):
            if body:
                head += self._http.send(h11.Data(data=body)) or b""
            await self._stream.send(head + (self._http.send(h11.EndOfMessage()) or b""))
            return
        await self._stream.send(head)
        async for piece in body:
            if piece:
                await self._stream.send(self._http.send(h11.Data(data=piece)) or b"")
        if end := self._http.send(h11.EndOfMessage()):
            await self._stream.send(end)

    async def _event(self, *, fresh: bool) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                try:
                    received = await self._stream.receive(READ_SIZE)
                    fresh = False
                except anyio.EndOfStream:
                    received = b""
                self._http.receive_data(received)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Broken("the connection to the agent was cut", fresh=fresh) from error
        except h11.RemoteProtocolError as error:
            raise Broken(f"the agent's answer is no HTTP: {error}", fresh=fresh) from error
        if isinstance(event, h11.ConnectionClosed):
            raise Broken("the agent closed the connection", fresh=fresh)
        assert event is not h11.NEED_DATA
        return event  # pyright: ignore[reportReturnType] - NEED_DATA was ruled out


class Response:
    """The head of an answer; the body is read once, piece by piece."""

    def __init__(
        self, connection: Connection, head: h11.Response | h11.InformationalResponse
    ) -> None:
        self.connection = connection
        self.status = head.status_code
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers
        }

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
