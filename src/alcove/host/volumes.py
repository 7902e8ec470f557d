"""One ext4 file per workspace, mounted by loop: the disk and inode limit that nothing gets past.

The file is sparse: it takes from the host's disk what is written to it. Formatting is done once
per size; a new volume is a copy of the few blocks that `mkfs` wrote. The loop device frees
itself with the last unmount, so that a crash between the two leaves no device behind.
"""

import errno
import fcntl
import os
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alcove.host.copying import copy
from alcove.host.syscalls import MountFlag, mount, unmount
from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId

DISK_MIN_MIB: Final = 32
DISK_MAX_MIB: Final = 16 * 1024 * 1024
_TEMPLATES_MAX: Final = 8
_BLOCK: Final = 4096
_BYTES_PER_INODE: Final = 16384
_TOOL_TIMEOUT_S: Final = 60
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_LOOP_CONFIGURE: Final = 0x4C0A
_LOOP_CTL_GET_FREE: Final = 0x4C82
_LO_FLAGS_AUTOCLEAR: Final = 4
_FITRIM: Final = 0xC0185879
_LOOP_ATTEMPTS: Final = 64
_FREE_TIMEOUT_S: Final = 5.0
_TRIM_FROM_MIB: Final = 64


@dataclass(frozen=True, slots=True)
class DiskUse:
    used_mib: int
    limit_mib: int


