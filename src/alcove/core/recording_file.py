"""The file of one recording, asciicast v2, and the chain over it. Blocking: run it in a thread.

Whole lines are written, so that what a killed server leaves can be read up to its last line. The
writer holds a lock on the file for as long as it lives: whoever gets that lock knows that nobody
writes any more. The name says nothing that an attacker chooses.
"""

import fcntl
import hashlib
import json
import os
import time
from codecs import getincrementaldecoder
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic_core import to_json

from alcove.model.recording import Chunk, RecordingId, first_head, next_head

CHUNK_BYTES: Final = 1 << 20
CHUNK_S: Final = 0.7
"""A chunk is over after so long or so much; its event is written up to 0.2 s later."""
MERGE_S: Final = 0.01
"""Output that comes within so long of other output is one event of the file."""
LINE_MAX: Final = 512 << 10
"""Bytes of output in one line at most."""
_DECODER: Final = getincrementaldecoder("utf-8")


class Full(Exception):
    """Not the disk: the operator's limit."""


class Item(NamedTuple):
    """`at`: seconds since the beginning; never less than that of the one before."""

    at: float
    kind: Literal["o", "r", "m"]
    data: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """`timestamp`: seconds since 1970."""

    columns: int
    rows: int
    timestamp: int
    title: str

    def line(self) -> bytes:
        said = {
            "version": 2,
            "width": self.columns,
            "height": self.rows,
            "timestamp": self.timestamp,
            "title": self.title,
            "env": {"TERM": "xterm-256color"},
        }
        return json.dumps(said).encode() + b"\n"


class CastFile:
    """Open for writing by one thread at a time; `sync` may run beside `write`."""

    def __init__(self, path: Path, id: RecordingId, header: Header, *, size_max: int) -> None:
        """Raises OSError."""
        self.path = path
        self.size: int = 0
        self.head = first_head(id)
        self.chunks = 0
        self._size_max = size_max
        self._decoder = _DECODER("replace")
        self._hash = hashlib.blake2b(digest_size=32)
        self._chunk_from: int = 0
        self._chunk_since = time.monotonic()
        path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._append(header.line())
        except BaseException:
            self.discard()
            raise

    def write(self, items: Sequence[Item]) -> list[Chunk]:
        """Append; answers the chunk that is complete by that, if one is. Raises OSError and Full,
        after which the file is as it was before."""
        if items:
            self._append(self._encoded(items))
        old = time.monotonic() - self._chunk_since >= CHUNK_S
        big = self.size - self._chunk_from >= CHUNK_BYTES
        return self.complete() if old or big else []

    def finish(self, items: Sequence[Item], at: float) -> list[Chunk]:
        """The last write: what was left of a character that never became whole is U+FFFD."""
        self._append(self._encoded(items))
        if rest := self._decoder.decode(b"", final=True):
            self._append(b'[%.6f, "o", %b]\n' % (at, to_json(rest)))
        return self.complete()

    def complete(self) -> list[Chunk]:
        """End the chunk that is being written; none when it is empty."""
        self._chunk_since = time.monotonic()
        if self.size == self._chunk_from:
            return []
        digest = self._hash.hexdigest()
        self._hash = hashlib.blake2b(digest_size=32)
        self._chunk_from = self.size
        self.head = next_head(self.head, digest)
        self.chunks += 1
        return [Chunk(self.chunks, self.size, digest, self.head)]

    @property
    def incomplete(self) -> bool:
        """Whether something is written that no chunk has yet."""
        return self.size > self._chunk_from

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._fd)

    def _encoded(self, items: Sequence[Item]) -> bytes:
        lines: list[bytes] = []
        for item in _merged(items):
            # What is split between two frames is whole again here; what is no text is U+FFFD.
            text = self._decoder.decode(item.data) if item.kind == "o" else item.data.decode()
            if text:
                said = to_json(text)
                lines.append(b'[%.6f, "%c", %b]\n' % (item.at, item.kind.encode(), said))
        return b"".join(lines)

    def _append(self, data: bytes) -> None:
        if self.size + len(data) > self._size_max:
            raise Full(f"it is larger than {self._size_max >> 20} MiB")
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
                os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self._hash.update(data)
        self.size += len(data)


def _merged(items: Sequence[Item]) -> list[Item]:
    """Output that came together, as one."""
    merged: list[Item] = []
    parts: list[bytes] = []
    since, size = 0.0, 0
    for item in items:
        fits = item.at - since <= MERGE_S and size + len(item.data) <= LINE_MAX
        if parts and not (item.kind == "o" and fits):
            merged.append(Item(since, "o", b"".join(parts)))
            parts = []
        if item.kind != "o":
            merged.append(item)
            continue
        if not parts:
            since, size = item.at, 0
        parts.append(item.data)
        size += len(item.data)
    if parts:
        merged.append(Item(since, "o", b"".join(parts)))
    return merged


def unwritten(path: Path) -> int | None:
    """A descriptor of a file that nobody writes any more, locked; None while somebody does.

    Raises OSError, FileNotFoundError among them. The caller closes it.
    """
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def whole_lines(fd: int, size: int) -> int:
    """Offset behind the last line that is complete, of the first `size` bytes."""
    at = size
    while at > 0:
        start = max(0, at - 65536)
        found = os.pread(fd, at - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def digest_of(fd: int, start: int, end: int) -> str:
    """BLAKE2b-256 of these bytes, or of those of them that there are."""
    seen = hashlib.blake2b(digest_size=32)
    while start < end:
        piece = os.pread(fd, min(1 << 20, end - start), start)
        if not piece:
            break
        seen.update(piece)
        start += len(piece)
    return seen.hexdigest()
