"""The machine that the server runs on: processors, memory, disk. Read, never changed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")
_LOADAVG: Final = Path("/proc/loadavg")
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """`disk` is that of the data directory, without what is kept back for root."""

    cpu_millis: int
    load: float
    """Processes that ran or wanted to, on average over the last minute."""
    memory_mib: int
    memory_free_mib: int
    """What could be used without swapping."""
    disk_mib: int
    disk_free_mib: int
    """For whoever is not root."""


def look(data_dir: Path) -> Machine | None:
    """None where this is not Linux, or the files cannot be read."""
    try:
        memory = read_meminfo(_MEMINFO.read_text())
        load = float(_LOADAVG.read_text().split()[0])
        disk = os.statvfs(data_dir)
    except (OSError, ValueError, IndexError):
        return None
    return Machine(
        cpu_millis=(os.cpu_count() or 1) * 1000,
        load=load,
        memory_mib=memory.get("MemTotal", 0),
        memory_free_mib=memory.get("MemAvailable", 0),
        disk_mib=(disk.f_blocks - disk.f_bfree + disk.f_bavail) * disk.f_frsize // MIB,
        disk_free_mib=disk.f_bavail * disk.f_frsize // MIB,
    )


def read_meminfo(text: str) -> Mapping[str, int]:
    """Lines such as `MemTotal:  2048 kB` to MiB by name (proc(5))."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) // 1024
    return found
