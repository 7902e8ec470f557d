"""Directories as tar streams: packed from, and unpacked to, the local disk with flat memory.

One rule for unpacking: nothing is written outside the destination, whatever the archive says.
Every name is walked from the destination's own descriptor without following a link, and a link
is made only if it stays inside. `tarfile` parses single headers; its extraction is not used.
"""

import errno
import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

CHUNK: Final = 256 * 1024
BLOCK: Final = 512
EXTENSION_MAX: Final = 1024 * 1024
"""For the data of a header that names the next one."""
NAME_MAX: Final = 4096
ENTRIES_MAX: Final = 2_000_000
SKIPPED_MAX: Final = 100
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Steps: TypeAlias = Generator[int, bytes, None]
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Transfer:
    """What was moved. `skipped` names what was left out, and why (at most SKIPPED_MAX)."""

    files: int
    bytes: int
    skipped: tuple[str, ...]


class ArchiveError(ValueError):
    """The stream is not a tar archive that we read, or it ended early."""


def link_stays_inside(name: str, target: str) -> bool:
    """Whether a symbolic link at `name` points into the archive's own root.

    `..` may only lead: behind another link it would mean that link's parent, not ours.
    """
    if target.startswith("/"):
        return False
    steps = [part for part in target.split("/") if part not in ("", ".")]
    up = 0
    while up < len(steps) and steps[up] == "..":
        up += 1
    depth = len([part for part in name.split("/") if part not in ("", ".")]) - 1
    return up <= depth and ".." not in steps[up:]


class _Tally:
    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self._skipped: list[str] = []

    def skip(self, name: str, why: str) -> None:
        if len(self._skipped) < SKIPPED_MAX:
            self._skipped.append(f"{name}: {why}")

    def transfer(self) -> Transfer:
        return Transfer(files=self.files, bytes=self.bytes, skipped=tuple(self._skipped))


