"""A recording that was made as the server makes one, from frames given here."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import anyio

from alcove.core.frames import Frame, Process
from alcove.core.recordings import recorded
from alcove.model.access import Actor
from alcove.model.recording import Recording, SessionKind
from alcove.store import recordings
from alcove.store.recordings import RecordingFilters
from tests.api.served import Served


@dataclass
class Shown:
    """A stream of an agent's that says this, and ends."""

    pieces: Sequence[bytes]

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        if not self.pieces:
            raise anyio.EndOfStream
        piece, *self.pieces = self.pieces
        return piece

    async def send(self, item: bytes, /) -> None:
        pass

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def frame(kind: Frame, payload: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(4, "big") + payload


async def made_recording(
    api: Served,
    owner: Actor,
    *shown: bytes,
    title: str = "main",
    kind: SessionKind = SessionKind.TERMINAL,
    by: Actor | None = None,
) -> Recording:
    """Of a terminal of a new workspace of this owner's."""
    workspace = await api.workspace(owner)
    ended = json.dumps({"exit_code": 0}).encode()
    pieces = [frame(Frame.STDOUT, piece) for piece in shown or (b"hello\r\n",)]
    process = Process(Shown([*pieces, frame(Frame.EXIT, ended)]))
    context = recorded(
        api.core, by or owner, workspace, process, kind=kind, title=title, size=(80, 24)
    )
    async with context as watched:
        async for _ in _frames(watched):
            pass
    async with api.core.db.read() as tx:
        filters = RecordingFilters(workspace=workspace.id)
        [found] = await recordings.find(tx, filters, after=None, limit=2)
    return found


def _frames(process: Process) -> AsyncIterator[tuple[Frame, bytes]]:
    return process.frames()
