"""Processes that are named so that they cannot be mistaken for another, and ending them."""

import os
import select
import signal
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

_LAST_THREAD_S: Final = 1.0


@cache
def kernel_boot() -> str:
    """Changes when the machine is restarted."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with its number, not even after a restart
    of the machine, when the clock that `start_ticks` counts by has begun again."""

    pid: int
    start_ticks: int
    kernel: str = field(default_factory=kernel_boot)


def find(pid: int) -> Process | None:
    """The process with that number, unless there is none or it has ended."""
    ticks = _start_ticks(pid)
    return None if ticks is None else Process(pid, ticks)


def lives(process: Process) -> bool:
    return process.kernel == kernel_boot() and _start_ticks(process.pid) == process.start_ticks


def exit_status(process: Process) -> int | None:
    """How it ended, as from waitpid, if it is our child and nobody asked before. For one that
    was killed: waits the moment until its last thread is gone."""
    if process.kernel != kernel_boot():
        return None
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return None
    try:
        if _start_ticks(process.pid, ended=True) != process.start_ticks:
            return None
        if not ends_within(descriptor, _LAST_THREAD_S):
            return None
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    finally:
        os.close(descriptor)
    return status if pid == process.pid else None


def reap(marker: str) -> None:
    """Take note of our children that have ended in a control group with this name in its path:
    what a runtime leaves to us when it ends, and nobody asks about."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:2]
            if state != b"Z" or int(parent) != os.getpid():
                continue
            if marker in (entry / "cgroup").read_text():
                os.waitpid(int(entry.name), os.WNOHANG)
        except (OSError, ValueError):
            continue  # somebody else was quicker


def terminate(process: Process, *, grace_s: float) -> bool:
    """SIGTERM, then wait; answers whether it ended within `grace_s`."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        # The number is checked after the descriptor was taken, so it names this very process.
        if not lives(process):
            return True
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        return ends_within(descriptor, grace_s)
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)


def _start_ticks(pid: int, *, ended: bool = False) -> int | None:
    """When it started; None if there is none or, unless `ended`, if it has ended and is only
    waiting to be asked how."""
    try:
        with Path(f"/proc/{pid}/stat").open("rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if not fields or (fields[0] in (b"Z", b"X") and not ended):
        return None
    return int(fields[19])


def ends_within(pidfd: int, timeout_s: float) -> bool:
    """Wait for the end of a process; answers whether it came."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        if poller.poll(left * 1000):
            return True
    return bool(poller.poll(0))
