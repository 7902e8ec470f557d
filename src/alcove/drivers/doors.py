"""Taking connections that agents hold open for us, at the door of their workspace.

Where nobody can connect to an agent (gVisor), it connects out; the host process hands us the
socket at which its connections wait. One rule: a connection is the agent's only when it began with
the proof that the host process told us, for anybody inside who is root could make one.
"""

import hmac
import json
import socket
from pathlib import Path
from typing import Final

import anyio

from alcove.drivers.streams import Stream, is_cut
from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId

_LINE_MAX: Final = 512
_PROOF_BYTES: Final = 65
_KEPT_MAX: Final = 4096


class Doors:
    """The doors behind `run_dir/doors.sock`. For one event loop."""

    def __init__(self, run_dir: Path) -> None:
        self._keeper = run_dir / "doors.sock"
        self._directory = run_dir / "doors"
        self._known: dict[WorkspaceId, tuple[int, socket.socket, bytes]] = {}

    def has(self, workspace: WorkspaceId) -> bool:
        return self._number(workspace) is not None

    async def take(self, workspace: WorkspaceId) -> Stream:
        """A connection of the agent's, made before or as soon as it makes one; the caller sets
        the deadline. Raises DriverError where there is no door, and OSError."""
        while True:
            door, proof = await self._door(workspace)
            connection = await _accept(door)
            try:
                shown = await _receive(connection, _PROOF_BYTES)
                # A checkpoint cuts what waits.
                if hmac.compare_digest(shown, proof) and not is_cut(connection):
                    return await Stream.of(connection)
            except BaseException:
                connection.close()
                raise
            connection.close()

    def forget(self, workspace: WorkspaceId) -> None:
        """It is gone; nothing happens if it had no door."""
        if (known := self._known.pop(workspace, None)) is not None:
            known[1].close()

    def close(self) -> None:
        while self._known:
            self._known.popitem()[1][1].close()

    async def _door(self, workspace: WorkspaceId) -> tuple[socket.socket, bytes]:
        """Kept as long as the socket is the same: each start makes another one."""
        number = self._number(workspace)
        known = self._known.get(workspace)
        if known is not None and known[0] == number:
            return known[1], known[2]
        self.forget(workspace)
        if number is None:
            raise DriverError(f"the agent of {workspace} does not answer", retry=True)
        door, proof = await self._ask(workspace)
        self._known[workspace] = (number, door, proof)
        if len(self._known) > _KEPT_MAX:
            self.forget(next(iter(self._known)))
        return door, proof

    def _number(self, workspace: WorkspaceId) -> int | None:
        try:
            seen = (self._directory / workspace / "door.sock").stat()
        except OSError:
            return None
        return hash((seen.st_ino, seen.st_ctime_ns))

    async def _ask(self, workspace: WorkspaceId) -> tuple[socket.socket, bytes]:
        stream = await anyio.connect_unix(self._keeper)
        async with stream:
            await stream.send(f"{workspace}\n".encode())
            line, descriptors = await stream.receive_fds(_LINE_MAX, 1)
        try:
            answer: dict[str, str] = json.loads(line)
            if "error" in answer or not descriptors:
                said = answer.get("error", "the host process gave no door")
                raise DriverError(said, retry=True)
            door = socket.socket(fileno=descriptors.pop())
        finally:
            for number in descriptors:
                socket.socket(fileno=number).close()
        door.setblocking(False)
        return door, answer["proof"].encode() + b"\n"


async def _accept(door: socket.socket) -> socket.socket:
    while True:
        try:
            connection, _ = door.accept()
        except BlockingIOError:
            # Of its own number: only one task may wait for a descriptor.
            with door.dup() as waiting:
                await anyio.wait_readable(waiting)
        else:
            connection.setblocking(False)
            return connection


async def _receive(connection: socket.socket, count: int) -> bytes:
    """Up to `count` bytes; fewer only at the end of the stream."""
    found = bytearray()
    while len(found) < count:
        try:
            part = connection.recv(count - len(found))
        except BlockingIOError:
            await anyio.wait_readable(connection)
        except ConnectionError:
            break
        else:
            if not part:
                break
            found += part
    return bytes(found)
