"""The cgroups of workspaces, on version 1 (one tree per controller) and version 2 (one tree).

The runtime writes the first limits; this module changes them, reads what was used, freezes and
kills what is in there, and removes the directories. One rule: it only touches directories below
`/<instance>`.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alcove.host.bundle import CPU_PERIOD_USEC
from alcove.model.errors import DriverError
from alcove.model.workspace import Resources, WorkspaceId

ROOT: Final = Path("/sys/fs/cgroup")
_KILL_ROUND_S: Final = 0.002
_FREEZE_ROUND_S: Final = 0.0005
_UNLIMITED: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class CgroupUse:
    """Counters and gauges of one workspace; zero where the kernel does not tell."""

    cpu_usec: int = 0
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    io_bytes: int = 0
    pids: int = 0
    oom_kills: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel holds the workspace to, as it says itself; None for no limit."""

    memory_bytes: int | None
    swap_bytes: int | None
    """Memory and swap together."""
    cpu_millis: int | None
    pids: int | None


class Cgroups:
    """The cgroups of one instance."""

    def __init__(self, instance: str, root: Path = ROOT) -> None:
        self._instance = instance
        self._root = root
        self.unified = (root / "cgroup.controllers").exists()

    def runtime_path(self, workspace: WorkspaceId) -> str:
        """The path for the runtime's `cgroupsPath`."""
        return f"/{self._instance}/{workspace}"

    def limits_swap(self) -> bool:
        """Whether this kernel counts swap, so that a limit on it can be set."""
        if self.unified:
            return Path("/proc/swaps").exists()
        return (self._root / "memory/memory.memsw.limit_in_bytes").exists()

    def ids(self) -> set[WorkspaceId]:
        found: set[WorkspaceId] = set()
        for parent in self._parents():
            found |= {WorkspaceId(e.name) for e in parent.iterdir() if e.is_dir()}
        return found

    def make(self, workspace: WorkspaceId) -> None:
        """The directories, which the runtime then finds: it would make them by our umask, and
        inside, the workspace's own figures are for all to read."""
        for tree in self._trees():
            for path in (tree / self._instance, tree / self._instance / workspace):
                path.mkdir(exist_ok=True)
                path.chmod(0o755)

    def directories(self, workspace: WorkspaceId) -> list[Path]:
        """Those that are there, one per tree."""
        return [d for p in self._trees() if (d := p / self._instance / workspace).is_dir()]

    def processes(self, workspace: WorkspaceId) -> set[int]:
        found: set[int] = set()
        for directory in self.directories(workspace):
            for path in [directory, *(d for d in directory.rglob("*") if d.is_dir())]:
                found |= {int(line) for line in _read(path / "cgroup.procs").split()}
        return found - {0}

    def kill(self, workspace: WorkspaceId, *, timeout_s: float) -> bool:
        """SIGKILL to everything in there until nothing is; answers whether that was reached."""
        deadline = time.monotonic() + timeout_s
        while pids := self.processes(workspace):
            if not self._kill_at_once(workspace):
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                self._thaw_v1(workspace)  # what is frozen does not die
            if time.monotonic() > deadline:
                return False
            time.sleep(_KILL_ROUND_S)
        return True

    def remove(self, workspace: WorkspaceId, *, timeout_s: float) -> list[str]:
        """Remove the empty directories; answers those that stayed."""
        deadline = time.monotonic() + timeout_s
        while left := [d for d in self.directories(workspace) if not _remove_tree(d)]:
            if time.monotonic() > deadline:
                return [f"cgroup {d}" for d in left]
            time.sleep(_KILL_ROUND_S)
        return []

    def remove_parents(self) -> None:
        for parent in self._parents():
            _remove_tree(parent)

    def use(self, workspace: WorkspaceId) -> CgroupUse:
        return self._use_v2(workspace) if self.unified else self._use_v1(workspace)

    def limits(self, workspace: WorkspaceId) -> Limits:
        own = f"{self._instance}/{workspace}"
        if self.unified:
            base = self._root / own
            quota, _, period = _read(base / "cpu.max").strip().partition(" ")
            memory = _limit(base / "memory.max")
            swap = _limit(base / "memory.swap.max")
            return Limits(
                memory_bytes=memory,
                swap_bytes=None if memory is None or swap is None else memory + swap,
                cpu_millis=None if not quota.isdigit() else int(quota) * 1000 // int(period),
                pids=_limit(base / "pids.max"),
            )
        quota_usec = _number(self._root / "cpu" / own / "cpu.cfs_quota_us")
        period_usec = _number(self._root / "cpu" / own / "cpu.cfs_period_us")
        memory = self._root / "memory" / own
        return Limits(
            memory_bytes=_limit(memory / "memory.limit_in_bytes"),
            swap_bytes=_limit(memory / "memory.memsw.limit_in_bytes"),
            cpu_millis=quota_usec * 1000 // period_usec if quota_usec > 0 < period_usec else None,
            pids=_limit(self._root / "pids" / own / "pids.max"),
        )

    def hold(self, workspace: WorkspaceId, wanted: Resources) -> None:
        """Give a cgroup that nobody is in its first limits, and make it fit to be entered, where
        no runtime does that. Raises OSError."""
        for tree in self._trees():
            if tree.name == "cpuset":
                for path in (tree / self._instance, tree / self._instance / workspace):
                    _inherit(path, "cpuset.cpus")
                    _inherit(path, "cpuset.mems")
        if self.unified:
            for path in (self._root, self._root / self._instance):
                (path / "cgroup.subtree_control").write_text("+cpu +memory +pids")
            swap = self._root / self._instance / workspace / "memory.swap.max"
            if swap.exists():
                swap.write_text("0")
        else:
            own = self._root / "cpu" / self._instance / workspace
            (own / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_USEC))
        for path, value in self._limit_files(workspace, wanted, 1 << 62):
            path.write_text(value)

    def set_limits(self, workspace: WorkspaceId, wanted: Resources) -> None:
        """Change what a running workspace is held to. Raises DriverError naming the field."""
        was, limit = self.limits(workspace).memory_bytes or 0, wanted.memory_mib << 20
        if limit < was and limit <= (used := self.use(workspace).memory_bytes):
            raise DriverError(
                f"memory_mib: {workspace} uses {used >> 20} MiB now and cannot be held"
                f" to {wanted.memory_mib}; ask for more, or end processes in it first",
                retry=False,
            )
        try:
            for path, value in self._limit_files(workspace, wanted, was):
                path.write_text(value)
        except OSError as error:
            raise DriverError(
                f"cannot change the limits of {workspace}: {error}", retry=True
            ) from error

    def frozen(self, workspace: WorkspaceId) -> bool:
        """Whether it stands still, or is on the way there."""
        if self.unified:
            return _read(self._freezer(workspace) / "cgroup.freeze").strip() == "1"
        return _read(self._freezer(workspace) / "freezer.state").strip() in ("FROZEN", "FREEZING")

    def freeze(self, workspace: WorkspaceId, *, timeout_s: float) -> None:
        """Let everything in there stand still. Raises DriverError, and lets it go on, when it
        does not in `timeout_s`: a process that waits for a device cannot be stopped."""
        deadline = time.monotonic() + timeout_s
        try:
            while not self._freeze_once(workspace):
                if time.monotonic() > deadline:
                    self.thaw(workspace)
                    raise DriverError(
                        f"{workspace} does not stand still within {timeout_s:g} s: one of its"
                        " processes waits for a device",
                        retry=True,
                    )
                time.sleep(_FREEZE_ROUND_S)
        except OSError as error:
            raise DriverError(f"cannot freeze {workspace}: {error}", retry=True) from error

    def thaw(self, workspace: WorkspaceId) -> None:
        """Let it go on; nothing happens if it does already. Raises DriverError."""
        name, value = ("cgroup.freeze", "0") if self.unified else ("freezer.state", "THAWED")
        path = self._freezer(workspace) / name
        try:
            if path.exists():
                path.write_text(value)
        except OSError as error:
            raise DriverError(f"cannot thaw {workspace}: {error}", retry=True) from error

    def _freeze_once(self, workspace: WorkspaceId) -> bool:
        freezer = self._freezer(workspace)
        if self.unified:
            (freezer / "cgroup.freeze").write_text("1")
            return bool(_field(_read(freezer / "cgroup.events"), "frozen"))
        # A process that was forked meanwhile is missed by the first round (freezer-subsystem.rst).
        (freezer / "freezer.state").write_text("FROZEN")
        return _read(freezer / "freezer.state").strip() == "FROZEN"

    def _thaw_v1(self, workspace: WorkspaceId) -> None:
        if not self.unified:
            self.thaw(workspace)

    def _freezer(self, workspace: WorkspaceId) -> Path:
        tree = self._root if self.unified else self._root / "freezer"
        return tree / self._instance / workspace

    def _limit_files(
        self, workspace: WorkspaceId, wanted: Resources, memory_was: int
    ) -> list[tuple[Path, str]]:
        """The files in the order in which the kernel takes them."""
        own = f"{self._instance}/{workspace}"
        memory = wanted.memory_mib << 20
        quota = wanted.cpu_millis * CPU_PERIOD_USEC // 1000
        shares = max(2, min(262144, wanted.cpu_millis * 1024 // 1000))
        if self.unified:
            base = self._root / own
            weight = 1 + (shares - 2) * 9999 // 262142  # as OCI runtimes convert it
            return [
                (base / "memory.max", str(memory)),
                (base / "cpu.max", f"{quota} {CPU_PERIOD_USEC}"),
                (base / "cpu.weight", str(weight)),
                (base / "pids.max", str(wanted.pids)),
            ]
        base = self._root / "memory" / own
        files = [(base / "memory.limit_in_bytes", str(memory))]
        if self.limits_swap():
            # Memory alone may never be more than memory and swap together.
            at = 0 if memory > memory_was else 1
            files.insert(at, (base / "memory.memsw.limit_in_bytes", str(memory)))
        return [
            *files,
            (self._root / "cpu" / own / "cpu.cfs_quota_us", str(quota)),
            (self._root / "cpu" / own / "cpu.shares", str(shares)),
            (self._root / "pids" / own / "pids.max", str(wanted.pids)),
        ]

    def _use_v1(self, workspace: WorkspaceId) -> CgroupUse:
        own = f"{self._instance}/{workspace}"
        memory = self._root / "memory" / own
        # The page cache that can be dropped at any time is not what people mean by memory used.
        cached = _field(_read(memory / "memory.stat"), "total_inactive_file")
        return CgroupUse(
            cpu_usec=_number(self._root / "cpuacct" / own / "cpuacct.usage") // 1000,
            memory_bytes=max(0, _number(memory / "memory.usage_in_bytes") - cached),
            memory_limit_bytes=_limit(memory / "memory.limit_in_bytes") or 0,
            io_bytes=_field(
                _read(self._root / "blkio" / own / "blkio.throttle.io_service_bytes_recursive"),
                "Total",
            ),
            pids=_number(self._root / "pids" / own / "pids.current"),
            oom_kills=_field(_read(memory / "memory.oom_control"), "oom_kill"),
        )

    def _use_v2(self, workspace: WorkspaceId) -> CgroupUse:
        base = self._root / self._instance / workspace
        cached = _field(_read(base / "memory.stat"), "inactive_file")
        io = sum(
            int(value)
            for word in _read(base / "io.stat").split()
            for key, _, value in [word.partition("=")]
            if key in ("rbytes", "wbytes")
        )
        return CgroupUse(
            cpu_usec=_field(_read(base / "cpu.stat"), "usage_usec"),
            memory_bytes=max(0, _number(base / "memory.current") - cached),
            memory_limit_bytes=_limit(base / "memory.max") or 0,
            io_bytes=io,
            pids=_number(base / "pids.current"),
            oom_kills=_field(_read(base / "memory.events"), "oom_kill"),
        )

    def _kill_at_once(self, workspace: WorkspaceId) -> bool:
        """cgroup.kill of version 2 (Linux 5.14), which no fork can outrun."""
        if not self.unified:
            return False
        try:
            (self._root / self._instance / workspace / "cgroup.kill").write_text("1")
        except OSError:
            return False
        return True

    def _trees(self) -> list[Path]:
        if self.unified:
            return [self._root]
        # Links such as cpu → cpu,cpuacct would show the same tree twice.
        return [t for t in self._root.iterdir() if t.is_dir() and not t.is_symlink()]

    def _parents(self) -> list[Path]:
        return [p for t in self._trees() if (p := t / self._instance).is_dir()]


def _remove_tree(directory: Path) -> bool:
    """Remove a cgroup and the ones below it; answers whether it is gone."""
    try:
        for child in directory.iterdir():
            if child.is_dir():
                _remove_tree(child)
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _inherit(directory: Path, name: str) -> None:
    """A cpuset is empty at first, and nobody can enter an empty one."""
    if not _read(directory / name).strip():
        (directory / name).write_text(_read(directory.parent / name))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else 0


def _limit(path: Path) -> int | None:
    text = _read(path).strip()
    if not text.isdigit() or int(text) >= _UNLIMITED:
        return None
    return int(text)


def _field(text: str, name: str) -> int:
    """The number after `name` in lines of `name number`."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return 0
