"""What the runtime is told: a Spec as an OCI runtime configuration. Pure.

One rule: nothing of it comes from the image, and every list (capabilities, mounts, masked paths)
is spelled out here, so that the runtime's or a daemon's defaults decide nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alcove.host.settings import ID_SPAN
from alcove.model.workspace import RootMode, Spec

AGENT_PATH: Final = "/.alcove/agent"
DOOR: Final = "/.alcove/door"
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
NETWORK_NOTE: Final = "alcove.network"
OOM_SCORE_ADJ: Final = 500
"""When the host itself runs short, workspaces go first."""
NOFILE: Final = 65536
CPU_PERIOD_USEC: Final = 100_000

CAPABILITIES: Final[Mapping[RootMode, tuple[str, ...]]] = {
    # What the agent needs to become the user and to signal the user's processes. It drops the
    # rest for everything it starts; SETPCAP is for that.
    RootMode.NONE: ("CAP_KILL", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"),
    # What `sudo apt-get install` of ordinary packages needs: owners and modes of any file
    # (dpkg), other users (apt's `_apt`, service users). Not SETFCAP: a file that is given a
    # capability which nobody here may have cannot be executed at all, and maintainer scripts
    # that cannot give it fall back to setuid. Tried with PostgreSQL, nginx, OpenSSH, cron, D-Bus
    # and ping.
    RootMode.CONTAINED: (
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
    ),
}

AGENT_UNDER_GVISOR: Final = ("CAP_SYS_ADMIN",)
"""What the agent holds beyond that under gVisor, where the host cannot change the name of a
workspace that runs. The agent takes it out of the bounding set, for which it begins with SETPCAP,
so that nothing it starts can have it; and it is a right over the workspace's own kernel only."""

MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
)
READ_ONLY: Final = ("/proc/fs", "/proc/irq", "/proc/sys")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the configuration needs beyond the Spec."""

    rootfs: Path
    first_id: int
    """Of the workspace's range of host ids."""
    cgroup: str
    environment: Mapping[str, str]
    """Of PID 1, the agent; processes of the user get theirs from the agent."""
    seccomp: Mapping[str, Any]
    swap_limit: bool
    nofile_max: int


def config(spec: Spec, bundle: Bundle) -> dict[str, Any]:
    """The content of `config.json`."""
    capabilities = list(CAPABILITIES[spec.root])
    nofile = min(NOFILE, bundle.nofile_max)
    id_map = [{"containerID": 0, "hostID": bundle.first_id, "size": ID_SPAN}]
    return {
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": str(bundle.rootfs), "readonly": spec.root is RootMode.NONE},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": [AGENT_PATH],
            "env": [f"{k}={v}" for k, v in sorted(bundle.environment.items())],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                "inheritable": [],
                "ambient": [],
            },
            "noNewPrivileges": spec.root is RootMode.NONE,
            "oomScoreAdj": OOM_SCORE_ADJ,
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "soft": min(nofile, 1024 * 16), "hard": nofile},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            ],
        },
        "mounts": _mounts(spec),
        "linux": {
            "namespaces": [
                {"type": kind}
                for kind in ("user", "pid", "network", "ipc", "uts", "mount", "cgroup")
            ],
            "uidMappings": id_map,
            "gidMappings": id_map,
            "cgroupsPath": bundle.cgroup,
            "resources": _resources(spec, swap_limit=bundle.swap_limit),
            "rootfsPropagation": "private",
            # Its ports are its own, so there is no reason to keep the low ones for root; ping
            # has a socket of its own kind, so nobody needs raw ones.
            "sysctl": {
                "net.ipv4.ip_unprivileged_port_start": "0",
                "net.ipv4.ping_group_range": f"0 {ID_SPAN - 1}",
            },
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
            "seccomp": bundle.seccomp,
        },
    }


@dataclass(frozen=True, slots=True)
class Additions:
    """What a configuration for gVisor holds beside the Bundle."""

    home: str
    """Of the user, inside."""
    door: Path
    """The directory by which the agent is reached (see `doors`)."""
    boot_id: Path
    """A file with the id of this boot: what gVisor made up is part of a checkpoint."""


def gvisor_config(spec: Spec, bundle: Bundle, additions: Additions) -> dict[str, Any]:
    """The same for runsc.

    What the kernel does for a container by filters and masked paths, gVisor's own kernel does by
    not having it. Limits are not its business: the cgroup holds all of its processes. A restored
    workspace must have the same configuration but for paths, host name and ids."""
    made = config(spec, bundle)
    linux: dict[str, Any] = made["linux"]
    for name in ("resources", "seccomp", "maskedPaths", "readonlyPaths", "sysctl"):
        del linux[name]
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "cgroup"]
    rights: dict[str, list[str]] = made["process"]["capabilities"]
    for held in ("bounding", "effective", "permitted"):
        rights[held] = sorted({*rights[held], *AGENT_UNDER_GVISOR, "CAP_SETPCAP"})
    made["annotations"] = {NETWORK_NOTE: str(spec.network)}
    private = ["bind", "nosuid", "nodev"]
    home = str(bundle.rootfs / additions.home.lstrip("/"))
    made["mounts"] = [
        *(m for m in made["mounts"] if m["type"] != "cgroup"),
        _mount(additions.home, "bind", home, [*private, "rw"]),
        _mount(DOOR, "bind", str(additions.door), [*private, "noexec", "ro"]),
        _mount(BOOT_ID, "bind", str(additions.boot_id), [*private, "noexec", "ro"]),
    ]
    return made


def _mounts(spec: Spec) -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    # Memory of a tmpfs counts against the workspace's own limit; the inodes need a bound too.
    size_mib = max(16, spec.resources.memory_mib // 2)
    inodes = min(1_000_000, size_mib * 256)
    return [
        _mount("/proc", "proc", "proc", quiet),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "mode=755", "size=64k", "nr_inodes=64"]),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", "max=256"],
        ),
        _mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            [*quiet, "mode=1777", f"size={size_mib}m", f"nr_inodes={inodes}"],
        ),
        _mount("/sys", "sysfs", "sysfs", [*quiet, "ro"]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*quiet, "relatime", "ro"]),
        _mount(
            "/tmp",
            "tmpfs",
            "tmpfs",
            ["nosuid", "nodev", "mode=1777", f"size={size_mib}m", f"nr_inodes={inodes}"],
        ),
    ]


def _mount(destination: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": options}


def _resources(spec: Spec, *, swap_limit: bool) -> dict[str, Any]:
    memory: dict[str, Any] = {"limit": spec.resources.memory_mib << 20}
    if swap_limit:
        memory["swap"] = spec.resources.memory_mib << 20  # memory and swap together: no swap
    return {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": memory,
        "cpu": {
            "quota": spec.resources.cpu_millis * CPU_PERIOD_USEC // 1000,
            "period": CPU_PERIOD_USEC,
            "shares": max(2, spec.resources.cpu_millis * 1024 // 1000),
        },
        "pids": {"limit": spec.resources.pids},
    }
