"""The system calls that Python does not offer: mounts by file descriptor, loop devices, openat2.

They replace `mount`, `losetup` and `unshare`, whose processes would cost more than the work. One
rule: every function takes descriptors or paths made by us and raises OSError naming them.
"""

import ctypes
import errno
import fcntl
import os
import struct
import time
from collections.abc import Collection
from enum import IntFlag
from pathlib import Path
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# The same numbers on every architecture since they were added after the unification (5.x).
_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
_OPENAT2: Final = 437
_PIDFD_GETFD: Final = 438
_MOUNT_SETATTR: Final = 442

_OPEN_TREE_CLONE: Final = 1
_AT_EMPTY_PATH: Final = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH: Final = 0x04
_MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40

_CAPABILITIES_MAX: Final = 64
_BUSY_S: Final = 2.0
_BUSY_RETRY_S: Final = 0.02

_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08


class MountFlag(IntFlag):
    """Flags of mount(2)."""

    READ_ONLY = 0x01
    NO_SUID = 0x02
    NO_DEV = 0x04
    NO_ATIME = 0x400
    PRIVATE = 1 << 18


class MountAttribute(IntFlag):
    """Attributes of mount_setattr(2)."""

    READ_ONLY = 0x01
    NO_SUID = 0x02
    NO_DEV = 0x04
    ID_MAP = 0x100000


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def mount(source: str, target: str | Path, kind: str, flags: MountFlag, options: str = "") -> None:
    """mount(2). `options` is limited by the kernel to one page."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), int(flags), options.encode() or None
    )
    _check(result, f"mount {kind} on {target}")


def unmount(target: str | Path, *, lazy: bool = False) -> None:
    """umount2(2), never through a symlink. One that is busy is tried for a while: the kernel
    lets go of a killed process's files a moment after the process is gone."""
    umount_nofollow, mnt_detach = 8, 2
    flags = umount_nofollow | (mnt_detach if lazy else 0)
    until = time.monotonic() + _BUSY_S
    while _libc.umount2(os.fsencode(target), flags) < 0:
        if ctypes.get_errno() != errno.EBUSY or time.monotonic() >= until:
            _check(-1, f"unmount {target}")
        time.sleep(_BUSY_RETRY_S)


def clone_mount(path: str | Path, *, dir_fd: int = -100) -> int:
    """A detached copy of the mount at `path`, as a descriptor that owns it."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    result = _libc.syscall(_OPEN_TREE, dir_fd, os.fsencode(path), ctypes.c_uint(flags))
    return _check(result, f"clone the mount at {path}")


def set_mount_attributes(
    mount_fd: int, attributes: MountAttribute, *, userns_fd: int | None = None
) -> None:
    """Give a detached mount its attributes; with `userns_fd` also that namespace's id mapping."""
    private = int(MountFlag.PRIVATE)
    attr = _MountAttr(int(attributes), 0, private, 0)
    if userns_fd is not None:
        attr.attr_set |= int(MountAttribute.ID_MAP)
        attr.userns_fd = userns_fd
    result = _libc.syscall(
        _MOUNT_SETATTR,
        mount_fd,
        b"",
        ctypes.c_uint(_AT_EMPTY_PATH),
        ctypes.byref(attr),
        ctypes.c_size_t(ctypes.sizeof(attr)),
    )
    _check(result, "set the attributes of a mount")


def attach_mount(mount_fd: int, target_fd: int) -> None:
    """Attach a detached mount on the directory that `target_fd` is."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    result = _libc.syscall(_MOVE_MOUNT, mount_fd, b"", target_fd, b"", ctypes.c_uint(flags))
    _check(result, "attach a mount")


def open_beneath(dir_fd: int, path: str, flags: int) -> int:
    """openat2(2) that follows no symlink and never leaves `dir_fd`: for trees made by others."""
    how = _OpenHow(
        flags | os.O_CLOEXEC,
        0,
        _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS,
    )
    result = _libc.syscall(
        _OPENAT2,
        dir_fd,
        os.fsencode(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    return _check(result, f"open {path} without following links")


class Namespace(IntFlag):
    """Kinds of namespaces, as clone(2) numbers them."""

    UTS = 0x04000000
    NET = 0x40000000


def enter_namespace(namespace_fd: int, kind: Namespace) -> None:
    """setns(2): the calling thread alone, which should end with that."""
    _check(_libc.setns(namespace_fd, int(kind)), f"enter a namespace of kind {kind.name}")


def freeze_file_system(descriptor: int) -> None:
    """FIFREEZE: everything of it is on its device then, and writers wait until it is thawed. One
    that is frozen already is an OSError, EBUSY."""
    fcntl.ioctl(descriptor, 0xC0045877, struct.pack("i", 0))


def thaw_file_system(descriptor: int) -> None:
    """FITHAW; of one that is not frozen an OSError, EINVAL."""
    fcntl.ioctl(descriptor, 0xC0045878, struct.pack("i", 0))


def descriptor_of(pid: int, descriptor: int) -> int:
    """pidfd_getfd: a copy of another process's descriptor."""
    process = os.pidfd_open(pid)
    try:
        found = _libc.syscall(_PIDFD_GETFD, process, descriptor, ctypes.c_uint(0))
        return _check(found, f"descriptor {descriptor} of {pid}")
    finally:
        os.close(process)


def become_subreaper() -> None:
    """Let orphans of our children become our children, so that their exit codes reach us."""
    set_child_subreaper = 36
    _check(_libc.prctl(set_child_subreaper, 1, 0, 0, 0), "become a subreaper")


def keep_capabilities(kept: Collection[int]) -> None:
    """Give up every capability but `kept`, for this process and for all that it executes. Call it
    before any other thread starts: capabilities are a thread's own."""
    version_3, capbset_drop = 0x20080522, 24
    for number in range(_CAPABILITIES_MAX):
        # Those that this kernel does not have are an EINVAL, those we never had an EPERM.
        if number not in kept and _libc.prctl(capbset_drop, number, 0, 0, 0) != 0:
            continue
    header = (ctypes.c_uint32 * 2)(version_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, data), "read our capabilities")
    for word in range(2):
        mask = sum(1 << (n - 32 * word) for n in kept if n // 32 == word)
        for kind in range(3):  # effective, permitted, inheritable
            data[3 * word + kind] &= mask
    _check(_libc.capset(header, data), "give up capabilities")


def unshare_user_namespace() -> None:
    """unshare(CLONE_NEWUSER); only in a process with one thread."""
    _check(_libc.unshare(0x10000000), "make a user namespace")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
