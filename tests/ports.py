"""Ports and sockets of this machine."""

import secrets
import socket
from pathlib import Path
from typing import Final

FIRST: Final = 18000
LAST: Final = 32000
"""Below the ports that the kernel gives to outgoing connections (32768 and up)."""


def free_port() -> int:
    """One on which nothing listens at this moment, and which no connection is given by chance."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        with socket.socket() as probe:
            if not _in_use(probe, port):
                return port


def _in_use(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return True
    return False


def listens(path: Path) -> bool:
    """Whether somebody takes connections there: the file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