class Packer:
    """Iterate for the archive's bytes; afterwards `transfer` tells what went into it."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise NotADirectoryError(f"{root} is not a directory")
        self._root = root
        self._tally = _Tally()

    @property
    def transfer(self) -> Transfer:
        return self._tally.transfer()

    def __iter__(self) -> Iterator[bytes]:
        for directory, subdirectories, names in os.walk(self._root):
            subdirectories.sort()
            for name in sorted([*subdirectories, *names]):
                path = Path(directory, name)
                yield from self._entry(path, path.relative_to(self._root).as_posix())
        yield bytes(2 * BLOCK)

    def _entry(self, path: Path, name: str) -> Iterator[bytes]:
        about = path.lstat()
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(about.st_mode) & 0o777
        info.mtime = int(about.st_mtime)
        if stat.S_ISLNK(about.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
            if not link_stays_inside(name, info.linkname):
                self._tally.skip(name, f"a link to {info.linkname}, outside the directory")
                return
            yield _header(info)
        elif stat.S_ISDIR(about.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info)
        elif stat.S_ISREG(about.st_mode):
            info.size = about.st_size
            yield _header(info)
            yield from self._content(path, about.st_size)
        else:
            self._tally.skip(name, "neither a file, a directory nor a link")

    def _content(self, path: Path, size: int) -> Iterator[bytes]:
        left = size
        with path.open("rb") as file:
            while left > 0:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    # The header has promised the size; a hole would pass for content.
                    raise ArchiveError(f"{path} became shorter while it was read")
                left -= len(chunk)
                yield chunk
        if size % BLOCK:
            yield bytes(BLOCK - size % BLOCK)
        self._tally.files += 1
        self._tally.bytes += size


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")


class Unpacker:
    """Feed it an archive's bytes as they come, then `finish`; `close` in any case."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        # The destination itself may be a link: it is the caller's own choice.
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tally = _Tally()
        self._entries = 0
        self._steps = self._read()
        self._wanted = next(self._steps)
        self._buffer = bytearray()
        self._ended = False

    def feed(self, chunk: bytes) -> None:
        """Raises ArchiveError for what is no archive, OSError for what the disk refuses."""
        self._buffer += chunk
        while not self._ended and len(self._buffer) >= self._wanted:
            piece = bytes(self._buffer[: self._wanted])
            del self._buffer[: self._wanted]
            self._advance(piece)

    def finish(self) -> Transfer:
        """Raises ArchiveError if the archive did not come to its end."""
        if not self._ended:
            raise ArchiveError("the archive ended early; what came so far was written")
        return self._tally.transfer()

    def close(self) -> None:
        self._steps.close()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _advance(self, piece: bytes) -> None:
        try:
            self._wanted = self._steps.send(piece)
        except StopIteration:
            self._ended = True

    def _read(self) -> _Steps:
        """Yields how many bytes it needs next and is sent exactly those."""
        extended: dict[str, str] = {}
        while True:
            block = yield BLOCK
            if not block.strip(b"\0"):
                return
            info = _parse(block)
            if info.type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                data = yield from _extension(info)
                extended |= _overrides(info, data)
                continue
            if info.type == tarfile.XGLTYPE:
                yield from _extension(info)
                continue
            name = extended.get("path", info.name)
            target = extended.get("linkpath", info.linkname)
            size = int(extended["size"]) if "size" in extended else info.size
            extended = {}
            self._count(name, size)
            yield from self._one(info, name=name, target=target, size=size)

    def _count(self, name: str, size: int) -> None:
        self._entries += 1
        if self._entries > ENTRIES_MAX:
            raise ArchiveError(f"the archive has more than {ENTRIES_MAX} entries")
        if len(name) > NAME_MAX or "\0" in name:
            raise ArchiveError("the archive has a name that is too long or has a NUL")
        if size < 0:
            raise ArchiveError(f"{name!r} has a negative size")

    def _one(self, info: tarfile.TarInfo, *, name: str, target: str, size: int) -> _Steps:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts:
            self._tally.skip(name, "its name leads outside")
            yield from _pass(size)
        elif info.type == tarfile.GNUTYPE_SPARSE:
            raise ArchiveError(f"{name!r} is a sparse file, which is not read here")
        elif info.isreg():
            yield from self._file(parts, info.mode, size)
        elif info.isdir():
            with _opened(self._walk(parts)):
                pass
            yield from _pass(size)
        elif info.issym() and parts:
            self._link(parts, target)
            yield from _pass(size)
        elif parts:
            self._tally.skip(name, "neither a file, a directory nor a symbolic link")
            yield from _pass(size)

    def _file(self, parts: list[str], mode: int, size: int) -> _Steps:
        if not parts:
            raise ArchiveError("the archive has a file without a name")
        with _opened(self._walk(parts[:-1])) as directory:
            _clear(parts[-1], directory)
            # Others' write bits, and setuid and its like, are nothing to take from elsewhere.
            descriptor = os.open(parts[-1], _NEW_FILE, mode & 0o755 | 0o600, dir_fd=directory)
        with os.fdopen(descriptor, "wb") as file:
            left = size
            while left > 0:
                piece = yield min(CHUNK, left)
                file.write(piece)
                left -= len(piece)
        if size % BLOCK:
            yield BLOCK - size % BLOCK
        self._tally.files += 1
        self._tally.bytes += size

    def _link(self, parts: list[str], target: str) -> None:
        name = "/".join(parts)
        if not link_stays_inside(name, target):
            self._tally.skip(name, f"a link to {target}, outside the directory")
            return
        with _opened(self._walk(parts[:-1])) as directory:
            _clear(parts[-1], directory)
            os.symlink(target, parts[-1], dir_fd=directory)

    def _walk(self, parts: list[str]) -> int:
        """A descriptor of a directory below the root, made if need be; never through a link."""
        current = os.dup(self._root)
        for part in parts:
            try:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=current)
                below = os.open(part, _DIRECTORY, dir_fd=current)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                name = "/".join(parts)
                raise ArchiveError(f"{name}: {part} is there and is not a directory") from error
            finally:
                os.close(current)
            current = below
        return current


def _clear(name: str, directory: int) -> None:
    """Take away what a new file or link replaces; a directory stays, and is an error later."""
    with suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=directory)


@contextmanager
def _opened(descriptor: int) -> Generator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _parse(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, encoding="utf-8", errors="surrogateescape")
    except tarfile.HeaderError as error:
        raise ArchiveError(f"this is not a tar archive: {error}") from error


def _extension(info: tarfile.TarInfo) -> Generator[int, bytes, bytes]:
    if not 0 < info.size <= EXTENSION_MAX:
        raise ArchiveError("the archive has an extension header of an impossible size")
    data = yield info.size
    if info.size % BLOCK:
        yield BLOCK - info.size % BLOCK
    return data


def _pass(size: int) -> _Steps:
    left = size + -size % BLOCK
    while left > 0:
        left -= len((yield min(CHUNK, left)))


def _overrides(info: tarfile.TarInfo, data: bytes) -> dict[str, str]:
    """What an extension header says of the next entry (POSIX pax, GNU long names)."""
    if info.type == tarfile.XHDTYPE:
        return _pax(data)
    text = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
    return {"path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath": text}


def _pax(data: bytes) -> dict[str, str]:
    """Records of `length key=value\\n`, the length counting itself."""
    found: dict[str, str] = {}
    while data:
        digits, space, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        record = data[:length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not space or not equals or len(record) != length or not record.endswith(b"\n"):
            raise ArchiveError("the archive has a damaged extension header")
        if key.startswith(b"GNU.sparse."):
            raise ArchiveError("the archive has a sparse file, which is not read here")
        if key == b"size" and not value.isdigit():
            raise ArchiveError("the archive has an entry with an impossible size")
        if key in (b"path", b"linkpath", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        data = data[length:]
    return found
