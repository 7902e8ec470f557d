"""Output as much of it as a model should read: its beginning and its end, and what is missing."""

from collections import deque
from typing import Final

HEAD_MAX: Final = 6_000
TAIL_MAX: Final = 14_000
"""Errors and summaries stand at the end, so more of that is kept."""


class Bounded:
    """Keeps the first and the last bytes of a stream of any length."""

    def __init__(self, head_max: int = HEAD_MAX, tail_max: int = TAIL_MAX) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._head_max, self._tail_max = head_max, tail_max
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        room = self._head_max - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece:
            self._tail.append(piece)
            self._tail_size += len(piece)
            while self._tail_size - len(self._tail[0]) >= self._tail_max:
                self._tail_size -= len(self._tail.popleft())

    @property
    def left_out(self) -> int:
        """Bytes that are missing between beginning and end."""
        return self.size - len(self._head) - min(self._tail_size, self._tail_max)

    def text(self) -> str:
        """With a note where something is missing. What is not UTF-8 is replaced."""
        tail = b"".join(self._tail)[-self._tail_max :]
        if not self.left_out:
            return (bytes(self._head) + tail).decode(errors="replace")
        note = f"\n[… {self.left_out} bytes left out …]\n"
        return self._head.decode(errors="replace") + note + tail.decode(errors="replace")


def bounded(text: str, *, head_max: int = HEAD_MAX, tail_max: int = TAIL_MAX) -> str:
    """A text's beginning and end."""
    kept = Bounded(head_max, tail_max)
    kept.add(text.encode(errors="replace"))
    return kept.text()
