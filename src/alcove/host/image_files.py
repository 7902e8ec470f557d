"""Reading single files out of an image's layers, which strangers made.

One rule: no link in an image is ever followed by a process of the host. A file behind a link, or
one that is not an ordinary file, counts as absent.
"""

import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alcove.host.syscalls import open_beneath

FILE_MAX_BYTES: Final = 2 << 20
_ENTRIES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class SkeletonFile:
    """A file of /etc/skel: its path relative to the home, its content and its mode."""

    path: str
    content: bytes
    mode: int


def read(layers: Sequence[Path], path: str) -> bytes | None:
    """The file as the overlay of `layers` (bottom first) shows it; None if it is not there, is no
    ordinary file, or has more than `FILE_MAX_BYTES`."""
    for layer in reversed(layers):
        with _directory(layer) as root:
            try:
                descriptor = open_beneath(root, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                if _hides(root, path):
                    return None
                continue
            except OSError:
                return None
            with os.fdopen(descriptor, "rb") as file:
                seen = os.fstat(descriptor)
                if not stat.S_ISREG(seen.st_mode) or seen.st_size > FILE_MAX_BYTES:
                    return None
                return file.read(FILE_MAX_BYTES)
    return None


def skeleton(layers: Sequence[Path]) -> list[SkeletonFile]:
    """The ordinary files of /etc/skel, of the topmost layer that has it; no deeper directories."""
    for layer in reversed(layers):
        with _directory(layer) as root:
            try:
                descriptor = open_beneath(root, "etc/skel", os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            try:
                listed = os.listdir(descriptor)  # noqa: PTH208 - by descriptor, not by path
                names = sorted(listed)[:_ENTRIES_MAX]
                modes = {n: os.stat(n, dir_fd=descriptor, follow_symlinks=False) for n in names}
            finally:
                os.close(descriptor)
        found: list[SkeletonFile] = []
        for name in names:
            content = (
                read(layers, f"etc/skel/{name}") if stat.S_ISREG(modes[name].st_mode) else None
            )
            if content is not None:
                found.append(
                    SkeletonFile(name, content, stat.S_IMODE(modes[name].st_mode) & 0o755)
                )
        return found
    return []


def _hides(root: int, path: str) -> bool:
    """Whether this layer ends the search: a directory on the way is opaque or replaced."""
    parent = ""
    for part in path.split("/")[:-1]:
        parent = f"{parent}/{part}" if parent else part
        try:
            descriptor = open_beneath(root, parent, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            if os.getxattr(f"/proc/self/fd/{descriptor}", "trusted.overlay.opaque") == b"y":
                return True
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return False


@contextmanager
def _directory(path: Path) -> Generator[int]:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
