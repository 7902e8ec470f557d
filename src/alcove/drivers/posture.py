"""What a workspace must look like from inside, and where what is seen differs. Pure.

Compared at every start; a difference stops the start. One rule: everything that the agent reports
is compared, so that a mount, a descriptor, a capability or a writable place that nobody thought of
is a difference too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from alcove.host.bundle import AGENT_UNDER_GVISOR, BOOT_ID, CAPABILITIES, DOOR, MASKED, READ_ONLY
from alcove.host.inspection import mask
from alcove.model.errors import DriverError
from alcove.model.workspace import Isolation, RootMode, Spec

_FILTER: Final = 2
_REFUSALS: Final = frozenset({"EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT"})
_SYSCALLS: Final = frozenset(
    {
        "add_key", "bpf", "chroot", "clone_newuser", "init_module", "io_uring_setup", "kexec_load",
        "keyctl", "mount", "open_by_handle_at", "perf_event_open", "process_vm_readv_pid1",
        "ptrace_pid1", "request_key", "setns", "socket_alg", "socket_packet", "socket_raw",
        "socket_vsock", "unshare_newuser", "userfaultfd",
    }
)  # fmt: skip
"""Those that have to have been tried."""
_DEVICES: Final = ("full", "null", "random", "tty", "urandom", "zero")
_PRIVATE: Final = ("nosuid", "nodev")
_QUIET: Final = ("nosuid", "nodev", "noexec")
_MOUNTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "/": ("overlay", ("nodev",)),
    "/dev": ("tmpfs", ("nosuid",)),
    "/dev/pts": ("devpts", ("nosuid", "noexec")),
    "/dev/shm": ("tmpfs", _QUIET),
    "/proc": ("proc", _QUIET),
    "/sys": ("sysfs", (*_QUIET, "ro")),
    "/tmp": ("tmpfs", _PRIVATE),
}
"""Mount point → its file system and the options that it must have."""
_CGROUPS: Final = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Tier:
    """What an isolation tier shows inside where the tiers differ; docs/operator/isolation.md has
    the reasons."""

    filters: bool
    """Whether a system call filter is seen: gVisor's holds its kernel, and is outside."""
    mounts: Mapping[str, tuple[str, tuple[str, ...]]]
    """Mount point → its file system and the options that it must have."""
    own_mounts: Mapping[str, tuple[str, tuple[str, ...]]]
    """More, which only this tier has."""
    home: tuple[str, str]
    """The file system of the home, and the root of its mount."""
    agent_holds: tuple[str, ...]
    """Capabilities of the agent that it can hand on to nobody."""
    answers: Mapping[str, frozenset[str]]
    """System call → results that are as good as a refusal, beyond those of all tiers."""


_SENTRY_QUIET: Final = ("nosuid", "noexec")
TIERS: Final[Mapping[Isolation, Tier]] = {
    Isolation.CONTAINER: Tier(
        filters=True,
        mounts=_MOUNTS,
        own_mounts={},
        home=("ext4", "/home"),
        agent_holds=(),
        # The kernel looks the directory up before it asks for the right to enter it.
        answers={"chroot": frozenset({"ENOENT"})},
    ),
    Isolation.GVISOR: Tier(
        filters=False,
        mounts={
            "/": ("9p", ()),
            "/dev": ("dev", ("nosuid",)),
            "/dev/pts": ("devpts", _SENTRY_QUIET),
            "/dev/shm": ("tmpfs", _SENTRY_QUIET),
            "/proc": ("proc", _SENTRY_QUIET),
            "/sys": ("sysfs", (*_SENTRY_QUIET, "ro")),
            "/tmp": ("tmpfs", ("nosuid",)),
        },
        own_mounts={
            DOOR: ("9p", (*_SENTRY_QUIET, "ro")),
            BOOT_ID: ("9p", (*_SENTRY_QUIET, "ro")),
        },
        home=("9p", "/"),
        agent_holds=AGENT_UNDER_GVISOR,
        answers={
            # gVisor's own kernel answers; none of these reaches the host's.
            "chroot": frozenset({"ENOENT"}),
            "clone_newuser": frozenset({"OK"}),
            "keyctl": frozenset({"OK"}),
            "open_by_handle_at": frozenset({"EOPNOTSUPP"}),
            "perf_event_open": frozenset({"ENODEV"}),
            "setns": frozenset({"EBADF"}),
            "unshare_newuser": frozenset({"EINVAL", "OK"}),
        },
    ),
}
_OPEN_TO_ALL: Final = frozenset({"/tmp", "/dev/shm"})
_STICKY: Final = frozenset({"/var/tmp"})
"""Everybody may write there in an ordinary image, where the root is writable at all."""


