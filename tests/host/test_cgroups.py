"""Cgroups of both versions are read alike; version 2 from a tree written by the test."""

from dataclasses import replace
from pathlib import Path

import pytest

from alcove.host.cgroups import Cgroups, CgroupUse, Limits
from alcove.model.errors import DriverError
from alcove.model.workspace import Resources, WorkspaceId

BOX = WorkspaceId("ws-abcdefgh23456723")
WANTED = Resources(2500, 200, 1024, 90)
UNIFIED = {
    "cpu.stat": "usage_usec 5000\nuser_usec 1\n",
    "cpu.max": "150000 100000\n",
    "memory.current": "3145728\n",
    "memory.stat": "anon 1\ninactive_file 1048576\n",
    "memory.max": "104857600\n",
    "memory.swap.max": "0\n",
    "memory.events": "low 0\noom 2\noom_kill 1\n",
    "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n7:0 rbytes=1 wbytes=2 rios=1 wios=1\n",
    "pids.current": "4\n",
    "pids.max": "64\n",
    "cgroup.procs": "",
    "cgroup.freeze": "0\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
}
SPLIT = {
    "cpuacct/cpuacct.usage": "5000000\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "memory/memory.usage_in_bytes": "3145728\n",
    "memory/memory.stat": "cache 1\ntotal_inactive_file 1048576\n",
    "memory/memory.limit_in_bytes": "104857600\n",
    "memory/memory.memsw.limit_in_bytes": "104857600\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 23\nTotal 33\n",
    "pids/pids.current": "4\n",
    "pids/pids.max": "64\n",
    "freezer/freezer.state": "THAWED\n",
}
USE = CgroupUse(5000, 2 << 20, 100 << 20, 33, 4, 1)
LIMITS = Limits(100 << 20, 100 << 20, 1500, 64)


def _unified(root: Path) -> Cgroups:
    (root / "cgroup.controllers").write_text("cpu memory pids io\n")
    own = root / "alcove" / BOX
    own.mkdir(parents=True)
    for name, text in UNIFIED.items():
        (own / name).write_text(text)
    return Cgroups("alcove", root)


def _split(root: Path) -> Cgroups:
    for name, text in SPLIT.items():
        tree, _, file = name.partition("/")
        own = root / tree / "alcove" / BOX
        own.mkdir(parents=True, exist_ok=True)
        (own / file).write_text(text)
    return Cgroups("alcove", root)


@pytest.mark.parametrize("make", [_unified, _split])
def test_use_and_limits_are_read_alike(tmp_path: Path, make: type[Cgroups]) -> None:
    cgroups = make(tmp_path)  # pyright: ignore[reportArgumentType]
    assert cgroups.use(BOX) == USE
    assert cgroups.limits(BOX) == LIMITS


@pytest.mark.parametrize("text", ["max 100000\n", ""])
def test_a_limit_that_is_not_there_is_none(tmp_path: Path, text: str) -> None:
    cgroups = _unified(tmp_path)
    (tmp_path / "alcove" / BOX / "cpu.max").write_text(text)
    (tmp_path / "alcove" / BOX / "pids.max").write_text("max\n")
    assert cgroups.limits(BOX).cpu_millis is None
    assert cgroups.limits(BOX).pids is None


def test_what_is_gone_uses_nothing(tmp_path: Path) -> None:
    assert _unified(tmp_path).use(WorkspaceId("ws-other")) == CgroupUse()


def test_only_our_instance_is_listed(tmp_path: Path) -> None:
    cgroups = _split(tmp_path)
    (tmp_path / "memory/docker/abc").mkdir(parents=True)
    (tmp_path / "memory/other" / BOX).mkdir(parents=True)
    assert cgroups.ids() == {BOX}


def test_version_2_kills_at_once(tmp_path: Path) -> None:
    cgroups = _unified(tmp_path)
    own = tmp_path / "alcove" / BOX
    (own / "cgroup.procs").write_text("4194304\n")  # a number that no process has
    assert cgroups.kill(BOX, timeout_s=0) is False
    assert (own / "cgroup.kill").read_text() == "1"


def test_removing_what_is_gone_is_fine(tmp_path: Path) -> None:
    assert _split(tmp_path).remove(WorkspaceId("ws-other"), timeout_s=0) == []


@pytest.mark.parametrize("make", [_unified, _split])
def test_limits_are_changed_alike(tmp_path: Path, make: type[Cgroups]) -> None:
    cgroups = make(tmp_path)  # pyright: ignore[reportArgumentType]
    cgroups.set_limits(BOX, WANTED)
    swap = 100 << 20 if make is _split else 0  # no memory.memsw at the top of this tree
    assert cgroups.limits(BOX) == Limits(200 << 20, swap or (200 << 20), 2500, 90)


@pytest.mark.parametrize("memory_mib", [50, 200])
def test_memory_never_is_more_than_memory_and_swap(
    tmp_path: Path, memory_mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroups = _split(tmp_path)
    (tmp_path / "memory/memory.memsw.limit_in_bytes").write_text("")
    written: list[str] = []
    write = Path.write_text

    def noted(path: Path, text: str) -> int:
        written.append(path.name)
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", noted)
    cgroups.set_limits(BOX, replace(WANTED, memory_mib=memory_mib))
    memory = [name for name in written if name.startswith("memory.")]
    both = ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]
    assert memory == (both if memory_mib == 200 else both[::-1])


@pytest.mark.parametrize("make", [_unified, _split])
def test_memory_in_use_is_not_cut(tmp_path: Path, make: type[Cgroups]) -> None:
    cgroups = make(tmp_path)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DriverError, match=r"memory_mib: .* uses 2 MiB now"):
        cgroups.set_limits(BOX, replace(WANTED, memory_mib=2))
    assert cgroups.limits(BOX) == LIMITS


@pytest.mark.parametrize("make", [_unified, _split])
def test_what_does_not_stand_still_in_time_goes_on(
    tmp_path: Path, make: type[Cgroups], monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroups = make(tmp_path)  # pyright: ignore[reportArgumentType]
    write = Path.write_text

    def on_the_way(path: Path, text: str) -> int:
        """As the kernel does while a process waits for a device."""
        return write(path, "FREEZING" if text == "FROZEN" else text)

    monkeypatch.setattr(Path, "write_text", on_the_way)
    with pytest.raises(DriverError, match="does not stand still within 0 s"):
        cgroups.freeze(BOX, timeout_s=0)
    assert not cgroups.frozen(BOX)


def test_a_unified_tree_stands_still_when_the_kernel_says_so(tmp_path: Path) -> None:
    cgroups, own = _unified(tmp_path), tmp_path / "alcove" / BOX
    (own / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    cgroups.freeze(BOX, timeout_s=0)
    assert (own / "cgroup.freeze").read_text() == "1"
    assert cgroups.frozen(BOX)
    cgroups.thaw(BOX)
    assert not cgroups.frozen(BOX)
