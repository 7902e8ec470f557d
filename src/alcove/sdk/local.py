"""Local files that are read and written in chunks. A file is there whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

CHUNK: Final = 256 * 1024


def read_chunks(path: Path) -> Iterator[bytes]:
    """A file's content. Opened at once, so that a missing file is an error before any call."""
    file = path.open("rb")

    def read() -> Iterator[bytes]:
        with file:
            yield from pieces(file)

    return read()


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """What an open file gives until its end."""
    while chunk := file.read(CHUNK):
        yield chunk


class LocalFile:
    """A file being written under a scratch name beside its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._scratch, flags, 0o666), "wb")
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._size += len(chunk)

    def commit(self) -> int:
        """Put it in its place, with the mode of what it replaces. Answers its size."""
        self._file.close()
        if self._path.is_file():
            self._scratch.chmod(self._path.stat().st_mode & 0o777)
        self._scratch.replace(self._path)
        return self._size

    def close(self) -> None:
        """Take the scratch file away, if it was not put in place."""
        self._file.close()
        self._scratch.unlink(missing_ok=True)