@dataclass(frozen=True, slots=True)
class Mount:
    mount_point: str
    root: str
    fstype: str
    source: str
    options: tuple[str, ...]
    super_options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agent:
    """PID 1; `threads_uniform` says that each of its threads has the same rights."""

    cap_inh: str
    cap_prm: str
    cap_eff: str
    cap_bnd: str
    cap_amb: str
    no_new_privs: bool
    seccomp: int
    pid: int
    threads_uniform: bool


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was started as the workspace's user."""

    uid: tuple[int, ...]
    cap_inh: str
    cap_prm: str
    cap_eff: str
    cap_bnd: str
    cap_amb: str
    no_new_privs: bool
    seccomp: int
    fds: Mapping[str, str]
    mounts: tuple[Mount, ...]
    masked: Mapping[str, str]
    writable: Mapping[str, bool]
    syscalls: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Posture:
    hostname: str
    agent: Agent
    child: Child


_ADAPTER: Final = TypeAdapter[Posture](Posture)


def read(body: bytes) -> Posture:
    """The agent's answer. Raises DriverError if it is not one: nothing is taken on trust."""
    try:
        return _ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DriverError(
            f"the posture cannot be read: {where}: {first['msg']}", retry=False
        ) from error


def differences(spec: Spec, seen: Posture) -> list[str]:
    """In sentences, what is not as `spec` demands; empty if everything is."""
    tier = TIERS[spec.isolation]
    return [
        *_hostname(spec, tier, seen),
        *_agent(spec.root, tier, seen.agent),
        *_child(spec.root, tier, seen.child),
        *_mounts(spec.root, tier, seen.child.mounts),
        *_files(spec.root, tier, seen.child),
        *_calls(tier, seen.child.syscalls),
    ]


def _hostname(spec: Spec, tier: Tier, seen: Posture) -> Iterator[str]:
    # Where the agent gives the name it does so when it is claimed, which is later: until then
    # what was restored has the name of the moment of its snapshot.
    if not tier.agent_holds and seen.hostname != spec.hostname:
        yield f"the host name is {seen.hostname!r} instead of {spec.hostname!r}"


def _agent(root: RootMode, tier: Tier, seen: Agent) -> Iterator[str]:
    allowed = mask(CAPABILITIES[root])
    bounding = 0 if root is RootMode.NONE else allowed
    held = allowed | mask(tier.agent_holds)
    yield from _sets("the agent", seen, held=held, bounding=bounding)
    if seen.pid != 1:
        yield f"the agent is process {seen.pid} instead of 1"
    if not seen.threads_uniform:
        yield "the agent's threads differ in their rights"
    yield from _gates("the agent", root, tier, seen)


def _child(root: RootMode, tier: Tier, seen: Child) -> Iterator[str]:
    allowed = 0 if root is RootMode.NONE else mask(CAPABILITIES[root])
    is_root = 0 in seen.uid
    if is_root and root is RootMode.NONE:
        yield "a process of the user is root"
    yield from _sets("a process", seen, held=allowed if is_root else 0, bounding=allowed)
    yield from _gates("a process", root, tier, seen)
    if inherited := sorted(set(seen.fds) - {"0", "1", "2"}):
        yield f"a process inherits the descriptors {', '.join(inherited)}"


