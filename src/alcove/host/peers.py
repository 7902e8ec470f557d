"""Unix sockets of ours: who may open them, and who did."""

import os
import socket
import struct
from pathlib import Path
from typing import Final

_UCRED: Final = struct.Struct("3i")


def listen(path: Path, gid: int, *, backlog: int = 128) -> socket.socket:
    """A socket at `path` that root and the group `gid` may open."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))  # mode 0600 by the umask, until the group is right
    os.chown(path, 0, gid)
    path.chmod(0o660)
    listener.listen(backlog)
    return listener


def peer_uid(connection: socket.socket) -> int:
    """Who is at the other end, as the kernel knows it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(raw)[1]
    return uid
