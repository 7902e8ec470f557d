"""Run one command, or unpack one layer, where it can harm nothing.

A process of its own, started by `run`: it makes a user namespace whose ids own nothing on the
host, a mount namespace that dies with it (so a crash leaves no mount behind), and shows the
command one of three views of the file system. Files written below a mapped mount are stored with
the ids of the image (0..65535). The one rule: nothing from outside is read before the ids are
dropped.
"""

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from alcove.host.images import syscalls, unpack
from alcove.host.images.syscalls import Attribute, Clone, MountFlag

GUNZIP: Final = ("gunzip",)
"""The command of a LAYER whose standard input is compressed; the unpacking process does it."""
WORKSPACE_MOUNT: Final = re.compile(r"/host/workspaces/ws-[a-z2-7]{16}/")
STAGE: Final = "/tmp"
"""A private tmpfs in the jail's own mount namespace."""
FAILED: Final = 125
"""Exit code when the jail itself could not be made."""
DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
STAGE_OPTIONS: Final = "mode=1777,size=512m"


class View(StrEnum):
    """Which files the command sees."""

    HOST = "host"
    """The host's, read-only, as somebody who owns none of them; mounts appear below /tmp."""
    OVERLAY = "overlay"
    """A root file system made of `lower` with `upper` on top."""
    LAYER = "layer"
    """An empty directory and nothing else: a layer is unpacked from standard input."""


@dataclass(frozen=True, slots=True)
class Mount:
    """`target` is below /tmp in the view HOST, and in the image otherwise."""

    source: str
    target: str
    writable: bool
    mapped: bool = True
    """Whether files there have the ids of an image rather than the host's."""


@dataclass(frozen=True, slots=True)
class Jail:
    """Everything about one run. `user` is an id inside: 0 may do what root of an image may."""

    id_base: int
    view: View
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    user: int = 0
    lower: tuple[str, ...] = ()
    """Directories, bottom first."""
    upper: str = ""
    """A directory with `upper` and `work` in it; for LAYER the directory to fill."""
    mounts: tuple[Mount, ...] = ()
    network: bool = False
    bytes_max: int = 0
    """For LAYER: more is refused; for HOST: no file may be larger."""


def command_line(plan_fd: int) -> list[str]:
    """What to start; the caller writes `encode(jail)` to the pipe and passes `plan_fd` on."""
    program = "import sys; from alcove.host.images.jail import main; sys.exit(main(sys.argv[1]))"
    return [sys.executable, "-I", "-c", program, str(plan_fd)]


def encode(jail: Jail) -> bytes:
    return json.dumps(asdict(jail)).encode()


def decode(data: bytes) -> Jail:
    values = json.loads(data)
    values["view"] = View(values["view"])
    values["mounts"] = tuple(Mount(**m) for m in values["mounts"])
    values["command"] = tuple(values["command"])
    values["lower"] = tuple(values["lower"])
    return Jail(**values)


def main(plan_fd: str) -> int:
    """Make the jail and wait for what runs in it. Answers its exit code."""
    syscalls.die_with_parent(signal.SIGKILL)
    with os.fdopen(int(plan_fd), "rb") as pipe:
        jail = decode(pipe.read())
    try:
        return _run(jail)
    except OSError as failure:
        os.write(2, f"E: jail: {failure}\n".encode())
        return FAILED


def _run(jail: Jail) -> int:
    os.umask(0o022)
    userns = _user_namespace(jail.id_base)
    syscalls.unshare(Clone.NEWNS)
    syscalls.mount("none", "/", "", MountFlag.REC | MountFlag.PRIVATE)
    _forget_workspaces()
    if not jail.network:
        syscalls.unshare(Clone.NEWNET)
    match jail.view:
        case View.HOST:
            return _run_in_host_view(jail, userns)
        case View.OVERLAY:
            return _run_in_image(jail, userns)
        case View.LAYER:
            return _unpack(jail, userns)


