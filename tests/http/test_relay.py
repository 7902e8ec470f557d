"""HTTP through the relay: streaming, framing, and apps that misbehave."""

import socket
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx
import pytest
from anyio.abc import SocketStream

from tests.http.relayed import answering, head_of, relayed

pytestmark = pytest.mark.anyio
OK = b"HTTP/1.1 200 OK\r\n"


async def test_an_answer_comes_with_its_status_headers_and_body() -> None:
    heads: list[bytes] = []
    answer = b"HTTP/1.1 418 Teapot\r\nX-Kind: tea\r\nContent-Length: 3\r\n\r\nhot"
    async with relayed(answering(answer, heads)) as (url, _), httpx.AsyncClient() as client:
        got = await client.get(f"{url}/a%2Fb?q=%20x&q")
    assert (got.status_code, got.headers["x-kind"], got.content) == (418, "tea", b"hot")
    assert heads[0].startswith(b"GET /a%2Fb?q=%20x&q HTTP/1.1\r\n")


async def test_both_bodies_stream_at_once() -> None:
    """Each piece that is sent is answered before the next is sent."""

    async def echo(stream: SocketStream) -> None:
        _, rest = await head_of(stream)
        await stream.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        data = rest
        while b"0\r\n\r\n" not in data:
            piece = await stream.receive()
            await stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            data = piece
        await stream.send(b"0\r\n\r\n")

    async with relayed(echo) as (url, _):
        where = urlsplit(url)
        with anyio.fail_after(10):
            async with await anyio.connect_tcp(str(where.hostname), where.port or 0) as client:
                head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                await client.send(head + b"3\r\none\r\n")
                await _until(client, b"one")
                await client.send(b"3\r\ntwo\r\n0\r\n\r\n")
                await _until(client, b"two")


