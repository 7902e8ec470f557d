"""Doors: how the server reaches an agent that nobody outside can connect to.

Under gVisor the agent connects out, to a socket in a directory of its own, and the connections
wait there until the server, which is given the listening socket, takes one. One rule: inside, the
directory is read-only, and what it says is read anew before each connection; so a restored
workspace learns whose it is now from nothing else.
"""

import json
import os
import secrets
import shutil
import socket
import threading
from pathlib import Path
from typing import Final

from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId

SOCKET: Final = "door.sock"
STATE: Final = "door.json"
PROOF_BYTES: Final = 65
"""What an agent writes first: 64 characters and a newline."""
_BACKLOG: Final = 128


class Doors:
    """The directories below `directory`, by workspace id, and their listening sockets."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._listeners: dict[WorkspaceId, socket.socket] = {}

    def path(self, workspace: WorkspaceId) -> Path:
        return self._directory / workspace

    def ids(self) -> set[WorkspaceId]:
        if not self._directory.is_dir():
            return set()
        return {WorkspaceId(p.name) for p in self._directory.iterdir() if p.is_dir()}

    def open(self, workspace: WorkspaceId, *, first_id: int, control_sha256: str) -> None:
        """Make the door of a workspace whose root is `first_id` outside, anew."""
        self.close(workspace)
        self._directory.mkdir(mode=0o711, exist_ok=True)
        self._directory.chmod(0o711)
        own = self.path(workspace)
        own.mkdir(mode=0o700)
        self._write(workspace, first_id, control_sha256)
        self._listen(workspace, first_id)
        own.chmod(0o711)

    def reopen(self) -> None:
        """At start: listen again where a former host process did; the agents connect again."""
        for workspace in self.ids():
            state = self.path(workspace) / STATE
            if state.exists():
                self._listen(workspace, state.stat().st_uid)

    def close(self, workspace: WorkspaceId) -> None:
        with self._lock:
            listener = self._listeners.pop(workspace, None)
        if listener is not None:
            listener.close()
        shutil.rmtree(self.path(workspace), ignore_errors=True)

    def renew(self, workspace: WorkspaceId) -> None:
        """Begin another epoch: the connections of the one before are cut, and the agent is to know
        that no client did it."""
        state = self.path(workspace) / STATE
        told = json.loads(state.read_text())
        self._write(workspace, state.stat().st_uid, told["control_sha256"])

    def drain(self, workspace: WorkspaceId) -> None:
        """Drop the connections that wait: they were cut."""
        with self._lock:
            listener = self._listeners.get(workspace)
        while listener is not None:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return

    def listener(self, workspace: WorkspaceId) -> socket.socket:
        """A copy of the listening socket. Raises DriverError where there is none."""
        with self._lock:
            found = self._listeners.get(workspace)
            if found is None:
                raise DriverError(f"the agent of {workspace} does not answer", retry=True)
            return found.dup()

    def _listen(self, workspace: WorkspaceId, first_id: int) -> None:
        path = self.path(workspace) / SOCKET
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            os.chown(path, first_id, first_id)
            path.chmod(0o600)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        with self._lock:
            self._listeners[workspace] = listener

    def _write(self, workspace: WorkspaceId, first_id: int, control_sha256: str) -> None:
        half = self.path(workspace) / f"{STATE}.new"
        told = {"control_sha256": control_sha256, "epoch": secrets.token_hex(16)}
        half.write_text(json.dumps(told))
        half.chmod(0o400)
        os.chown(half, first_id, first_id)
        half.rename(self.path(workspace) / STATE)


def new_proof() -> str:
    return secrets.token_hex(32)
