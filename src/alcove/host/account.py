"""Who the workspace's ordinary user is: read from the image's passwd, added where it lacks him.

Pure. One rule: what an image says is data, so a home outside the usual places, or an entry that
does not parse, is answered with our own instead.
"""

import re
from dataclasses import dataclass
from typing import Final

from alcove.host.settings import ID_SPAN
from alcove.model.errors import DriverError
from alcove.model.workspace import RootMode

USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_OWN_ID: Final = 1000
_HOME: Final = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}){1,6}")
_NOT_HOMES: Final = (
    "/.alcove", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32",
    "/nonexistent", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/run", "/var/tmp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """The user, and the passwd and group text in which he is."""

    uid: int
    gid: int
    home: str
    passwd: bytes
    group: bytes


def settle(name: str, *, passwd: bytes | None, group: bytes | None, root: RootMode) -> Account:
    """Find or add the user `name`. Raises DriverError where the Spec cannot have him."""
    if not USER.fullmatch(name):
        raise DriverError(f"{name!r} is not the name of a user", retry=False)
    passwd = passwd or b"root:x:0:0:root:/root:/bin/sh\n"
    group = group or b"root:x:0:\n"
    entry = _entry(passwd, name)
    if entry is None:
        line = f"{name}:x:{_OWN_ID}:{_OWN_ID}::/home/{name}:{_shell(passwd)}\n".encode()
        if not _has_group(group, _OWN_ID):
            group = _lines(group) + f"{name}:x:{_OWN_ID}:\n".encode()
        # First, so that the number is shown by this name also where the image has another.
        return Account(_OWN_ID, _OWN_ID, f"/home/{name}", line + _lines(passwd), group)
    uid, gid, home = entry
    if uid == 0 and root is RootMode.NONE:
        raise DriverError(
            f"the user {name!r} is root in this image, which needs `root: contained`;"
            " name an ordinary user",
            retry=False,
        )
    if not is_home(home):
        home = f"/home/{name}"
        passwd = _with_home(passwd, name, home)
    return Account(uid, gid, home, _lines(passwd), _lines(group))


def is_home(path: str) -> bool:
    """Whether a home may be mounted there: an absolute plain path that hides nothing vital."""
    if not _HOME.fullmatch(path) or "/." in path:
        return False
    return not any(path == p or path.startswith(p + "/") for p in _NOT_HOMES)


def _entry(passwd: bytes, name: str) -> tuple[int, int, str] | None:
    for line in passwd.decode(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[0] == name:
            if not (fields[2].isascii() and fields[2].isdigit() and fields[3].isdigit()):
                return None
            uid, gid = int(fields[2]), int(fields[3])
            if uid >= ID_SPAN or gid >= ID_SPAN:
                raise DriverError(
                    f"the user {name!r} of this image has an id over 65535", retry=False
                )
            return uid, gid, fields[5]
    return None


def _has_group(group: bytes, gid: int) -> bool:
    return any(line.split(b":")[2:3] == [str(gid).encode()] for line in group.splitlines())


def _shell(passwd: bytes) -> str:
    """bash where root's entry has it, which tells that the image does."""
    first = passwd.partition(b"\n")[0]
    return "/bin/bash" if first.endswith(b"/bash") else "/bin/sh"


def _with_home(passwd: bytes, name: str, home: str) -> bytes:
    lines = passwd.decode(errors="replace").splitlines()
    for index, line in enumerate(lines):
        fields = line.split(":")
        if len(fields) == 7 and fields[0] == name:
            lines[index] = ":".join([*fields[:5], home, fields[6]])
    return ("\n".join(lines) + "\n").encode()


def _lines(text: bytes) -> bytes:
    return text if text.endswith(b"\n") else text + b"\n"
