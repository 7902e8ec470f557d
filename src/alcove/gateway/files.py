"""The subsystem `sftp`: a server inside the workspace, run as its user; bytes pass through.

What it did is told of in events (`file.read`, `file.written`, `file.removed`), one of each kind
for as many files as there were: at the end, and about once a minute before.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from alcove.core import forwards
from alcove.core.execs import told
from alcove.core.frames import Frame, Process
from alcove.drivers.base import ByteStream
from alcove.gateway.bringing import Say, nobody
from alcove.gateway.caller import Caller
from alcove.gateway.sftp_watching import Done, Watcher
from alcove.model.access import Permission
from alcove.model.errors import Unavailable
from alcove.model.event import EventKind

READ_SIZE: Final = 256 * 1024
TOLD_EVERY_S: Final = 60.0
_EVENTS: Final = {
    "read": EventKind.FILE_READ,
    "written": EventKind.FILE_WRITTEN,
    "removed": EventKind.FILE_REMOVED,
}
_ENDED: Final = json.dumps({"exit_code": 0}).encode()


@asynccontextmanager
async def sftp(caller: Caller, say: Say = nobody) -> AsyncGenerator[Process]:
    """The server side of SFTP, running. Raises what `Caller.enter` and `forwards.sftp` do."""
    workspace = await caller.enter("sftp", Permission.WORKSPACE_FILES, say=say)
    async with forwards.sftp(caller.core, workspace) as stream:
        live = _Server(caller, stream)
        try:
            yield live
        finally:
            with anyio.CancelScope(shield=True):
                await live.tell()


class _Server(Process):
    """It has no frames of its own: all that comes is its output, and the end of it is its."""

    def __init__(self, caller: Caller, stream: ByteStream) -> None:
        super().__init__(stream)
        self._caller = caller
        self._watcher = Watcher()
        self._told_at = anyio.current_time()

    async def frames(self) -> AsyncIterator[tuple[Frame, bytes]]:
        while True:
            try:
                data = await self._stream.receive(READ_SIZE)
            except anyio.EndOfStream:
                break
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise Unavailable("the connection to the agent was cut") from error
            self._watcher.answered(data)
            yield Frame.STDOUT, data
        yield Frame.EXIT, _ENDED

    async def send(self, kind: Frame, payload: bytes = b"") -> None:
        if kind is Frame.STDIN:
            self._watcher.asked(payload)
            await self._stream.send(payload)
        elif kind is Frame.STDIN_EOF:
            await self._stream.send_eof()
        if anyio.current_time() - self._told_at >= TOLD_EVERY_S:
            await self.tell()

    async def tell(self) -> None:
        """Of what was done since the last time."""
        self._told_at = anyio.current_time()
        for what, done in self._watcher.taken().items():
            await self._caller.tell(_EVENTS[what], "sftp", _detail(done))


def _detail(done: Done) -> dict[str, object]:
    paths = [told([path])[0] for path in done.paths]
    detail: dict[str, object] = {"paths": paths, "count": done.count}
    if done.count == 1:
        detail["path"] = paths[0]
    return detail
