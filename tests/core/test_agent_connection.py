"""What an agent may say on a connection, and what of it is believed."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio
import pytest

from alcove.core.agent_connection import HEAD_MAX, Broken, Connection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Said:
    """A stream whose other end says this, piece by piece, and then closes."""

    pieces: list[bytes]
    sent: bytearray = field(default_factory=bytearray)

    async def send(self, item: bytes, /) -> None:
        self.sent += item

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        if not self.pieces:
            raise anyio.EndOfStream
        return self.pieces.pop(0)

    async def send_eof(self) -> None: ...

    async def aclose(self) -> None: ...


def _connection(*pieces: bytes) -> tuple[Connection, Said]:
    stream = Said(list(pieces))
    return Connection(stream, AsyncExitStack()), stream


async def _body(connection: Connection, method: str = "GET") -> bytes:
    response = await connection.request(method, "/", [], None)
    return await response.read(limit=1 << 20)


async def test_an_answer_is_read_whole_and_the_next_request_may_follow() -> None:
    connection, stream = _connection(OK, OK)
    assert (await _body(connection), connection.reusable) == (b"abc", True)
    assert await _body(connection) == b"abc"
    assert stream.sent == 2 * b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n"


@pytest.mark.parametrize("tail", [b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n"])
async def test_an_answer_may_come_byte_by_byte(tail: bytes) -> None:
    said = CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n" + tail
    connection, _ = _connection(*(bytes([byte]) for byte in said))
    assert (await _body(connection), connection.reusable) == (b"abcde", True)


async def test_an_interim_answer_is_passed_over() -> None:
    connection, _ = _connection(b"HTTP/1.1 102 Wait\r\nX-Early: 1\r\n\r\n" + OK)
    response = await connection.request("GET", "/", [], None)
    assert (response.status, dict(response.headers)) == (200, {"content-length": "3"})


async def test_while_the_answer_is_not_read_nothing_else_may_be_asked() -> None:
    connection, _ = _connection(OK)
    await connection.request("GET", "/", [], None)
    assert not connection.reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_a_connection_that_the_agent_closes_is_not_kept(answer: bytes) -> None:
    connection, _ = _connection(answer)
    assert (await _body(connection), connection.reusable) == (b"abc", False)


async def test_an_answer_to_head_has_no_body() -> None:
    connection, _ = _connection(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
    assert await _body(connection, "HEAD") == b""


async def test_after_a_change_of_protocol_comes_the_raw_stream() -> None:
    head = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    connection, _ = _connection(head + b"early", b"late")
    response = await connection.request("POST", "/", [], b"")
    assert response.status == 101
    raw = connection.upgraded()
    assert [await raw.receive(3), await raw.receive(), await raw.receive()] == [
        b"ear",
        b"ly",
        b"late",
    ]


async def test_an_agent_that_goes_before_it_said_anything_may_be_asked_again() -> None:
    connection, _ = _connection()
    with pytest.raises(Broken) as broken:
        await _body(connection)
    assert broken.value.fresh


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
        CHUNKED + b"3\r\nab",
        CHUNKED + b"3\r\nabc\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_none(said: bytes) -> None:
    connection, _ = _connection(said)
    with pytest.raises(Broken) as broken:
        await _body(connection)
    assert not broken.value.fresh


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-x\r\n",
        OK + OK,
        OK + b"x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_single_answer_is_refused(said: bytes) -> None:
    connection, _ = _connection(said)
    with pytest.raises(Broken):
        await _body(connection)
    assert not connection.reusable


@pytest.mark.parametrize(
    ("beginning", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: %b\r\n" % (b"a" * 1000)),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a" * 1000),
        (b"", b"HTTP/1.1 102 Wait\r\n\r\n"),
        (CHUNKED + b"3\r\nabc\r\n3;", b"a" * 1000),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", b"X-More: %b\r\n" % (b"a" * 1000)),
    ],
)
async def test_what_goes_on_without_saying_anything_is_cut(
    beginning: bytes, endless: bytes
) -> None:
    connection, stream = _connection(beginning, *[endless] * (2 * HEAD_MAX // len(endless)))
    with pytest.raises(Broken, match="too long"):
        await _body(connection)
    assert stream.pieces


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", []),
        ("/a\r\nX-More: 1", []),
        ("/", [("X-Name", "1\r\nX-More: 1")]),
        ("/", [("X-Name", "1\0")]),
        ("/", [("X-Name: 1\r\nX-More", "1")]),
        ("/", [("X-Name", "\u4e2d")]),
    ],
)
async def test_a_request_cannot_be_made_two(target: str, headers: list[tuple[str, str]]) -> None:
    connection, stream = _connection(OK)
    with pytest.raises(Broken):
        await connection.request("GET", target, headers, None)
    assert not stream.sent


async def test_a_body_of_unknown_length_is_sent_in_chunks() -> None:
    connection, stream = _connection(OK)
    await connection.request("POST", "/", [], _pieces(b"abc", b"", b"de"))
    head, _, body = bytes(stream.sent).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@pytest.mark.parametrize("length", [4, 6])
async def test_a_body_of_another_length_than_was_said_is_not_sent_on(length: int) -> None:
    connection, stream = _connection(OK)
    headers = [("Content-Length", str(length))]
    with pytest.raises(Broken, match="as long as"):
        await connection.request("POST", "/", headers, _pieces(b"abc", b"de"))
    assert bytes(stream.sent).partition(b"\r\n\r\n")[2] in (b"abc", b"abcde")


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
