"""uvicorn, with what it leaves open: a limit on the head of a request and on its time.

Signals are the server's own business (`alcove.server`), so that one order ends everything.
"""

import asyncio
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX: Final = 64 * 1024
HEAD_TIMEOUT_S: Final = 15.0
KEEP_ALIVE_S: Final = 75
GRACE_S: Final = 8
CONNECTIONS_MAX: Final = 20_000
MESSAGE_MAX: Final = 1 << 20
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Protocol(HttpToolsProtocol):
    """Closes on whoever sends an endless head, or sends it drop by drop."""

    _head_size = 0
    _in_head = True
    _hurry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _send_at_once(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > HEAD_MAX and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._rest()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._in_head, self._head_size = True, 0
        self._rest()
        self._hurry = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _rest(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None


def _send_at_once(transport: asyncio.BaseTransport) -> None:
    """A head and a body are two writes: without this, some loops hold the second one back until
    the first is acknowledged, which takes 40 ms."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class HttpServer(uvicorn.Server):
    """Runs until `should_exit`; leaves signals alone."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def http_server(app: ASGIApp, *, tls: ssl.SSLContext | None = None) -> HttpServer:
    """For `serve(sockets=[…])`."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_MAX,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.load()
    config.ssl = tls
    return HttpServer(config)
