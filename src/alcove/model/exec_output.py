"""What a command without a terminal wrote: the two ends of each stream, and no more.

Pure values. Bytes are kept as they came; `shown` makes them harmless to look at.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType

from alcove.model.workspace import UserId, WorkspaceId

ExecOutputId = NewType("ExecOutputId", str)
END_MAX: Final = 65_536
"""Most bytes that may be kept of one end of a stream."""
_LAID_OUT: Final = frozenset("\n\t")


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one stream. `kept` is all of it, or as much of its beginning as of its end."""

    kept: bytes
    size: int
    """Bytes that the command wrote."""

    @property
    def dropped(self) -> int:
        """Bytes between `head` and `tail` that were not kept."""
        return self.size - len(self.kept)

    @property
    def head(self) -> bytes:
        return self.kept[: len(self.kept) // 2] if self.dropped else self.kept

    @property
    def tail(self) -> bytes:
        """Empty where nothing was dropped."""
        return self.kept[len(self.kept) // 2 :] if self.dropped else b""


NOTHING: Final = Kept(b"", 0)


@dataclass(frozen=True, slots=True)
class ExecOutput:
    """Of one command that has ended."""

    id: ExecOutputId
    workspace: WorkspaceId
    owner: UserId
    """Of the workspace."""
    actor: UserId
    """Who ran it."""
    command: str
    """As its event tells it: bounded, control characters escaped."""
    exit_code: int | None
    """None where whoever ran it went away before its end."""
    duration_ms: float
    stdout: Kept
    stderr: Kept
    at: datetime
    """Its end."""
    expires_at: datetime | None

    @property
    def digest(self) -> str:
        """BLAKE2b-256 of what is kept, in hexadecimal; `exec.finished` has it too."""
        out, err = self.stdout, self.stderr
        sizes = f"{out.size} {len(out.kept)} {err.size} {len(err.kept)}"
        head = f"alcove exec {self.id} {self.exit_code} {sizes}\n{self.command}\n"
        found = hashlib.blake2b(head.encode(), digest_size=32)
        found.update(out.kept)
        found.update(err.kept)
        return found.hexdigest()


class Ends:
    """Keeps the first and the last `most` bytes of a stream that comes in pieces."""

    __slots__ = ("_head", "_most", "_size", "_tail")

    def __init__(self, most: int) -> None:
        self._most = most
        self._head = self._tail = b""
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Copies at most a few times `most` bytes, however long the piece is."""
        size, most = len(piece), self._most
        self._size += size
        room = most - len(self._head)
        if room > 0:
            if not self._head and size <= room:
                self._head = piece
                return
            self._head += piece[:room]
            if size <= room:
                return
            piece = piece[max(room, size - most) :]
        elif size > most:
            piece = piece[-most:]
        joined = self._tail + piece
        self._tail = joined[-most:] if len(joined) > most else joined

    def kept(self) -> Kept:
        return Kept(self._head + self._tail, self._size)


def shown(data: bytes) -> str:
    """As text that cannot move a cursor, colour, hide or turn round what stands beside it: what
    is not UTF-8 is U+FFFD, and all but plain characters, tabs and line ends is escaped."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _LAID_OUT else ascii(c)[1:-1] for c in text)
