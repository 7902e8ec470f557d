"""A pause that gVisor's kernel did not come to the end of, taken back.

It waits until every task has stopped, and one that waits for the host (a disk that hangs) does not
stop; runsc has no way to call that off. The kernel has: it counts who asked for a pause, and goes
on as soon as each is taken back, also in the middle of one. Rule: taken back is only what it was
certainly asked for and what runsc has not noted, for to take back more ends the kernel.
"""

import json
import logging
import os
import signal
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from alcove.host.runtime.notes import is_paused
from alcove.host.syscalls import descriptor_of
from alcove.model.workspace import WorkspaceId

log: Final = logging.getLogger(__name__)
_ANSWER_TIMEOUT_S: Final = 3.0
_ANSWER_MAX: Final = 65_536
_RESUME: Final = b'{"method":"containerManager.Resume","arg":null}'
_ANYTHING: Final = b'{"method":"alcove.Ask","arg":null}'
"""It answers that it does not know this."""


def call_off(state: Path, workspace: WorkspaceId, *, pausing: int) -> socket.socket | None:
    """With `pausing`, the pid of the `runsc pause` that takes too long and is killed afterwards.
    It stands still from here on, so that it notes nothing in between.

    Where the kernel itself stands still it is told on that one's own connection, to be read after
    what was asked there once the kernel goes on: the caller keeps what this answers open."""
    os.kill(pausing, signal.SIGSTOP)
    if is_paused(state, workspace) or (connection := _connection(pausing)) is None:
        return None
    path = state / f"runsc-{workspace}.sock"
    try:
        _ask(path, _ANYTHING)
        answer = _ask(path, _RESUME)
        if answer.get("success") is not True:
            log.warning("the kernel of %s is not let go: %s", workspace, answer.get("err"))
    except (OSError, ValueError) as error:
        log.warning("the kernel of %s does not answer: %s", workspace, error)
        with suppress(OSError):
            connection.sendall(_RESUME)
            return connection
    connection.close()
    return None


def _connection(pid: int) -> socket.socket | None:
    """The only one that it makes: to the kernel, to ask at once."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if path.readlink().name.startswith("socket:"):
                found = socket.socket(fileno=descriptor_of(pid, int(path.name)))
                found.settimeout(_ANSWER_TIMEOUT_S)
                return found
    return None


def _ask(path: Path, request: bytes) -> dict[str, Any]:
    """Raises OSError or ValueError where there is no answer."""
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.settimeout(_ANSWER_TIMEOUT_S)
            # A socket's address is at most 107 bytes long.
            connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            connection.sendall(request)
            answer: dict[str, Any] = json.loads(connection.recv(_ANSWER_MAX))
    finally:
        os.close(directory)
    return answer
