"""Executing a runtime's program: our own arguments, a deadline, and what it said.

One rule: nothing of a request is an argument but a workspace id that was checked, and every
descriptor that is not named here is closed in it.
"""

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from alcove.host.runtime.process import ends_within

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CALL_TIMEOUT_S: Final = 30.0
_PASSED_FD: Final = 3
_LOG_MAX: Final = 100_000


def execute(
    command: Sequence[str],
    *,
    listener: int | None = None,
    output: int | None = None,
    stdin: bytes | None = None,
    timeout_s: float = CALL_TIMEOUT_S,
    overdue: Callable[[int], None] | None = None,
) -> int:
    """Run to the end; answers the exit code. posix_spawn, because this process has threads; every
    descriptor that is not named here is close-on-exec. `stdin` is at most a few hundred bytes.
    Raises TimeoutError after `timeout_s`, having killed it, and told its pid to `overdue` before.
    """
    if stdin is None:
        source = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    else:
        source, sink = os.pipe2(os.O_CLOEXEC)
        os.write(sink, stdin)
        os.close(sink)
    try:
        return _execute(command, source, listener, output, timeout_s, overdue)
    finally:
        os.close(source)


def _execute(
    command: Sequence[str],
    source: int,
    listener: int | None,
    output: int | None,
    timeout_s: float,
    overdue: Callable[[int], None] | None,
) -> int:
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_DUP2, source, 0),
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
        list(command),
        {"PATH": PATH},
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM),
    )
    descriptor = os.pidfd_open(pid)
    try:
        if not ends_within(descriptor, timeout_s):
            try:
                if overdue is not None:
                    overdue(pid)
            finally:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.waitpid(pid, 0)
            raise TimeoutError(f"took over {timeout_s:g} s")
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def last_error(log: Path, code: int) -> str:
    """The last error in the runtime's log of JSON lines."""
    try:
        text = log.read_text(errors="replace")[-_LOG_MAX:]
    except OSError:
        text = ""
    # runc ends each with a newline, runsc none.
    for line in reversed(text.replace("}{", "}\n{").splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("level") in ("error", "fatal"):
            return str(said.get("msg"))[:1000]
    return f"exit code {code}"