async def _until(client: SocketStream, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += await client.receive()


async def test_events_come_one_by_one() -> None:
    more = anyio.Event()

    async def events(stream: SocketStream) -> None:
        await head_of(stream)
        await stream.send(OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await more.wait()
        await stream.send(b"data: 2\n\n")

    async with relayed(events) as (url, _), httpx.AsyncClient() as client:
        with anyio.fail_after(10):
            async with client.stream("GET", url) as got:
                found = got.aiter_raw()
                assert await anext(found) == b"data: 1\n\n"
                more.set()
                assert await anext(found) == b"data: 2\n\n"


@pytest.mark.parametrize(
    ("method", "answer", "status"),
    [
        ("HEAD", OK + b"Content-Length: 5\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304),
    ],
)
async def test_an_answer_without_a_body_ends_at_its_head(
    method: str, answer: bytes, status: int
) -> None:
    async def serve(stream: SocketStream) -> None:
        await answering(answer)(stream)
        await stream.receive()

    async with relayed(serve) as (url, _), httpx.AsyncClient(timeout=5) as client:
        got = await client.request(method, url)
        assert (got.status_code, got.content) == (status, b"")
        if method == "HEAD":
            assert got.headers["content-length"] == "5"


async def test_what_an_app_says_before_its_answer_and_after_its_body_is_not_the_answer() -> None:
    answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Transfer-Encoding: chunked\r\n"
        b"Trailer: X-Late\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
    )
    async with relayed(answering(answer)) as (url, _), httpx.AsyncClient() as client:
        got = await client.get(url)
    assert (got.status_code, got.content) == (200, b"ok")
    assert "x-late" not in got.headers
    assert "trailer" not in got.headers


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        OK + b"X: " + b"a" * 70_000,
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_is_a_bad_gateway(answer: bytes) -> None:
    async with relayed(answering(answer)) as (url, _), httpx.AsyncClient() as client:
        got = await client.get(url)
    assert got.status_code == 502
    assert got.json()["code"] == "bad_gateway"


async def test_an_app_that_says_nothing_is_a_gateway_timeout() -> None:
    async def silent(stream: SocketStream) -> None:
        while True:
            await stream.receive()

    async with (
        relayed(silent, head_timeout_s=0.1) as (url, raw),
        httpx.AsyncClient() as client,
    ):
        got = await client.get(url)
        with anyio.fail_after(5):
            await raw.closed.wait()
    assert got.status_code == 504


async def test_a_body_that_breaks_off_breaks_off_for_the_client() -> None:
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with relayed(answering(answer)) as (url, _), httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url)


async def test_the_stream_is_closed_when_the_client_has_gone() -> None:
    async def endless(stream: SocketStream) -> None:
        await head_of(stream)
        await stream.send(OK + b"\r\nfirst")
        await stream.receive()

    async with relayed(endless) as (url, raw):
        async with httpx.AsyncClient() as client, client.stream("GET", url) as got:
            await anext(got.aiter_raw())
        with anyio.fail_after(5):
            await raw.closed.wait()


async def test_a_client_that_reads_nothing_holds_the_app_up() -> None:
    """What nobody reads piles up nowhere: the app is stopped after what sockets hold."""
    sent = 0

    async def flood(stream: SocketStream) -> None:
        nonlocal sent
        await head_of(stream)
        await stream.send(OK + b"\r\n")
        while True:
            await stream.send(b"x" * 65536)
            sent += 65536

    async with relayed(flood) as (url, raw):
        where = urlsplit(url)
        with socket.create_connection((where.hostname, where.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            seen = -1
            while seen != sent:
                seen = sent
                await anyio.sleep(0.5)
        assert sent < 32 * 1024 * 1024
        with anyio.fail_after(5):
            await raw.closed.wait()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length: +5\r\n",
        b"X-A: 1\r\n folded: Authorization\r\nContent-Length : 5\r\n",
    ],
)
async def test_a_request_that_can_be_read_in_two_ways_never_reaches_an_app(head: bytes) -> None:
    heads: list[bytes] = []
    async with relayed(answering(OK + b"\r\n", heads)) as (url, _):
        said = b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n0\r\n\r\nGET /two HTTP/1.1\r\n\r\n"
        got = await anyio.to_thread.run_sync(_raw, url, said)
    assert got.startswith(b"HTTP/1.1 400")
    assert heads == []


async def test_a_folded_header_stays_one_header() -> None:
    heads: list[bytes] = []
    async with relayed(answering(OK + b"\r\n", heads)) as (url, _):
        said = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n X-Forwarded-For: 6.6.6.6\r\n\r\n"
        await anyio.to_thread.run_sync(_raw, url, said)
    for head in heads:
        assert b"\r\nX-Forwarded-For: 6.6.6.6" not in head
        assert head.lower().count(b"\r\nx-forwarded-for:") == 1


async def test_a_client_that_waits_for_leave_to_send_gets_it() -> None:
    async def serve(stream: SocketStream) -> None:
        head, rest = await head_of(stream)
        assert b"expect" not in head.lower()
        while len(rest) < 5:
            rest += await stream.receive()
        await stream.send(OK + b"Content-Length: 5\r\n\r\n" + rest)

    async with relayed(serve) as (url, _):
        got = await anyio.to_thread.run_sync(_expecting, url)
    assert got.endswith(b"hello")


async def test_an_early_refusal_is_seen_although_the_body_was_not_read() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    async def serve(stream: SocketStream) -> None:
        await head_of(stream)
        await stream.send(refusal)
        await stream.send_eof()
        while True:
            await stream.receive()

    async with relayed(serve) as (url, _), httpx.AsyncClient() as client:
        got = await client.post(url, content=b"x" * 300_000)
    assert (got.status_code, got.content) == (413, b"no")


def _raw(url: str, data: bytes) -> bytes:
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return _all(client)


def _expecting(url: str) -> bytes:
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as client:
        client.sendall(
            b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\nContent-Length: 5\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 100")
        client.sendall(b"hello")
        return _all(client)


def _all(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data
