"""Mounted file systems: which there are, and having their writers wait."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from alcove.host.syscalls import freeze_file_system, thaw_file_system


def freeze(mounted: Path) -> None:
    """Have everything written on its device, and writers wait until `thaw`; nothing happens
    where nothing is mounted. Raises OSError."""
    if not mounted.is_mount():
        return
    with _opened(mounted) as descriptor:
        try:
            freeze_file_system(descriptor)
        except OSError as error:
            if error.errno != errno.EBUSY:  # frozen by a verb that was cut off
                raise


def thaw(mounted: Path) -> None:
    """Nothing happens to one that is not frozen."""
    if not mounted.is_mount():
        return
    with _opened(mounted) as descriptor:
        try:
            thaw_file_system(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise


def mounts_below(directory: Path) -> list[Path]:
    """Mount points below `directory`, in the order in which they were mounted."""
    prefix = f"{directory}/".encode()
    with Path("/proc/self/mountinfo").open("rb") as file:
        points = [line.split(b" ", 5)[4] for line in file]
    return [Path(os.fsdecode(_unescaped(p))) for p in points if p.startswith(prefix)]


def _unescaped(point: bytes) -> bytes:
    for octal, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        point = point.replace(octal, char)
    return point


@contextmanager
def _opened(directory: Path) -> Generator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
