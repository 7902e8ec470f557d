"""The agents' sockets: outside of workspaces, where only the server's group can open them.

One rule: what is paused has none where the server looks for one.
"""

import os
import socket
from pathlib import Path
from typing import Final

from alcove.host.doors import Doors
from alcove.host.protocol import HIDDEN_SOCKET
from alcove.model.workspace import WorkspaceId

_BACKLOG: Final = 128


class AgentSockets:
    """The sockets in `directory`, by workspace id, for `gid` to open."""

    def __init__(self, directory: Path, *, doors: Doors, gid: int) -> None:
        self._directory = directory
        self._doors = doors
        self._gid = gid

    def ids(self) -> set[WorkspaceId]:
        return {WorkspaceId(path.stem) for path in self._directory.iterdir()}

    def listen(self, workspace: WorkspaceId) -> socket.socket:
        """Bound anew, for the caller to close. The agent is given the descriptor, so nothing of
        it is visible inside."""
        path = self._shown(workspace)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            os.chown(path, 0, self._gid)
            path.chmod(0o660)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener

    def remove(self, workspace: WorkspaceId) -> None:
        self._shown(workspace).unlink(missing_ok=True)
        self._hidden(workspace).unlink(missing_ok=True)

    def hide(self, workspace: WorkspaceId) -> None:
        """Put it where nobody dials it; nothing happens if it is there."""
        path, hidden = self._shown(workspace), self._hidden(workspace)
        if path.exists():
            path.rename(hidden)
        elif self._doors.path(workspace).exists():
            hidden.touch(mode=0o600)  # a door cannot be moved, so this stands before it

    def mark_paused(self, workspace: WorkspaceId) -> None:
        """Have those who look for its agent told that it is paused."""
        self._hidden(workspace).touch(mode=0o600)

    def show(self, workspace: WorkspaceId) -> None:
        """Undo `hide` and `mark_paused`."""
        hidden = self._hidden(workspace)
        if hidden.is_socket():
            hidden.rename(self._shown(workspace))
        else:
            hidden.unlink(missing_ok=True)

    def _shown(self, workspace: WorkspaceId) -> Path:
        return self._directory / f"{workspace}.sock"

    def _hidden(self, workspace: WorkspaceId) -> Path:
        return self._directory / f"{workspace}{HIDDEN_SOCKET}"
