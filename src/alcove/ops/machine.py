"""The kernel, file systems, ports and trust of this machine, as far as Alcove depends on them."""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alcove.config import Settings
from alcove.ops import packages
from alcove.ops.findings import Finding, State, judge
from alcove.ops.packages import PATH
from alcove.ops.runtimes import parse_version

_KERNEL: Final = (5, 19, 0)
"""The first with overlayfs on idmapped layers (kernel documentation, overlayfs)."""
_CONTROLLERS: Final = ("cpu", "memory", "pids")
_DISK_FREE_GIB: Final = 10
_CGROUPS: Final = Path("/sys/fs/cgroup")


def examine(settings: Settings) -> Sequence[Finding]:
    """Everything but the runtimes. Changes nothing on the machine."""
    return [
        *_kernel(),
        _cgroups(),
        *_programs(),
        *_disk(settings),
        _port(settings, "http_address", settings.http_address, "127.0.0.1:7081"),
        *_ssh_port(settings),
        _ca(settings),
        _foreign_forward_policy(),
    ]


def _kernel() -> list[Finding]:
    release = platform.release()
    version = parse_version(release) or (0, 0, 0)
    filesystems = Path("/proc/filesystems").read_text()
    max_user_ns = _number(Path("/proc/sys/user/max_user_namespaces"))
    return [
        judge(
            "kernel",
            "version",
            good=version >= _KERNEL,
            value=release,
            cost="images cannot be shared between workspaces with ids of their own",
            remedy="Linux 5.19 or newer (Debian 12, Ubuntu 22.10 and later have it)",
        ),
        judge(
            "kernel",
            "user namespaces",
            good=Path("/proc/self/ns/user").exists() and max_user_ns > 0,
            value=f"at most {max_user_ns}",
            cost="root inside a workspace would be root outside: none is started",
            remedy="sysctl -w user.max_user_namespaces=15000",
        ),
        judge(
            "kernel",
            "overlayfs",
            good="overlay" in filesystems or _module("overlay"),
            value="there" if "overlay" in filesystems else "as a module",
            cost="no workspace can run",
            remedy="modprobe overlay",
        ),
        judge(
            "kernel",
            "loop devices",
            good=Path("/dev/loop-control").exists() or _module("loop"),
            value="there",
            cost="volumes have no limit of their own: none is made",
            remedy="modprobe loop",
        ),
        judge(
            "kernel",
            "seccomp",
            good="Seccomp:" in Path("/proc/self/status").read_text(),
            value="filters",
            cost="system calls cannot be filtered: no workspace is started",
            remedy="a kernel with CONFIG_SECCOMP_FILTER",
        ),
    ]


def _cgroups() -> Finding:
    if (_CGROUPS / "cgroup.controllers").exists():
        have = (_CGROUPS / "cgroup.controllers").read_text().split()
        version = "v2"
    else:
        have = [c for c in _CONTROLLERS if (_CGROUPS / c).is_dir()]
        version = "v1"
    absent = [c for c in _CONTROLLERS if c not in have]
    return judge(
        "kernel",
        "cgroups",
        good=not absent,
        value=version if not absent else f"{version} without {', '.join(absent)}",
        cost="limits on CPU, memory or processes cannot be kept",
        remedy="mount the controllers; on v1 boot with cgroup_enable=memory",
    )


def _programs() -> list[Finding]:
    return [
        judge(
            "programs",
            need.program,
            good=packages.present(need.program),
            value=shutil.which(need.program, path=PATH) or "not installed",
            cost=f"needed for {need.purpose}",
            remedy=f"apt-get install {need.package}",
        )
        for need in packages.NEEDS
        if need.program != "runc"
    ]


def _disk(settings: Settings) -> list[Finding]:
    place = settings.data_dir
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    free_gib = found.f_bavail * found.f_frsize / 2**30
    inodes = found.f_favail if found.f_files else None
    return [
        judge(
            "disk",
            "free space",
            good=free_gib >= _DISK_FREE_GIB,
            value=f"{free_gib:.0f} GiB below {place}",
            cost="images and volumes will not fit",
            remedy="ALCOVE_DATA_DIR on a larger disk",
            otherwise=State.WEAK,
        ),
        judge(
            "disk",
            "free inodes",
            good=inodes is None or inodes > 200_000,
            value="unlimited" if inodes is None else str(inodes),
            cost="images will not fit",
            remedy="a file system with more inodes",
            otherwise=State.WEAK,
        ),
    ]


def _port(settings: Settings, name: str, address: str, free: str) -> Finding:
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(1)
        taken = probe.connect_ex((host.strip("[]") or "127.0.0.1", int(port))) == 0
    ours = taken and settings.admin_socket.exists()
    return judge(
        "network",
        f"address {address}",
        good=not taken or ours,
        value="Alcove listens" if ours else "taken by another program" if taken else "free",
        cost="the server cannot start",
        remedy=f"ALCOVE_{name.upper()}={free}",
    )


def _ssh_port(settings: Settings) -> list[Finding]:
    if not settings.ssh_address:
        return []
    return [_port(settings, "ssh_address", settings.ssh_address, "127.0.0.1:7023")]


def _ca(settings: Settings) -> Finding:
    path = Path(settings.ca_bundle or "/etc/ssl/certs/ca-certificates.crt")
    return judge(
        "network",
        "certificate authorities",
        good=path.is_file(),
        value=str(path),
        cost="workspaces cannot check anybody's certificate",
        remedy="apt-get install ca-certificates, or set ca_bundle",
        otherwise=State.WEAK,
    )


def _foreign_forward_policy() -> Finding:
    """Docker sets iptables' FORWARD policy to drop; that is another table's say, not ours."""
    program = shutil.which("nft", path=PATH)
    said = ""
    if program is not None and os.geteuid() == 0:
        done = subprocess.run(
            [program, "list", "chain", "ip", "filter", "FORWARD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        said = done.stdout
    return judge(
        "network",
        "forwarding",
        good="policy drop" not in said,
        value="another firewall drops forwarded traffic" if "policy drop" in said else "open",
        cost="workspaces in network mode `open` reach nothing",
        remedy="iptables -I FORWARD -i 'alc+' -j ACCEPT; iptables -I FORWARD -o 'alc+' -j ACCEPT",
        otherwise=State.WEAK,
    )


def _module(name: str) -> bool:
    return (Path("/lib/modules") / platform.release()).exists() and any(
        (Path("/lib/modules") / platform.release()).rglob(f"{name}.ko*")
    )


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
