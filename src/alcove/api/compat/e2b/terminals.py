"""Terminals within the envd protocol: their output passes the recorder, envelope by envelope.

What is not a terminal's output goes through as it came. Which process has a terminal is known of
one that is started here; of one that somebody connects to, by the first output that it sends.
"""

import base64
import binascii
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import anyio

from alcove.core.app import Core
from alcove.core.frames import Frame, Process
from alcove.core.recordings import recorded
from alcove.http.problem import HttpError
from alcove.model.access import Actor
from alcove.model.errors import Unavailable
from alcove.model.recording import SessionKind
from alcove.model.workspace import Workspace

MESSAGE_MAX: Final = 4 << 20
USUAL: Final = (80, 24)
SIDE_MAX: Final = 4096
_HEAD: Final = struct.Struct(">BI")


class Envelopes(Process):
    """The envelopes of a stream as frames: output of a terminal as STDOUT, decoded; anything else
    as STARTED, as it came. The stream may be given later."""

    def __init__(self) -> None:
        self._pieces: AsyncIterator[bytes] | None = None
        self._given = anyio.Event()

    def give(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._given.set()

    async def frames(self) -> AsyncIterator[tuple[Frame, bytes]]:
        await self._given.wait()
        assert self._pieces is not None
        held = bytearray()
        async for piece in self._pieces:
            held += piece
            at = 0
            while len(held) - at >= _HEAD.size:
                flags, length = _HEAD.unpack_from(held, at)
                if length > MESSAGE_MAX:
                    raise Unavailable("the agent sent an envelope that is too large")
                end = at + _HEAD.size + length
                if end > len(held):
                    break
                raw = bytes(held[at:end])
                shown = None if flags else output_of(raw[_HEAD.size :])
                yield (Frame.STARTED, raw) if shown is None else (Frame.STDOUT, shown)
                at = end
            del held[:at]
        if held:
            raise Unavailable("the agent's answer broke off in the middle of an envelope")

    async def send(self, kind: Frame, payload: bytes = b"") -> None:
        raise NotImplementedError("input goes to the agent by itself")


class _Rest(Process):
    """What was read already, and then what comes."""

    def __init__(
        self, first: tuple[Frame, bytes], rest: AsyncIterator[tuple[Frame, bytes]]
    ) -> None:
        self._first, self._rest = first, rest

    async def frames(self) -> AsyncIterator[tuple[Frame, bytes]]:
        yield self._first
        async for frame in self._rest:
            yield frame


@asynccontextmanager
async def started(
    core: Core, actor: Actor, workspace: Workspace, message: Mapping[str, Any], title: str
) -> AsyncGenerator["Terminal | None"]:
    """For a process that is about to be started with a terminal; None for one without. Raises
    Unavailable where it must be recorded and cannot be."""
    size = size_of(message)
    if size is None:
        yield None
        return
    source = Envelopes()
    async with recorded(
        core, actor, workspace, source, kind=SessionKind.EXEC, title=title, size=size
    ) as watched:
        yield Terminal(source, watched)


class Terminal:
    """One that is recorded from its beginning."""

    def __init__(self, source: Envelopes, watched: Process) -> None:
        self._source, self._watched = source, watched

    async def raw(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The envelopes of this stream, each once what it shows is written down."""
        self._source.give(pieces)
        async for kind, payload in self._watched.frames():
            yield raw_of(kind, payload)


async def connected(
    core: Core, actor: Actor, workspace: Workspace, pieces: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The envelopes of a stream of a process that runs already, recorded from the first output of
    a terminal on."""
    source = Envelopes()
    source.give(pieces)
    frames = source.frames()
    async for kind, payload in frames:
        if kind is not Frame.STDOUT:
            yield payload
            continue
        async with recorded(
            core,
            actor,
            workspace,
            _Rest((kind, payload), frames),
            kind=SessionKind.EXEC,
            title="",
            size=USUAL,
        ) as watched:
            async for shown, data in watched.frames():
                yield raw_of(shown, data)
        return


def output_of(message: bytes) -> bytes | None:
    """What a terminal showed, if the message is that."""
    if b'"pty"' not in message:
        return None
    try:
        said: object = json.loads(message)
        match said:
            case {"event": {"data": {"pty": str() as text}}}:
                return base64.b64decode(text, validate=True)
            case _:
                return None
    except (ValueError, RecursionError, binascii.Error):
        return None


def raw_of(kind: Frame, payload: bytes) -> bytes:
    """The envelope of a frame."""
    if kind is not Frame.STDOUT:
        return payload
    text = base64.b64encode(payload).decode()
    said = json.dumps({"event": {"data": {"pty": text}}}, separators=(",", ":")).encode()
    return _HEAD.pack(0, len(said)) + said


def size_of(message: Mapping[str, Any]) -> tuple[int, int] | None:
    """Columns and rows of the terminal that is asked for. Raises HttpError for what is none."""
    asked: object = message.get("pty")
    if asked is None:
        return None
    said: object = cast("dict[str, Any]", asked).get("size") if isinstance(asked, dict) else None
    match said:
        case {"cols": int() as columns, "rows": int() as rows} if (
            0 < columns <= SIDE_MAX and 0 < rows <= SIDE_MAX
        ):
            return columns, rows
        case _ if isinstance(asked, dict):
            return USUAL
        case _:
            raise HttpError(400, "pty: is no object")
