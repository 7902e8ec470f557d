"""Sees which files an SFTP client opens, changes and removes, in the bytes that pass.

Pure and bounded. It never changes what passes and never fails: what it cannot read (a client or
server that speaks something else) it stops to look at. Only what the server said yes to counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

PATHS_MAX: Final = 50
"""Paths kept by name of each kind; more are only counted."""
PATH_MAX: Final = 1024
"""Bytes of a path that are kept."""
PENDING_MAX: Final = 4096
"""Requests whose answer has not come; more are not looked at."""
PACKET_MAX: Final = 1 << 24
HEAD_MAX: Final = 10 * 1024
"""Bytes of a packet that are looked at: two paths."""
_OPEN, _MKDIR, _REMOVE, _RMDIR, _RENAME, _SYMLINK, _EXTENDED = 3, 14, 13, 15, 18, 20, 200
_STATUS, _HANDLE = 101, 102
_WRITES: Final = 0x02 | 0x04 | 0x08 | 0x10
"""To write, to append, to make, to truncate."""
_RENAMES: Final = b"posix-rename@openssh.com"
_LINKS: Final = b"hardlink@openssh.com"


@dataclass(slots=True)
class Done:
    count: int = 0
    paths: list[str] = field(default_factory=list[str])
    """The first ones, as the client named them."""


class Watcher:
    """Of one SFTP connection. Give it all bytes, in the order of each direction."""

    def __init__(self) -> None:
        self._pending: dict[int, tuple[tuple[str, bytes], ...]] = {}
        self._done: dict[str, Done] = {}
        kinds = frozenset({_OPEN, _MKDIR, _REMOVE, _RMDIR, _RENAME, _SYMLINK, _EXTENDED})
        self._requests = _Packets(kinds, self._request)
        self._answers = _Packets(frozenset({_STATUS, _HANDLE}), self._answer)

    def asked(self, data: bytes) -> None:
        """The client's bytes."""
        self._requests.feed(data)

    def answered(self, data: bytes) -> None:
        """The server's bytes."""
        self._answers.feed(data)

    def taken(self) -> dict[str, Done]:
        """What was done since the last time: read, written, removed."""
        done, self._done = self._done, {}
        return done

    def _request(self, kind: int, head: bytes) -> None:
        if len(self._pending) >= PENDING_MAX:
            return
        fields = _Fields(head)
        id = fields.number()
        if effects := _effects(kind, fields):
            self._pending[id] = effects

    def _answer(self, kind: int, head: bytes) -> None:
        if not self._pending:
            return
        fields = _Fields(head)
        effects = self._pending.pop(fields.number(), ())
        if kind == _STATUS and fields.number() != 0:
            return
        for what, path in effects:
            done = self._done.setdefault(what, Done())
            done.count += 1
            if len(done.paths) < PATHS_MAX:
                done.paths.append(path[:PATH_MAX].decode(errors="replace"))


def _effects(kind: int, fields: "_Fields") -> tuple[tuple[str, bytes], ...]:
    """What a request will have done, if it succeeds."""
    if kind == _EXTENDED:
        name = fields.text()
        kind = _RENAME if name == _RENAMES else _SYMLINK if name == _LINKS else 0
    first = fields.text()
    match kind:
        case 3:
            return (("written" if fields.number() & _WRITES else "read", first),)
        case 14:
            return (("written", first),)
        case 13 | 15:
            return (("removed", first),)
        case 18:
            return (("removed", first), ("written", fields.text()))
        case 20:
            return (("written", fields.text()),)
        case _:
            return ()


class _Fields:
    """Reads a packet from its front; what is not there is empty, or 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        self._at += 4
        return int.from_bytes(self._data[self._at - 4 : self._at])

    def text(self) -> bytes:
        length = self.number()
        self._at += length
        return self._data[self._at - length : self._at]


class _Packets:
    """Cuts a stream into packets, and gives the fronts of those that are of interest."""

    def __init__(self, kinds: frozenset[int], see: Callable[[int, bytes], None]) -> None:
        self._kinds = kinds
        self._see = see
        self._head = bytearray()
        self._skip = 0
        self._lost = False

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._lost:
            if self._skip:
                passed = min(self._skip, len(data) - at)
                self._skip -= passed
                at += passed
                continue
            wanted = self._wanted() - len(self._head)
            self._head += data[at : at + wanted]
            at += wanted
            self._look()

    def _wanted(self) -> int:
        """Bytes of the packet that are to be looked at: first its length and type."""
        if len(self._head) < 5:
            return 5
        return 4 + min(int.from_bytes(self._head[:4]), HEAD_MAX)

    def _look(self) -> None:
        head = self._head
        if len(head) < 5:
            return
        length, kind = int.from_bytes(head[:4]), head[4]
        if not 1 <= length <= PACKET_MAX:
            self._lost = True
            return
        if kind not in self._kinds:
            self._skip = length - 1
        elif len(head) < self._wanted():
            return
        else:
            self._see(kind, bytes(head[5:]))
            self._skip = 4 + length - len(head)
        self._head = bytearray()
