"""Running the OCI runtime: the one program that is executed to start and end a workspace.

One rule: its arguments are our own paths and a workspace id, and each call has a deadline.
"""

import json
import os
import select
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CALL_TIMEOUT_S: Final = 30.0
_PASSED_FD: Final = 3
_RELEASE_TIMEOUT_S: Final = 5.0
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


class Runtime:
    """runc (or crun) with a state directory of our own."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._program = next(
            (p for n in ("runc", "crun") if (p := shutil.which(n, path=_PATH))), None
        )

    @property
    def program(self) -> str | None:
        return self._program

    def ids(self) -> set[WorkspaceId]:
        if not self._state.is_dir():
            return set()
        return {WorkspaceId(p.name) for p in self._state.iterdir() if p.is_dir()}

    def knows(self, workspace: WorkspaceId) -> bool:
        return (self._state / workspace).is_dir()

    def create(self, workspace: WorkspaceId, bundle: Path, *, listener: int, output: int) -> int:
        """Make the container, not yet started, with `listener` as its descriptor 3; answers the
        pid of its init. Its output and the runtime's last words go to `output`."""
        pid_file = bundle / "pid"
        pid_file.unlink(missing_ok=True)
        arguments = [
            "create", "--bundle", str(bundle), "--pid-file", str(pid_file),
            "--preserve-fds", "1", workspace,
        ]  # fmt: skip
        self._call(arguments, listener=listener, output=output)
        return int(pid_file.read_text())

    def start(self, workspace: WorkspaceId) -> None:
        """Let the created container go.

        Its init waits until somebody reads from the pipe in the state directory; that, and
        removing the pipe, is all that the runtime's own `start` does, whose process would cost as
        much again as the work of `create`. Where the pipe is not as expected, that one does it."""
        pipe = self._state / workspace / "exec.fifo"
        if _released(pipe):
            pipe.unlink()
        else:
            self._call(["start", workspace])

    def delete(self, workspace: WorkspaceId) -> None:
        """Forget the container, killing what is left of it. For one that is not there: nothing."""
        if self.knows(workspace):
            self._call(["delete", "--force", workspace])

    def _call(
        self, arguments: Sequence[str], *, listener: int | None = None, output: int | None = None
    ) -> None:
        if self._program is None:
            raise DriverError("neither runc nor crun is installed; install runc", retry=False)
        verb, workspace = arguments[0], arguments[-1]
        log = self._state.parent / f"runtime-{workspace}.log"
        command = [
            self._program, "--root", str(self._state),
            "--log", str(log), "--log-format", "json", *arguments,
        ]  # fmt: skip
        try:
            code = _execute(command, listener=listener, output=output)
            if code != 0:
                said = _last_error(log, code)
                raise DriverError(
                    f"the runtime's {verb} of {workspace} failed: {said}", retry=True
                )
        finally:
            log.unlink(missing_ok=True)


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
        if not _ends(descriptor, _LAST_THREAD_S):
            return None
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    finally:
        os.close(descriptor)
    return status if pid == process.pid else None


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
        return _ends(descriptor, grace_s)
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


def _released(pipe: Path) -> bool:
    """Read from the pipe that a created container's init waits at; answers whether it did."""
    try:
        descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + _RELEASE_TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            # Before the other end is open a read gives nothing; poll then waits for it.
            poller.poll(left * 1000)
            try:
                if os.read(descriptor, 1):
                    return True
            except BlockingIOError:
                continue
            time.sleep(0.0005)
        return False
    finally:
        os.close(descriptor)


def _execute(command: list[str], *, listener: int | None, output: int | None) -> int:
    """Run to the end. posix_spawn, because this process has threads; every descriptor that is
    not named here is close-on-exec."""
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
    ]
    if output is None:
        actions.append((os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0))
    else:
        actions.append((os.POSIX_SPAWN_DUP2, output, 1))
    actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
    if listener is not None:
        actions.append((os.POSIX_SPAWN_DUP2, listener, _PASSED_FD))
    pid = os.posix_spawn(
        command[0],
        command,
        {"PATH": _PATH},
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM),
    )
    descriptor = os.pidfd_open(pid)
    try:
        if not _ends(descriptor, _CALL_TIMEOUT_S):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise DriverError(f"{' '.join(command[:2])} took over {_CALL_TIMEOUT_S} s", retry=True)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _ends(pidfd: int, timeout_s: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        if poller.poll(left * 1000):
            return True
    return bool(poller.poll(0))


def _last_error(log: Path, code: int) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in reversed(lines[-50:]):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("level") in ("error", "fatal"):
            return str(said.get("msg"))[:1000]
    return f"exit code {code}"
