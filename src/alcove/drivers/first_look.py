"""The first words with the agent of a new boot: is it there, and is it confined as it must be.

A few lines of HTTP of its own, since a driver depends on nothing but the model: one request and
one answer, on a connection that serves nothing else.
"""

from typing import Final

import anyio

from alcove.drivers import posture
from alcove.drivers.base import ByteStream
from alcove.model.errors import DriverError
from alcove.model.workspace import Spec

_ANSWER_MAX: Final = 256 * 1024
_TIMEOUT_S: Final = 15.0


async def first_look(stream: ByteStream, spec: Spec, control_key: str) -> None:
    """Raises DriverError: `retry=True` when the agent does not answer, `retry=False` when what it
    sees differs from what it must see."""
    try:
        with anyio.fail_after(_TIMEOUT_S):
            status, body = await _get(stream, "/alcove/posture", control_key)
    except TimeoutError as error:
        raise DriverError(f"the agent did not answer in {_TIMEOUT_S:g} s", retry=True) from error
    except anyio.BrokenResourceError as error:
        raise DriverError("the agent ended before it answered", retry=True) from error
    if status != 200:
        said = body[:300].decode(errors="replace")
        raise DriverError(
            f"the agent answered its first question with {status}: {said}", retry=True
        )
    if found := posture.differences(spec, posture.read(body)):
        raise DriverError(f"it is not confined as it must be: {'; '.join(found)}", retry=False)


async def _get(stream: ByteStream, path: str, control_key: str) -> tuple[int, bytes]:
    """Status and body. HTTP/1.0, so that the end of the body is the end of the stream. Raises
    DriverError for what is no such answer."""
    head = f"GET {path} HTTP/1.0\r\nHost: agent\r\nX-Alcove-Control: {control_key}\r\n\r\n"
    await stream.send(head.encode())
    received = bytearray()
    try:
        while len(received) <= _ANSWER_MAX:
            received += await stream.receive()
    except anyio.EndOfStream:
        head_part, found, body = bytes(received).partition(b"\r\n\r\n")
        words = head_part.split(b" ", 2)
        if found and len(words) == 3 and words[1].isdigit():
            return int(words[1]), body
        raise DriverError(f"the agent answered {bytes(received[:100])!r}", retry=True) from None
    raise DriverError(f"the agent's answer is over {_ANSWER_MAX} bytes", retry=True)
