"""The few Linux system calls that Python does not have, for the jail's own process.

Every function raises OSError with the kernel's reason. Numbers above 424 are the same on every
architecture (Linux, include/uapi/asm-generic/unistd.h).
"""

import ctypes
import os
import platform
from enum import IntFlag
from pathlib import Path
from typing import Final

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
OPEN_TREE_CLONE: Final = 1
MOVE_MOUNT_F_EMPTY_PATH: Final = 4
MNT_DETACH: Final = 2

_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
_MOUNT_SETATTR: Final = 442
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}.get(platform.machine(), -1)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECUREBITS: Final = 28
_SECBIT_NO_SETUID_FIXUP: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Clone(IntFlag):
    """Namespaces for `unshare` and `setns`."""

    NEWNS = 0x00020000
    NEWUTS = 0x04000000
    NEWIPC = 0x08000000
    NEWUSER = 0x10000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000


class MountFlag(IntFlag):
    """Flags of `mount(2)`."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


class Attribute(IntFlag):
    """Flags of `mount_setattr(2)`."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    IDMAP = 0x00100000


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def unshare(flags: Clone) -> None:
    _done(_libc.unshare(int(flags)), f"unshare({flags!r})")


def setns(fd: int, kind: Clone) -> None:
    _done(_libc.setns(fd, int(kind)), f"setns({kind!r})")


def mount(source: str, target: str, kind: str, flags: MountFlag, options: str = "") -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _done(result, f"mount {kind or 'bind'} {source} on {target}")


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    _done(_libc.umount2(target.encode(), flags), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    _done(_libc.syscall(_PIVOT_ROOT, new.encode(), old.encode()), f"pivot_root {new}")


def bind(
    source: str, target: str, *, attributes: Attribute, userns: int = -1, recursive: bool = False
) -> None:
    """Bind `source` over `target` in one step, with its attributes and, when `userns` is given,
    its ids mapped into that user namespace. Nothing is ever mounted without the attributes."""
    depth = AT_RECURSIVE if recursive else 0
    tree = _libc.syscall(
        _OPEN_TREE, AT_FDCWD, source.encode(), OPEN_TREE_CLONE | os.O_CLOEXEC | depth
    )
    _done(tree, f"open_tree {source}")
    try:
        if userns >= 0:
            attributes |= Attribute.IDMAP
        wanted = _MountAttributes(int(attributes), 0, 0, max(userns, 0))
        result = _libc.syscall(
            _MOUNT_SETATTR,
            tree,
            b"",
            AT_EMPTY_PATH | depth,
            ctypes.byref(wanted),
            ctypes.sizeof(wanted),
        )
        _done(result, f"mount_setattr {source}")
        result = _libc.syscall(
            _MOVE_MOUNT, tree, b"", AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH
        )
        _done(result, f"move_mount {source} to {target}")
    finally:
        os.close(tree)


def die_with_parent(signal_number: int) -> None:
    """Ask for a signal when the thread that started this process ends. A change of user clears
    it (prctl(2)), so ask again afterwards."""
    _done(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PDEATHSIG")


def no_new_privileges() -> None:
    _done(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")


def make_files_as(user: int) -> None:
    """Create files as `user` and `group` of this number from now on, with every capability kept.

    Overlayfs writes as whoever mounted it, and on a mapped mount root of the host has no number
    and can write nothing (Documentation/filesystems/overlayfs.rst, "Permission model").
    """
    _done(_libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl SECUREBITS")
    _libc.setfsgid(user)
    _libc.setfsuid(user)


def forget_make_files_as() -> None:
    """Let a change of user take the capabilities away again, as it does by default."""
    _done(_libc.prctl(_PR_SET_SECUREBITS, 0, 0, 0, 0), "prctl SECUREBITS")


def sync_file_system(directory: Path) -> None:
    """Write everything of the file system that holds `directory` to its disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _done(_libc.syncfs(fd), f"syncfs {directory}")
    finally:
        os.close(fd)


def _done(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
