"""Keep the privileged process and the server running when no service manager does.

Root, small, and the only thing `make up` leaves behind besides the two it watches. A process
that ends by itself is started again after a pause that grows. Workspaces are nobody's children
here: they live on when any of these three is killed.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alcove.ops.layout import Layout
from alcove.ops.packages import PATH

_PAUSE_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_S: Final = 30.0
"""Whoever ran this long has earned a quick restart again."""
_IDLE_S: Final = 3600.0
_HEARD: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
_STOP_S: Final = {"server": 25.0, "host": 10.0}


@dataclass
class Child:
    """One watched process and how often it fell."""

    name: str
    command: list[str]
    user: str | None
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    falls: int = 0
    started: float = 0.0
    due: float = field(default=0.0)

    def start(self, env: dict[str, str]) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                start_new_session=True,
                umask=0o027,
                preexec_fn=_hear_signals_again,
            )
        self.started = time.monotonic()

    def look(self, env: dict[str, str]) -> None:
        """Start it when it is due; notice that it ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.due:
                self.start(env)
            return
        if (code := self.process.poll()) is None:
            return
        self.falls = 0 if now - self.started > _STEADY_S else self.falls + 1
        self.due = now + _PAUSE_S[min(self.falls, len(_PAUSE_S) - 1)]
        self.process = None
        _say(f"{self.name} ended with {code}; starting it again in {self.due - now:.1f} s")

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_S[self.name])
        except subprocess.TimeoutExpired:
            _say(f"{self.name} did not stop in time; killing it")
            self.process.kill()
            self.process.wait()


def main(argv: list[str]) -> int:
    """`python -m alcove.ops.supervise DATA_DIR USER`: returns when told to stop by SIGTERM."""
    layout, user = Layout(Path(argv[0])), argv[1]
    lock = layout.lock.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _say("another supervisor runs already")
        return 1
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    program = str(layout.current / "bin/alcove")
    children = [
        Child("host", [program, "host"], None, layout.log_dir / "host.log"),
        Child("server", [program, "server"], user, layout.log_dir / "server.log"),
    ]
    env = _environment(layout)
    told = None
    while told is None or told.si_signo == signal.SIGCHLD:
        for child in children:
            child.look(env)
        told = signal.sigtimedwait(_HEARD, _until_due(children))
    for child in reversed(children):
        child.stop()
    return 0


def running(layout: Layout) -> int | None:
    """The supervisor's pid, or None when there is none. The lock tells, not the file."""
    try:
        with layout.lock.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read().strip() or 0) or None
    except FileNotFoundError:
        return None
    return None


def _hear_signals_again() -> None:
    """In the child: a blocked signal would stay blocked across exec."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)


def _until_due(children: list[Child]) -> float:
    """Seconds until the next start; a child's end wakes the loop before that."""
    due = [child.due for child in children if child.process is None]
    return max(0.0, min(due) - time.monotonic()) if due else _IDLE_S


def _environment(layout: Layout) -> dict[str, str]:
    """What the two get: no secret, and nothing of the shell that ran `make up` but this."""
    return {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "PYTHONUNBUFFERED": "1",
        "ALCOVE_CONFIG": str(layout.config),
        "ALCOVE_DATA_DIR": str(layout.data_dir),
    }


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(f"{stamp} supervisor: {text}", flush=True)  # noqa: T201 - its log is its standard output


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