class Volumes:
    """The volume files below `directory`, by workspace id."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._templates = directory / "templates"
        self._lock = threading.Lock()

    def path(self, workspace: WorkspaceId) -> Path:
        return self.directory / f"{workspace}.img"

    def exists(self, workspace: WorkspaceId) -> bool:
        return self.path(workspace).exists()

    def ids(self) -> set[WorkspaceId]:
        return {WorkspaceId(p.stem) for p in self.directory.glob("*.img")}

    def make(self, workspace: WorkspaceId, *, disk_mib: int, source: Path | None = None) -> None:
        """Make the volume unless it is there, whole or not at all; as a copy of `source`, if
        there is one, and else empty."""
        if not DISK_MIN_MIB <= disk_mib <= DISK_MAX_MIB:
            raise DriverError(
                f"a disk of {disk_mib} MiB is not between {DISK_MIN_MIB} and {DISK_MAX_MIB} MiB",
                retry=False,
            )
        if self.exists(workspace):
            return
        half = self.directory / f"{workspace}.new"
        try:
            copy(source or self._template(disk_mib), half)
        except OSError as error:
            half.unlink(missing_ok=True)
            raise DriverError(
                f"cannot make the volume of {workspace}: {error}", retry=True
            ) from error
        half.rename(self.path(workspace))

    def mount(self, workspace: WorkspaceId, target: Path, *, disk_mib: int) -> None:
        """Mount the volume on `target`, grown to `disk_mib`. Raises DriverError if it is larger
        than that: a file system in use is never cut."""
        file = self.path(workspace)
        wanted = disk_mib << 20
        size = file.stat().st_size
        if size > wanted:
            raise DriverError(
                f"the disk of {workspace} has {size >> 20} MiB and cannot shrink to {disk_mib};"
                f" ask for at least {size >> 20} MiB",
                retry=False,
            )
        _wait_until_free(file)
        if size < wanted:
            _grow(file, wanted)
        device, descriptor = _attach_loop(file)
        try:
            flags = MountFlag.NO_SUID | MountFlag.NO_DEV | MountFlag.NO_ATIME
            # Nothing but zeros is behind the holes of the file, so the kernel need not fill
            # every inode table with them, which would cost the host that much disk.
            mount(device, target, "ext4", flags, "errors=remount-ro,noinit_itable")
        except OSError as error:
            raise DriverError(
                f"cannot mount the volume of {workspace}: {error}", retry=True
            ) from error
        finally:
            os.close(descriptor)

    def unmount(self, workspace: WorkspaceId, target: Path) -> None:
        """Unmount; when much was deleted, give it back to the host first."""
        held_mib = self.path(workspace).stat().st_blocks * 512 >> 20
        if held_mib - disk_use(target).used_mib > _TRIM_FROM_MIB:
            _trim(target)
        unmount(target)

    def remove(self, workspace: WorkspaceId) -> None:
        self.path(workspace).unlink(missing_ok=True)
        (self.directory / f"{workspace}.new").unlink(missing_ok=True)

    def _template(self, disk_mib: int) -> Path:
        path = self._templates / f"{disk_mib}.img"
        with self._lock:
            if not path.exists():
                self._templates.mkdir(mode=0o700, exist_ok=True)
                kept = sorted(self._templates.glob("*.img"), key=lambda p: p.stat().st_atime)
                for oldest in kept[: max(0, len(kept) - _TEMPLATES_MAX + 1)]:
                    oldest.unlink()
                half = path.with_suffix(".new")
                _format(half, disk_mib)
                half.rename(path)
            os.utime(path)
        return path


def disk_use(mounted: Path) -> DiskUse:
    seen = os.statvfs(mounted)
    unit = seen.f_frsize
    return DiskUse(
        used_mib=((seen.f_blocks - seen.f_bfree) * unit + (1 << 20) - 1) >> 20,
        limit_mib=seen.f_blocks * unit >> 20,
    )


def io_bytes(mounted: Path) -> int:
    """What was read from and written to the volume's device, which only grows while it is
    mounted; 0 if it is not told."""
    device = mounted.stat().st_dev
    try:
        text = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text()
    except OSError:
        return 0
    fields = text.split()
    return (int(fields[2]) + int(fields[6])) * 512  # sectors read and written (iostats.rst)


def backing_files() -> dict[str, Path]:
    """Loop device name → the file behind it."""
    found: dict[str, Path] = {}
    for device in Path("/sys/block").glob("loop*"):
        try:
            found[device.name] = Path((device / "loop/backing_file").read_text().strip())
        except OSError:
            continue
    return found


def _format(path: Path, disk_mib: int) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(disk_mib << 20)
    # packed_meta_blocks puts what mkfs writes into few extents, which makes copies quick. Blocks
    # are not reserved for root: root inside is nobody here.
    journal_mib = 4 if disk_mib < 512 else 16
    command = [
        "mkfs.ext4", "-q", "-F", "-b", str(_BLOCK), "-i", str(_BYTES_PER_INODE), "-m", "0",
        "-J", f"size={journal_mib}", "-L", "alcove",
        "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,packed_meta_blocks=1",
        str(path),
    ]  # fmt: skip
    done = _run(command)
    if done.returncode != 0:
        raise DriverError(f"cannot format a volume of {disk_mib} MiB: {_said(done)}", retry=True)


def _wait_until_free(file: Path) -> None:
    """One file system mounted by two loop devices would be destroyed. The former mount lives on
    for a moment where a process with a copy of our mounts (a container being started) has not let
    go of them yet."""
    deadline = time.monotonic() + _FREE_TIMEOUT_S
    while file in backing_files().values():
        if time.monotonic() > deadline:
            raise DriverError(f"the volume {file.name} is still in use from before", retry=True)
        time.sleep(0.005)


def _attach_loop(file: Path) -> tuple[str, int]:
    """A loop device on `file` that frees itself when the descriptor and all mounts are closed."""
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(_LOOP_ATTEMPTS):
                device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
                descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(descriptor, _LOOP_CONFIGURE, _loop_config(backing, file))
                except OSError as error:
                    os.close(descriptor)
                    if error.errno != errno.EBUSY:  # somebody else took that device
                        raise
                else:
                    return device, descriptor
        finally:
            os.close(control)
    except OSError as error:
        raise DriverError(f"no loop device for {file.name}: {error}", retry=True) from error
    finally:
        os.close(backing)
    raise DriverError(f"no free loop device for {file.name}", retry=True)


def _loop_config(backing: int, file: Path) -> bytes:
    """struct loop_config: fd, block size, then struct loop_info64 (its flags at offset 52)."""
    name = os.fsencode(file)[:63]
    info = struct.pack(
        "=QQQQQIIII64s64s32sQQ",
        0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0,
    )  # fmt: skip
    return struct.pack("=II", backing, _BLOCK) + info + bytes(64)


def _grow(file: Path, size: int) -> None:
    """Grow the file system in `file`, which is not mounted.

    Not with the ioctl for mounted ones: it asks for CAP_SYS_RESOURCE, which is missing where the
    machine is itself a container."""
    checked = _run(["e2fsck", "-f", "-p", str(file)])
    if checked.returncode > 1:  # 1: errors were corrected
        raise DriverError(f"the volume {file.name} is damaged: {_said(checked)}", retry=False)
    os.truncate(file, size)
    grown = _run(["resize2fs", str(file)])
    if grown.returncode != 0:
        raise DriverError(f"cannot grow the volume {file.name}: {_said(grown)}", retry=True)


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, capture_output=True, timeout=_TOOL_TIMEOUT_S, check=False, env={"PATH": _PATH}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"{command[0]} failed: {error}", retry=True) from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stderr + done.stdout).decode(errors="replace").strip()[:500]


def _trim(mounted: Path) -> None:
    descriptor = os.open(mounted, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _FITRIM, struct.pack("=QQQ", 0, 2**64 - 1, 1 << 20))
    except OSError:
        return  # the host's file system cannot punch holes: it only costs disk
    finally:
        os.close(descriptor)
