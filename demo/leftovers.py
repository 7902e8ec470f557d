"""Look for anything that a deleted workspace left on the machine, without asking Alcove.

Reads the kernel's own lists: processes, mounts, loop devices, cgroups, interfaces, nftables.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from demo.instance import Instance


def of_workspaces(instance: Instance, ids: Sequence[str]) -> list[str]:
    """One line per thing that still carries one of the ids."""
    return [line for line in _everything(instance) if any(key in line for key in _keys(ids))]


def of_installation(instance: Instance) -> list[str]:
    """One line per thing of a stopped installation: there should be none."""
    found = _processes(str(instance.layout.data_dir)) + _mounts(str(instance.layout.data_dir))
    found += _cgroups(instance.name)
    found += [f"nft: {line}" for line in _nft() if instance.name in line]
    found += [f"interface: {n}" for n in _interfaces() if n.startswith(instance.name[:3] + "ws")]
    return found


def _keys(ids: Sequence[str]) -> list[str]:
    """An id, and the part of it that fits into the name of an interface."""
    return [key for id in ids for key in (id, id.removeprefix("ws-")[:11])]


def _everything(instance: Instance) -> list[str]:
    data = instance.layout.data_dir
    return [
        *_processes(""),
        *_mounts(str(data)),
        *_cgroups(instance.name),
        *(f"nft: {line}" for line in _nft()),
        *(f"interface: {name}" for name in _interfaces()),
        *(f"loop: {line}" for line in _output("losetup", "--all").splitlines()),
        *(f"file: {p}" for d in ("host/workspaces", "host/volumes", "run/agents")
          for p in (data / d).glob("*")),
    ]  # fmt: skip


def _processes(marker: str) -> list[str]:
    found: list[str] = []
    for status in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            groups = status.read_text()
            words = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if marker in words + groups and not _awaits_init(status.parent):
            found.append(f"process {status.parent.name}: {words} {groups.splitlines()[-1]}")
    return found


def _awaits_init(process: Path) -> bool:
    """Whether it has ended already and only pid 1 has not taken note of it: it holds nothing."""
    try:
        state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return True
    return state == "Z" and parent == "1"


def _mounts(marker: str) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [f"mount: {line}" for line in lines if marker in line]


def _cgroups(name: str) -> list[str]:
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]
    return [f"cgroup: {p}" for root in roots for p in (root / name).glob("**/") if p.is_dir()]


def _nft() -> list[str]:
    return _output("nft", "list", "ruleset").splitlines()


def _interfaces() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
