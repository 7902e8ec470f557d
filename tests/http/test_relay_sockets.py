"""WebSockets through the relay."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests.http.relayed import answering, head_of, relayed

pytestmark = pytest.mark.anyio
Talk = Callable[["Server"], Awaitable[None]]


class Server:
    """The app's end of a WebSocket."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.protocol = ServerProtocol(
            subprotocols=[Subprotocol("chat"), Subprotocol("bin")],
            select_subprotocol=_known,
            max_size=None,
        )
        self.request: Request | None = None
        self._events: list[Any] = []

    async def accept(self) -> None:
        self.request = await self.event()
        assert isinstance(self.request, Request)
        self.protocol.send_response(self.protocol.accept(self.request))
        await self.flush()

    async def event(self) -> Any:
        while not self._events:
            self.protocol.receive_data(await self.stream.receive())
            self._events += self.protocol.events_received()
            await self.flush()
        return self._events.pop(0)

    async def frame(self) -> Frame:
        found = await self.event()
        assert isinstance(found, Frame)
        return found

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                await self.stream.send(data)


def _known(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    known = protocol.available_subprotocols or ()
    return next((name for name in offered if name in known), None)


def talking(talk: Talk) -> Callable[[SocketStream], Awaitable[None]]:
    async def serve(stream: SocketStream) -> None:
        server = Server(stream)
        await server.accept()
        await talk(server)

    return serve


@asynccontextmanager
async def connected(talk: Talk, path: str = "/", **more: Any) -> AsyncGenerator[ClientConnection]:
    async with relayed(talking(talk)) as (url, _):
        with anyio.fail_after(20):
            async with connect(url.replace("http", "ws") + path, proxy=None, **more) as client:
                yield client


async def test_messages_pass_both_ways_as_what_they_are() -> None:
    async def echo(server: Server) -> None:
        while (frame := await server.frame()).opcode is not Opcode.CLOSE:
            if frame.opcode is Opcode.TEXT:
                server.protocol.send_text(frame.data)
            else:
                server.protocol.send_binary(frame.data)
            await server.flush()

    async with connected(echo) as client:
        await client.send("grüße")
        assert await client.recv() == "grüße"
        await client.send(b"\x00\xff" * 100_000)
        assert await client.recv() == b"\x00\xff" * 100_000
        await client.send("")
        assert await client.recv() == ""


async def test_a_message_in_parts_arrives_whole_and_a_ping_between_them_is_answered() -> None:
    async def parts(server: Server) -> None:
        server.protocol.send_text(b"one ", fin=False)
        server.protocol.send_ping(b"there?")
        server.protocol.send_continuation(b"two", fin=True)
        await server.flush()
        pong = await server.frame()
        server.protocol.send_text(pong.data)
        await server.flush()
        await server.frame()

    async with connected(parts) as client:
        assert await client.recv() == "one two"
        assert await client.recv() == "there?"


async def test_path_subprotocol_and_headers_reach_the_app() -> None:
    async def tell(server: Server) -> None:
        assert server.request is not None
        headers = server.request.headers
        said = f"{server.request.path} {headers['Host']} {headers['X-Mine']} {headers['Origin']}"
        server.protocol.send_text(said.encode())
        await server.flush()
        await server.frame()

    offered = [Subprotocol("none"), Subprotocol("bin")]
    more = {"X-Mine": "yes", "X-Alcove-Control": "key"}
    async with connected(
        tell, "/a?b=c", subprotocols=offered, additional_headers=more, origin="http://b.example"
    ) as client:
        assert client.subprotocol == "bin"
        assert await client.recv() == "/a?b=c app.example yes http://b.example"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4321, "had enough")])
async def test_the_apps_close_code_reaches_the_client(code: int, reason: str) -> None:
    async def leave(server: Server) -> None:
        server.protocol.send_close(code, reason)
        await server.flush()
        await server.frame()

    async with connected(leave) as client:
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)


async def test_the_clients_close_code_reaches_the_app() -> None:
    codes: list[int] = []
    done = anyio.Event()

    async def wait(server: Server) -> None:
        await server.frame()
        assert server.protocol.close_rcvd is not None
        codes.append(server.protocol.close_rcvd.code)
        done.set()

    async with connected(wait) as client:
        await client.close(4002, "bye")
        await done.wait()
    assert codes == [4002]


async def test_an_app_that_falls_is_told_apart_from_one_that_closes() -> None:
    async def fall(server: Server) -> None:
        await server.stream.aclose()

    async with connected(fall) as client:
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1014


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff",
        b"\x81\x02\xff\xfe",
        b"\x82\x7f\x00\x00\x00\x00\x01\x00\x00\x00",
        b"\x80\x01a",
    ],
)
async def test_an_app_that_breaks_the_rules_loses_its_connection(data: bytes) -> None:
    async def nonsense(server: Server) -> None:
        await server.stream.send(data)
        while True:
            await server.stream.receive()

    async with connected(nonsense) as client:
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code in {1007, 1009, 1014}


async def test_a_refused_upgrade_is_answered_as_the_app_did() -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 4\r\n\r\nnope"
    async with relayed(answering(answer)) as (url, _):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(url.replace("http", "ws"), proxy=None):
                pass
    response = caught.value.response
    assert (response.status_code, response.headers["X-Why"]) == (403, "no")
    assert bytes(response.body or b"") == b"nope"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"a" * 70_000,
    ],
)
async def test_an_upgrade_that_is_answered_with_nonsense_is_a_bad_gateway(answer: bytes) -> None:
    async with relayed(answering(answer)) as (url, _):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(url.replace("http", "ws"), proxy=None):
                pass
    assert caught.value.response.status_code == 502


async def test_an_app_that_does_not_answer_the_upgrade_is_a_gateway_timeout() -> None:
    async def silent(stream: SocketStream) -> None:
        await head_of(stream)
        await stream.receive()

    async with relayed(silent, head_timeout_s=0.1) as (url, _):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(url.replace("http", "ws"), proxy=None):
                pass
    assert caught.value.response.status_code == 504
