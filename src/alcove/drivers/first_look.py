"""The first words with the agent of a new boot: is it there, and is it confined as it must be.

A few lines of HTTP/1.1 of its own, since a driver depends on nothing but the model: one request,
one answer with a length, on a connection that serves nothing else.
"""

from typing import Final

import anyio

from alcove.drivers.base import ByteStream
from alcove.model.errors import DriverError
from alcove.model.workspace import Spec

_HEAD_MAX: Final = 16 * 1024
_TIMEOUT_S: Final = 15.0


async def first_look(stream: ByteStream, spec: Spec, control_key: str) -> None:
    """Raises DriverError: `retry=True` when the agent does not answer, `retry=False` when what it
    sees differs from what it must see."""
    try:
        with anyio.fail_after(_TIMEOUT_S):
            status, _ = await _get(stream, "/health", control_key)
    except TimeoutError as error:
        raise DriverError(f"the agent did not answer in {_TIMEOUT_S:g} s", retry=True) from error
    except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise DriverError("the agent ended before it answered", retry=True) from error
    if status != 204:
        raise DriverError(f"the agent answered its first question with {status}", retry=True)


async def _get(stream: ByteStream, path: str, control_key: str) -> tuple[int, bytes]:
    """Status and body. Raises DriverError for what is no HTTP answer with a length."""
    head = f"GET {path} HTTP/1.1\r\nHost: agent\r\nX-Alcove-Control: {control_key}\r\n\r\n"
    await stream.send(head.encode())
    received = bytearray()
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
        if len(received) > _HEAD_MAX:
            raise DriverError("the agent's answer has no end of its head", retry=True)
    head_part, _, body = bytes(received).partition(b"\r\n\r\n")
    lines = head_part.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) < 2 or not words[1].isdigit():
        raise DriverError(f"the agent answered {lines[0][:100]!r}", retry=True)
    headers = {k.strip().lower(): v.strip() for k, _, v in (n.partition(":") for n in lines[1:])}
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise DriverError("the agent's answer has no length", retry=True)
    while len(body) < int(length):
        body += await stream.receive()
    return int(words[1]), body
