"""Unpack one layer of a registry's image into `/`, which the jail has made the layer's directory.

There is nothing else to reach: a name that leaves the root or goes through a link ends up in the
same directory. Whiteouts become overlayfs' own (OCI image-spec, layer.md); directories that hide
what is below keep the marker OPAQUE, which root turns into an attribute (`oci.settle`). The one
rule: an entry that cannot be made as it says fails the layer, but for devices, which no workspace
may have.
"""

import gzip
import hashlib
import io
import os
import resource
import shutil
import stat
import sys
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

ENTRIES_MAX: Final = 2_000_000
MEMORY_MAX: Final = 2 << 30
REPORT_BYTES: Final = 32 << 20
CHUNK: Final = 1 << 20
ID_MAX: Final = 65535
OPAQUE: Final = ".wh..wh..opq"
WHITEOUT: Final = ".wh."
RESERVED: Final = ".wh..wh."
KEPT_ATTRIBUTES: Final = ("security.capability", "user.")


class Refused(Exception):
    """The layer is not one that we unpack; the message names the entry."""


def main(stream: BinaryIO, *, bytes_max: int, compressed: bool) -> int:
    """Unpack the tar in `stream`. Prints `unpacked BYTES` now and then and `diff-id sha256:…` at
    the end; answers the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    os.umask(0)
    source = _Hashed(cast("BinaryIO", gzip.GzipFile(fileobj=stream)) if compressed else stream)
    try:
        Unpacking(bytes_max).run(source)
        while source.read(CHUNK):
            pass
    except Refused as refusal:
        _say(f"E: {refusal}")
        return 1
    except (tarfile.TarError, OSError, MemoryError, ValueError, EOFError, zlib.error) as error:
        _say(f"E: {type(error).__name__}: {_printable(str(error))}")
        return 1
    _say(f"diff-id sha256:{source.digest.hexdigest()}")
    return 0


class Unpacking:
    """One layer on its way to the disk."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._reported = 0
        self._entries = 0
        self._directories: dict[str, float] = {}

    def run(self, source: "_Hashed") -> None:
        with tarfile.open(fileobj=source, mode="r|", errorlevel=2) as tar:
            for member in tar:
                self._entries += 1
                if self._entries > ENTRIES_MAX:
                    raise Refused(f"the layer has more than {ENTRIES_MAX} entries")
                self._entry(tar, member)
                # It would remember every entry; the attribute is not in the type stubs.
                cast("list[tarfile.TarInfo]", getattr(tar, "members", [])).clear()
        for path, mtime in self._directories.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                os.utime(path, (mtime, mtime), follow_symlinks=False)

    def _entry(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _path(member.name)
        directory, _, name = path.rpartition("/")
        if path == "/":
            if member.isdir():
                self._describe(path, member)
            return
        self._make_parents(directory)
        if name == OPAQUE:
            Path(path).touch()
        elif name.startswith(RESERVED):
            pass
        elif name.startswith(WHITEOUT):
            _hide(directory, name[len(WHITEOUT) :])
        elif self._make(tar, member, path):
            self._describe(path, member)

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bool:
        """Make it; False for what is left out, or needs no owner of its own."""
        if member.isdir():
            if not _is_directory(path):
                _remove(path)
                os.mkdir(path)  # noqa: PTH102 - bytes of the name as they are
            return True
        if member.islnk():
            target = _path(member.linkname)
            if target != path:
                _remove(path)
                os.link(target, path, follow_symlinks=False)
            return False
        _remove(path)
        if member.issym():
            os.symlink(member.linkname, path)  # noqa: PTH211
        elif member.isreg():
            self._write(tar, member, path)
        elif member.isfifo():
            os.mkfifo(path)
        else:
            _say(f"left out: {_printable(path)} is a device or of an unknown type")
            return False
        return True

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        source = tar.extractfile(member)
        if source is None:
            raise Refused(f"{_printable(path)} has no content")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            while chunk := source.read(CHUNK):
                self._bytes += len(chunk)
                if self._bytes > self._bytes_max:
                    raise Refused(f"the layer is larger than {self._bytes_max >> 20} MiB")
                file.write(chunk)
        if self._bytes - self._reported > REPORT_BYTES:
            self._reported = self._bytes
            _say(f"unpacked {self._bytes}")

    def _describe(self, path: str, member: tarfile.TarInfo) -> None:
        """Owner first: a change of owner takes set-uid bits and capabilities away."""
        if not (0 <= member.uid <= ID_MAX and 0 <= member.gid <= ID_MAX):
            ids = f"{member.uid}:{member.gid}"
            raise Refused(f"{_printable(path)} belongs to {ids}; ids above {ID_MAX} do not exist")
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
        if not member.issym():
            os.chmod(path, stat.S_IMODE(member.mode))  # noqa: PTH101
            for name, value in _attributes(member):
                os.setxattr(path, name, value, follow_symlinks=False)
        mtime = max(0.0, float(member.mtime))
        if member.isdir():
            self._directories[path] = mtime
        else:
            os.utime(path, (mtime, mtime), follow_symlinks=False)

    def _make_parents(self, directory: str) -> None:
        if not directory or os.path.isdir(directory):  # noqa: PTH112
            return
        self._make_parents(directory.rpartition("/")[0])
        if not _is_directory(directory):
            _remove(directory)
        os.mkdir(directory, 0o755)  # noqa: PTH102


class _Hashed(io.BufferedIOBase):
    """Reads on, and knows the digest of what was read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self.digest.update(data)
        return data


def _path(name: str) -> str:
    """An entry's name as an absolute path inside."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise Refused(f"{_printable(name)} names a place outside of the image")
    return "/" + "/".join(parts)


def _hide(directory: str, name: str) -> None:
    """Whiteout: what the layers below have under this name is gone."""
    if name in ("", ".", ".."):
        raise Refused(f"a whiteout of {name!r} in {_printable(directory or '/')}")
    path = f"{directory}/{name}"
    if _is_directory(path):
        Path(path, OPAQUE).touch()
    elif not os.path.lexists(path):
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114


def _remove(path: str) -> None:
    if _is_directory(path):
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108


def _attributes(member: tarfile.TarInfo) -> list[tuple[str, bytes]]:
    prefix = "SCHILY.xattr."
    found: list[tuple[str, bytes]] = []
    for key, value in member.pax_headers.items():
        name = key.removeprefix(prefix)
        if (
            name != key
            and name.startswith(KEPT_ATTRIBUTES)
            and not name.startswith("user.overlay.")
        ):
            found.append((name, str(value).encode("utf-8", "surrogateescape")))
    return found


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _printable(text: str) -> str:
    return ascii(text)[:200]


if __name__ == "__main__":
    sys.exit("this runs inside the jail only")
