"""What the WebSocket library raises, as our errors. The library is the same for both clients."""

from collections.abc import Generator
from contextlib import contextmanager

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from alcove.sdk.answers import problem_of
from alcove.sdk.errors import Unavailable


@contextmanager
def refusals_as_errors(url: str) -> Generator[None]:
    """For opening one: a refused upgrade is the server's problem document."""
    try:
        yield
    except InvalidStatus as error:
        answer = error.response
        headers = {name.lower(): value for name, value in answer.headers.raw_items()}
        raise problem_of(answer.status_code, headers, bytes(answer.body)) from error
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ProxyError, EOFError) as error:
        raise Unavailable(f"cannot reach {url}: {error or type(error).__name__}") from error


@contextmanager
def closing_as_error(url: str) -> Generator[None]:
    """For using one: a connection that ends early ended the command too."""
    try:
        yield
    except ConnectionClosed as error:
        raise Unavailable(
            f"lost the connection to {url}; the command there was ended ({error})"
        ) from error
