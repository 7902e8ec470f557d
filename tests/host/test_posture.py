"""Each thing that could be otherwise is noticed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from alcove.drivers.posture import Agent, Child, Mount, Posture, differences, read
from alcove.host.bundle import CAPABILITIES
from alcove.host.inspection import mask
from alcove.model.errors import DriverError
from alcove.model.workspace import RootMode
from tests.host.installation import a_spec

ROOTED = f"{mask(CAPABILITIES[RootMode.CONTAINED]):016x}"
ZERO = "0" * 16
CALLS = [
    "add_key",
    "bpf",
    "chroot",
    "clone_newuser",
    "init_module",
    "io_uring_setup",
    "kexec_load",
    "keyctl",
    "mount",
    "open_by_handle_at",
    "perf_event_open",
    "process_vm_readv_pid1",
    "ptrace_pid1",
    "request_key",
    "setns",
    "socket_alg",
    "socket_packet",
    "socket_raw",
    "socket_vsock",
    "unshare_newuser",
    "userfaultfd",
]


def _mount(point: str, kind: str, options: str, root: str = "/") -> Mount:
    return Mount(point, root, kind, kind, tuple(options.split(",")), ())


def _expected(root: RootMode) -> Posture:
    none = root is RootMode.NONE
    bounding = ZERO if none else ROOTED
    held = "00000000000000e0" if none else ROOTED
    mounts = (
        _mount("/", "overlay", "ro,nosuid,nodev" if none else "rw,nodev"),
        _mount("/home/dev", "ext4", "rw,nosuid,nodev", "/home"),
        _mount("/proc", "proc", "rw,nosuid,nodev,noexec"),
        _mount("/proc/sys", "proc", "ro,nosuid,nodev,noexec", "/sys"),
        _mount("/proc/keys", "devtmpfs", "rw", "/null"),
        _mount("/dev", "tmpfs", "rw,nosuid"),
        _mount("/dev/null", "devtmpfs", "rw", "/null"),
        _mount("/dev/pts", "devpts", "rw,nosuid,noexec"),
        _mount("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec"),
        _mount("/sys", "sysfs", "ro,nosuid,nodev,noexec"),
        _mount("/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec"),
        _mount("/tmp", "tmpfs", "rw,nosuid,nodev"),
    )
    writable = {"/": False, "/tmp": True, "/dev/shm": True, "/home/dev": True, "/proc/sys": False}
    child = Child(
        uid=(1000, 1000, 1000, 1000),
        cap_inh=ZERO, cap_prm=ZERO, cap_eff=ZERO, cap_bnd=bounding, cap_amb=ZERO,
        no_new_privs=none, seccomp=2, fds={"0": "/dev/null", "1": "pipe", "2": "pipe"},
        mounts=mounts, masked={"/proc/keys": "empty", "/proc/kcore": "absent"}, writable=writable,
        syscalls=dict.fromkeys(CALLS, "EPERM"),
    )  # fmt: skip
    agent = Agent(
        cap_inh=ZERO, cap_prm=held, cap_eff=held, cap_bnd=bounding, cap_amb=ZERO,
        no_new_privs=none, seccomp=2, pid=1, threads_uniform=True,
    )  # fmt: skip
    return Posture("box", agent, child)


Change: TypeAlias = Callable[[Posture], Posture]


def _agent(**fields: Any) -> Change:
    return lambda p: replace(p, agent=replace(p.agent, **fields))


def _child(**fields: Any) -> Change:
    return lambda p: replace(p, child=replace(p.child, **fields))


def _with_mount(one: Mount) -> Change:
    def change(p: Posture) -> Posture:
        others = tuple(m for m in p.child.mounts if m.mount_point != one.mount_point)
        return replace(p, child=replace(p.child, mounts=(*others, one)))

    return change


def _without_mount(point: str) -> Change:
    return lambda p: replace(
        p,
        child=replace(p.child, mounts=tuple(m for m in p.child.mounts if m.mount_point != point)),
    )


def _writable(path: str, can: bool) -> Change:
    return lambda p: replace(p, child=replace(p.child, writable={**p.child.writable, path: can}))


def _call(name: str, result: str) -> Change:
    return lambda p: replace(
        p, child=replace(p.child, syscalls={**p.child.syscalls, name: result})
    )


CHANGES: dict[str, Change] = {
    "another host name": lambda p: replace(p, hostname="other"),
    "an agent with a capability more": _agent(cap_eff="0000000000200000"),
    "an agent with ambient capabilities": _agent(cap_amb="0000000000000020"),
    "an agent without a filter": _agent(seccomp=0),
    "an agent that is not the first process": _agent(pid=2),
    "a thread with other rights": _agent(threads_uniform=False),
    "a process with a capability": _child(cap_eff="0000000000000001"),
    "a bounding set with more": _child(cap_bnd="000001ffffffffff"),
    "inheritable capabilities": _child(cap_inh="0000000000000001"),
    "a process without a filter": _child(seccomp=0),
    "an inherited descriptor": _child(fds={"0": "", "1": "", "2": "", "7": "socket"}),
    "a readable secret of the kernel": _child(masked={"/proc/keys": "readable"}),
    "a mount nobody asked for": _with_mount(_mount("/host", "ext4", "rw")),
    "a writable proc/sys": _with_mount(_mount("/proc/sys", "proc", "rw", "/sys")),
    "a writable sysfs": _with_mount(_mount("/sys", "sysfs", "rw,nosuid,nodev,noexec")),
    "a writable cgroup": _with_mount(_mount("/sys/fs/cgroup", "cgroup2", "rw")),
    "another device in null's place": _with_mount(_mount("/dev/null", "devtmpfs", "rw", "/sda")),
    "a root with devices": _with_mount(_mount("/", "overlay", "ro,nosuid")),
    "a home with setuid": _with_mount(_mount("/home/dev", "ext4", "rw,nodev", "/home")),
    "a tmp that is not one": _with_mount(_mount("/tmp", "ext4", "rw,nosuid,nodev")),
    "two homes": _with_mount(_mount("/home/other", "ext4", "rw,nosuid,nodev", "/home")),
    "no home": _without_mount("/home/dev"),
    "no proc": _without_mount("/proc"),
    "a writable etc": _writable("/etc", True),
    "a tmp that cannot be written": _writable("/tmp", False),
    "an open system call": _call("bpf", "OK"),
    "a system call that gets past the filter": _call("bpf", "EINVAL"),
    "a system call that was not tried": _child(syscalls={}),
}


@pytest.mark.parametrize("root", list(RootMode))
def test_what_is_as_it_must_be_has_no_differences(root: RootMode) -> None:
    assert differences(a_spec(root), _expected(root)) == []


@pytest.mark.parametrize("root", list(RootMode))
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_a_difference(root: RootMode, change: Change) -> None:
    assert differences(a_spec(root), change(_expected(root))) != []


def test_root_none_differs_from_contained_in_itself() -> None:
    assert differences(a_spec(RootMode.NONE), _expected(RootMode.CONTAINED)) != []
    assert differences(a_spec(RootMode.CONTAINED), _expected(RootMode.NONE)) != []


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"hostname": "box"}'])
def test_a_report_that_is_none_stops_the_start(body: bytes) -> None:
    with pytest.raises(DriverError, match="cannot be read") as raised:
        read(body)
    assert raised.value.retry is False
