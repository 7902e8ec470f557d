"""What a workspace that began as a copy must not have in common with the one it was copied from.

The files of the image are everybody's; what this removes was written in the workspace, as root of
it. One rule: nothing is reached through a link, since whoever wrote the tree may have put one
there.
"""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

from alcove.host.syscalls import open_beneath

_OWN: Final = (
    ("etc", re.compile(r"machine-id|hostname")),
    ("etc/ssh", re.compile(r"ssh_host_.*")),
    ("var/lib/dbus", re.compile(r"machine-id")),
    ("var/lib/systemd", re.compile(r"random-seed")),
)
_HOSTS: Final = "etc/hosts"
_HOSTS_MAX: Final = 1 << 20
_OWN_ADDRESS: Final = b"127.0.1.1"
_NOTHING: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EISDIR, errno.ENXIO}
)


def renew(upper: Path, hostname: str) -> None:
    """Remove identities from the changed part of a root; the workspace's own layer has new ones.
    What the user noted in /etc/hosts stays, under the new name. Raises OSError."""
    if not upper.is_dir():
        return
    root = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for directory, names in _OWN:
            if (found := _opened(root, directory, os.O_RDONLY | os.O_DIRECTORY)) is not None:
                _remove(found, names)
        if (found := _opened(root, _HOSTS, os.O_RDWR | os.O_NONBLOCK)) is not None:
            _rename_in_hosts(found, hostname)
    finally:
        os.close(root)


def _opened(root: int, path: str, flags: int) -> int | None:
    """None where there is no such thing, or only by a link."""
    try:
        return open_beneath(root, path, flags)
    except OSError as error:
        if error.errno in _NOTHING:
            return None
        raise


def _remove(descriptor: int, names: re.Pattern[str]) -> None:
    try:
        for name in os.listdir(descriptor):
            seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            # What stands for a removed file of the image stays: it is no identity.
            if names.fullmatch(name) and (
                stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode)
            ):
                os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _rename_in_hosts(descriptor: int, hostname: str) -> None:
    with os.fdopen(descriptor, "r+b") as file:
        seen = os.fstat(file.fileno())
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > _HOSTS_MAX:
            return
        lines = file.read().splitlines()
        kept = [line for line in lines if not line.startswith(_OWN_ADDRESS)]
        kept.append(_OWN_ADDRESS + b" " + hostname.encode())
        file.seek(0)
        file.write(b"\n".join(kept) + b"\n")
        file.truncate()
