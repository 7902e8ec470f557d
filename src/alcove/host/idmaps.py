"""User namespaces whose only purpose is their id mapping, one per id range, for idmapped mounts.

A thread cannot make one (the kernel wants a process of one thread), and forking a process that
has threads is unsafe. So a nursery, a process forked before the first thread, makes them and
hands over their descriptors; it ends when our end of the socket is closed, however we end.
"""

import os
import signal
import socket
import struct
import threading
from typing import Final

from alcove.host.settings import ID_SPAN
from alcove.host.syscalls import unshare_user_namespace

_KEPT_MAX: Final = 256
_REQUEST: Final = struct.Struct("!I?")
HOST_ROOT: Final = ID_SPAN
"""The number on disk of what the host's root writes, where a mapping has a place for it."""


class IdMaps:
    """Answers the namespace descriptor of an id range; keeps the last ones open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, bool], int] = {}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            _serve(theirs)
        theirs.close()
        ours.settimeout(10)
        self._socket = ours

    def namespace(self, first_id: int, *, with_root: bool = False) -> int:
        """A descriptor of a user namespace that maps 0..65535 to `first_id` and up, for the
        caller to close; `with_root` also HOST_ROOT to the host's root, whose writes would fail
        otherwise. Raises OSError."""
        wanted = first_id, with_root
        with self._lock:
            if (kept := self._kept.pop(wanted, None)) is None:
                self._socket.send(_REQUEST.pack(*wanted))
                answer, descriptors, _, _ = socket.recv_fds(self._socket, 256, 1)
                if not descriptors:
                    raise OSError(f"map ids from {first_id}: {answer.decode(errors='replace')}")
                kept = descriptors[0]
            self._kept[wanted] = kept
            if len(self._kept) > _KEPT_MAX:
                os.close(self._kept.pop(next(iter(self._kept))))
            return os.dup(kept)

    def close(self) -> None:
        with self._lock:
            for descriptor in self._kept.values():
                os.close(descriptor)
            self._kept.clear()
            self._socket.close()
        os.waitpid(self._pid, 0)


def _serve(requests: socket.socket) -> None:
    """The nursery: one namespace per request until the other end closes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while len(request := requests.recv(_REQUEST.size)) == _REQUEST.size:
        try:
            descriptor = _make(*_REQUEST.unpack(request))
        except OSError as error:
            requests.send(str(error).encode()[:256])
            continue
        socket.send_fds(requests, [b"ok"], [descriptor])
        os.close(descriptor)
    os._exit(0)


def _make(first_id: int, with_root: bool) -> int:
    map_ = f"0 {first_id} {ID_SPAN}\n" + (f"{HOST_ROOT} 0 1\n" if with_root else "")
    ready, done = os.pipe()
    held, hold = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            unshare_user_namespace()
            os.write(done, b"1")
            os.close(hold)
            os.read(held, 1)  # until we are killed, or until the end of a nursery that died
        finally:
            os._exit(1)
    try:
        os.close(done)
        if os.read(ready, 1) != b"1":
            raise OSError("the kernel refuses user namespaces (user.max_user_namespaces?)")
        for name in ("uid_map", "gid_map"):
            _write(f"/proc/{pid}/{name}", map_)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (ready, held, hold):
            os.close(descriptor)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