def _sets(who: str, seen: Agent | Child, *, held: int, bounding: int) -> Iterator[str]:
    limits = {"cap_prm": held, "cap_eff": held, "cap_bnd": bounding, "cap_inh": 0, "cap_amb": 0}
    for name, limit in limits.items():
        value = int(getattr(seen, name), 16)
        if beyond := value & ~limit:
            yield f"{who} has capabilities {beyond:#x} beyond {limit:#x} in {name}"


def _gates(who: str, root: RootMode, tier: Tier, seen: Agent | Child) -> Iterator[str]:
    if seen.no_new_privs is not (root is RootMode.NONE):
        yield f"no_new_privs of {who} is {seen.no_new_privs}"
    if tier.filters and seen.seccomp != _FILTER:
        yield f"{who} has no system call filter"


def _mounts(root: RootMode, tier: Tier, seen: tuple[Mount, ...]) -> Iterator[str]:
    points = [m.mount_point for m in seen]
    known = {**tier.mounts, **tier.own_mounts}
    for point in sorted(set(known) - set(points)):
        yield f"{point} is not mounted"
    homes = 0
    for one in seen:
        point, options = one.mount_point, set(one.options)
        if point in known:
            kind, needed = known[point]
            if point == "/" and root is RootMode.NONE:
                # Under gVisor that files with set-user-id do nothing comes from no_new_privs.
                needed = (*needed, "ro", *(("nosuid",) if tier.filters else ()))
            if one.fstype != kind or not options.issuperset(needed):
                was = f"{one.fstype} ({','.join(one.options)})"
                yield f"{point} is {was} instead of {kind} ({','.join(needed)})"
        elif (one.fstype, one.root) == tier.home:
            homes += 1
            private = _PRIVATE if tier.filters else ("nosuid",)
            if not options.issuperset(private):
                yield f"the home {point} lacks {' or '.join(private)}"
        elif not tier.filters or not _is_expected(one):
            yield f"{point} ({one.fstype}) is mounted, which nobody asked for"
    if homes != 1:
        yield f"there are {homes} homes instead of 1"


def _is_expected(one: Mount) -> bool:
    point = one.mount_point
    if point == _CGROUPS or point.startswith(f"{_CGROUPS}/"):
        # On version 1 a tmpfs that holds the mount points is writable for root inside, the
        # cgroups themselves never are.
        return one.fstype == "tmpfs" or (one.fstype.startswith("cgroup") and "ro" in one.options)
    if point.startswith("/dev/") and point.removeprefix("/dev/") in _DEVICES:
        return one.root == point.removeprefix("/dev")
    if point in READ_ONLY:
        return "ro" in one.options
    return point in MASKED and (one.root == "/null" or "ro" in one.options)


def _files(root: RootMode, tier: Tier, seen: Child) -> Iterator[str]:
    for path, state in sorted(seen.masked.items()):
        if state == "readable":
            yield f"{path} can be read"
    if 0 in seen.uid:
        return
    known = {**tier.mounts, **tier.own_mounts}
    homes = (m for m in seen.mounts if m.mount_point not in known)
    home = next((m.mount_point for m in homes if (m.fstype, m.root) == tier.home), "")
    allowed = {*_OPEN_TO_ALL, home, *(_STICKY if root is RootMode.CONTAINED else ())}
    for path, writable in sorted(seen.writable.items()):
        if writable and path not in allowed:
            yield f"{path} can be written"
    for path in sorted(_OPEN_TO_ALL):
        if not seen.writable.get(path, False):
            yield f"{path} cannot be written"


def _calls(tier: Tier, seen: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(_SYSCALLS - set(seen)):
        yield f"the system call {name} was not tried"
    for name, result in sorted(seen.items()):
        if result not in _REFUSALS and result not in tier.answers.get(name, ()):
            yield f"the system call {name} is not refused ({result})"
