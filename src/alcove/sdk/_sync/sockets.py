# Made by tools/async_to_sync.py from _async/sockets.py: change that one.
"""WebSockets, with our errors. Loaded by need: most commands open none, and it takes time."""

import ssl
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.sync.client import ClientConnection, connect

from alcove.sdk.answers import problem_of
from alcove.sdk.errors import Unavailable

CLOSE_TIMEOUT_S: Final = 2.0
MESSAGE_MAX: Final = 1024 * 1024
_UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    InvalidHandshake,
    InvalidURI,
    ProxyError,
    EOFError,
)


class Socket:
    """An open WebSocket. A connection that ends early ended the command as well."""

    def __init__(self, connection: ClientConnection, url: str) -> None:
        self._connection = connection
        self._url = url

    def send(self, message: bytes | str) -> None:
        try:
            self._connection.send(message)
        except ConnectionClosed as error:
            raise _ended(self._url, error) from error

    def close(self) -> None:
        """Whoever receives meanwhile is told Unavailable."""
        self._connection.close()

    def receive(self) -> bytes | str:
        try:
            return self._connection.recv()
        except ConnectionClosed as error:
            raise _ended(self._url, error) from error


@contextmanager
def open_socket(
    url: str,
    *,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    direct: bool,
    timeout_s: float,
) -> Generator[Socket]:
    """Raises the problem that a refused upgrade answers with, and Unavailable."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(
                connect(
                    url,
                    additional_headers=headers,
                    ssl=context,
                    proxy=None if direct else True,
                    open_timeout=timeout_s,
                    close_timeout=CLOSE_TIMEOUT_S,
                    max_size=MESSAGE_MAX,
                    compression=None,
                )
            )
        except InvalidStatus as error:
            answer = error.response
            sent = {name.lower(): value for name, value in answer.headers.raw_items()}
            raise problem_of(answer.status_code, sent, bytes(answer.body)) from error
        except _UNREACHABLE as error:
            raise Unavailable(f"cannot reach {url}: {error or type(error).__name__}") from error
        yield Socket(connection, url)


def _ended(url: str, error: ConnectionClosed) -> Unavailable:
    return Unavailable(f"lost the connection to {url}; the command there was ended ({error})")
