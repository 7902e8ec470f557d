"""Copies of large sparse files, and the sums by which they are known again.

One rule: what is a hole stays one, and a sum does not depend on where the holes are.
"""

import errno
import fcntl
import os
import zlib
from pathlib import Path
from typing import Final

_FICLONE: Final = 0x40049409
_CHUNK: Final = 1 << 20
_ZEROS: Final = bytes(_CHUNK)
_NO_CLONES: Final = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY})


def copy(source: Path, target: Path) -> None:
    """Copy what is not a hole; where the file system can share blocks, nothing is copied at all.
    Raises OSError, with `target` left half-made."""
    with source.open("rb") as reading, target.open("wb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError as error:
            if error.errno not in _NO_CLONES:
                raise
            _copy_data(reading.fileno(), writing.fileno())


def digest(path: Path) -> str:
    """A sum over the size and over each chunk that is not all zeros, with its place. CRC-32: it is
    against accidents (who can write here is root), and a start may wait for it."""
    with path.open("rb") as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        summed = zlib.crc32(size.to_bytes(8, "big"))
        position = 0
        while (start := _data_from(descriptor, position)) is not None:
            position = start - start % _CHUNK
            chunk = os.pread(descriptor, _CHUNK, position)
            if not chunk:
                break
            if chunk != _ZEROS[: len(chunk)]:
                summed = zlib.crc32(chunk, zlib.crc32(position.to_bytes(8, "big"), summed))
            position += len(chunk)
    return f"{summed:08x}"


def sync(path: Path) -> None:
    """Have a file, or the names in a directory, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_data(reading: int, writing: int) -> None:
    os.ftruncate(writing, os.fstat(reading).st_size)
    position = 0
    while (start := _data_from(reading, position)) is not None:
        position = os.lseek(reading, start, os.SEEK_HOLE)
        while start < position:
            done = os.copy_file_range(reading, writing, position - start, start, start)
            if not done:
                raise OSError(errno.EIO, "the file became shorter while it was copied")
            start += done


def _data_from(descriptor: int, position: int) -> int | None:
    """Where the next data begins; None if there is none up to the end."""
    try:
        return os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
