"""A look at a started workspace from outside: what the kernel says of its first process.

The agent reports what is seen from inside; this is the half that nothing inside can colour. One
rule: what cannot be read counts as a difference.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alcove.host.bundle import CAPABILITIES
from alcove.host.settings import ID_SPAN
from alcove.model.workspace import Isolation, RootMode, WorkspaceId

if TYPE_CHECKING:
    from alcove.host.ground import Ground
    from alcove.host.state import Record

_NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_NUMBERS: Final = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3,
    "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}  # fmt: skip
_SENTRY_CAPABILITIES: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
    "CAP_SYS_PTRACE",
)  # fmt: skip
"""Of gVisor's kernel, in the workspace's user namespace: for the workspace's files, and for the
processes in which it runs programs."""
_SECCOMP_FILTER: Final = "2"


def outside_differences(
    record: "Record", *, root: RootMode, ground: "Ground", workspace: WorkspaceId
) -> list[str]:
    """In sentences, what is not as it must be; empty if everything is."""
    if record.process is None:
        return ["there is no process"]
    proc = Path(f"/proc/{record.process.pid}")
    try:
        found = [
            *_status_differences((proc / "status").read_text(), root, record.isolation),
            *_id_differences(proc, ground.settings.workspace_ids(record.slot)),
            *_namespace_differences(proc, record.isolation),
        ]
    except OSError as error:
        return [f"its first process cannot be read: {error}"]
    limits = ground.cgroups.limits(workspace)
    if limits.memory_bytes is None:
        found.append("its memory has no limit")
    if limits.cpu_millis is None:
        found.append("its CPU time has no limit")
    if limits.pids is None:
        found.append("its number of processes has no limit")
    if limits.swap_bytes is None and ground.cgroups.limits_swap():
        found.append("its swap has no limit")
    if record.process.pid not in ground.cgroups.processes(workspace):
        found.append("its first process is not in its cgroup")
    return found


def mask(names: tuple[str, ...]) -> int:
    """The capability names as the kernel's bit mask."""
    return sum(1 << _NUMBERS[name] for name in names)


def _status_differences(status: str, root: RootMode, isolation: Isolation) -> list[str]:
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    found: list[str] = []
    in_user_space = isolation is Isolation.GVISOR
    allowed = mask(_SENTRY_CAPABILITIES if in_user_space else CAPABILITIES[root])
    for name in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"):
        held = int(fields[name], 16)
        if held & ~allowed:
            found.append(
                f"{name} of its first process has {held & ~allowed:#x} beyond {allowed:#x}"
            )
    if root is RootMode.NONE and not in_user_space and int(fields["CapBnd"], 16):
        found.append("the agent did not drop its bounding set")
    if fields["Seccomp"].strip() != _SECCOMP_FILTER:
        found.append("no system call filter is in force")
    sealed = root is RootMode.NONE or in_user_space
    if fields["NoNewPrivs"].strip() != ("1" if sealed else "0"):
        found.append(f"no_new_privs is {fields['NoNewPrivs'].strip()}")
    return found


def _id_differences(proc: Path, first_id: int) -> list[str]:
    expected = ["0", str(first_id), str(ID_SPAN)]
    return [
        f"{name} is {' '.join(seen)} instead of {' '.join(expected)}"
        for name in ("uid_map", "gid_map")
        if (seen := (proc / name).read_text().split()) != expected
    ]


def _namespace_differences(proc: Path, isolation: Isolation) -> list[str]:
    # What gVisor shows of cgroups is its own, so runsc makes no namespace of them.
    unshared = {"cgroup"} if isolation is Isolation.GVISOR else set[str]()
    return [
        f"it is in the host's {name} namespace"
        for name in sorted(set(_NAMESPACES) - unshared)
        if (proc / "ns" / name).readlink() == Path(f"/proc/self/ns/{name}").readlink()
    ]