def _forget_workspaces() -> None:
    """Drop our copies of the workspaces' mounts: a volume that is mounted anywhere is in use, and
    a build takes minutes in which its workspace may be stopped and started."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = line.split(" ", 5)[4]
        if WORKSPACE_MOUNT.search(point):
            syscalls.unmount(point)


def _run_in_host_view(jail: Jail, userns: int) -> int:
    syscalls.mount("tmpfs", STAGE, "tmpfs", MountFlag.NOSUID | MountFlag.NODEV, STAGE_OPTIONS)
    _bind_all(jail.mounts, "", userns)
    _become(userns, 0)
    # Made after the ids were dropped, so that it belongs to the jail and the command may mount.
    syscalls.unshare(Clone.NEWNS | Clone.NEWPID | Clone.NEWIPC | Clone.NEWUTS)

    def inside() -> None:
        if jail.bytes_max:
            resource.setrlimit(resource.RLIMIT_FSIZE, (jail.bytes_max, jail.bytes_max))
        if jail.user:
            _switch(jail.user)
        os.chdir(STAGE)
        _execute(jail)

    return _in_child(inside)


def _run_in_image(jail: Jail, userns: int) -> int:
    syscalls.mount("tmpfs", STAGE, "tmpfs", MountFlag.NOSUID, STAGE_OPTIONS)
    root = f"{STAGE}/root"
    Path(root).mkdir(mode=0o755)
    lowers: list[str] = []
    for number, directory in enumerate(jail.lower):
        target = f"{STAGE}/{number}"
        Path(target).mkdir()
        syscalls.bind(directory, target, attributes=Attribute.RDONLY, userns=userns)
        lowers.insert(0, target)
    delta = f"{STAGE}/delta"
    Path(delta).mkdir()
    syscalls.bind(jail.upper, delta, attributes=Attribute(0), userns=userns)
    syscalls.make_files_as(jail.id_base)
    options = f"lowerdir={':'.join(lowers)},upperdir={delta}/upper,workdir={delta}/work"
    syscalls.mount("overlay", root, "overlay", MountFlag.NODEV, options)
    _populate(root)
    _bind_all(jail.mounts, root, userns)
    syscalls.unshare(Clone.NEWPID | Clone.NEWIPC | Clone.NEWUTS)

    def inside() -> None:
        restricted = MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC
        syscalls.mount("proc", f"{root}/proc", "proc", restricted)
        _enter(root)
        _become(userns, jail.user)
        _execute(jail)

    return _in_child(inside)


def _unpack(jail: Jail, userns: int) -> int:
    compressed = jail.command == GUNZIP
    syscalls.mount("tmpfs", STAGE, "tmpfs", MountFlag.NOSUID | MountFlag.NODEV, STAGE_OPTIONS)
    root = f"{STAGE}/root"
    Path(root).mkdir()
    quiet = Attribute.NOSUID | Attribute.NODEV
    syscalls.bind(jail.upper, root, attributes=quiet, userns=userns)
    syscalls.unshare(Clone.NEWPID | Clone.NEWIPC | Clone.NEWUTS)

    def inside() -> None:
        _enter(root)
        _become(userns, 0)
        os.closerange(3, 4096)
        sys.exit(unpack.main(sys.stdin.buffer, bytes_max=jail.bytes_max, compressed=compressed))

    return _in_child(inside)


def _in_child(inside: Callable[[], object]) -> int:
    """Fork PID 1 of the namespace and wait for it; when we are killed, everything in it is."""
    pid = os.fork()
    if pid == 0:
        try:
            inside()
        except SystemExit as end:
            sys.stderr.flush()
            os._exit(int(end.code or 0))
        except BaseException as error:
            os.write(2, f"E: jail: {error}\n".encode())
        os._exit(FAILED)
    # Asked to end, end everything first: whoever waits for us may then remove the files.
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(pid, signal.SIGKILL))
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _execute(jail: Jail) -> None:
    os.execvpe(jail.command[0], list(jail.command), dict(jail.env))


def _become(userns: int, user: int) -> None:
    syscalls.setns(userns, Clone.NEWUSER)
    _switch(user)


def _switch(user: int) -> None:
    syscalls.forget_make_files_as()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    syscalls.no_new_privileges()
    syscalls.die_with_parent(signal.SIGKILL)


def _enter(root: str) -> None:
    """Make `root` the only file system there is."""
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".")
    os.chdir("/")


def _populate(root: str) -> None:
    """/dev, /proc, /tmp and /run. An image we built has real directories there."""
    for name in ("dev", "proc", "tmp", "run"):
        directory = f"{root}/{name}"
        Path(directory).mkdir(exist_ok=True)
        if Path(directory).is_symlink():
            raise OSError(f"the image has a symbolic link at /{name}")
        if name != "proc":
            mode = "mode=1777" if name == "tmp" else "mode=755"
            syscalls.mount("tmpfs", directory, "tmpfs", MountFlag.NOSUID, f"{mode},size=1g")
    for device in DEVICES:
        Path(f"{root}/dev/{device}").touch()
        quiet = MountFlag.BIND
        syscalls.mount(f"/dev/{device}", f"{root}/dev/{device}", "", quiet)
    for name, number in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path(f"{root}/dev/{name}").symlink_to(f"/proc/self/fd{number}")
    Path(f"{root}/dev/pts").mkdir()
    options = "newinstance,ptmxmode=0666,mode=0620"
    syscalls.mount("devpts", f"{root}/dev/pts", "devpts", MountFlag.NOSUID, options)
    Path(f"{root}/dev/ptmx").symlink_to("pts/ptmx")
    Path(f"{root}/dev/shm").mkdir()


def _bind_all(mounts: Sequence[Mount], root: str, userns: int) -> None:
    for entry in mounts:
        target = Path(f"{root}{entry.target}")
        if Path(entry.source).is_dir():
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
        else:
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            target.touch()
        attributes = Attribute.NODEV | Attribute.NOSUID
        if not entry.writable:
            attributes |= Attribute.RDONLY
        mapped = userns if entry.mapped else -1
        syscalls.bind(entry.source, str(target), attributes=attributes, userns=mapped)


def _user_namespace(id_base: int) -> int:
    """A user namespace with ids 0..65535 standing for `id_base`.., as a file descriptor."""
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(Clone.NEWUSER)
            os.write(ready_write, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(ready_write)
    try:
        if not os.read(ready_read, 1):
            raise OSError("this kernel gives no user namespace")
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{kind}").write_text(f"0 {id_base} 65536\n")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
