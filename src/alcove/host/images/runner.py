"""Start a jail, follow its output, and end it when it is cancelled or too late.

The one rule: a jail never outlives the thread that waits for it.
"""

import os
import re
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import IO, Final

from alcove.host.images import jail as jails
from alcove.host.images.jail import Jail
from alcove.host.images.shelf import LOG_BYTES_MAX
from alcove.model.errors import DriverError

LINE_BYTES_MAX: Final = 4096
POLL_S: Final = 0.5
END_S: Final = 10
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Progress:
    """One build: what it is doing, for how long it may, and its log."""

    def __init__(self, log: Path, *, deadline_s: float) -> None:
        self.sentence = "waiting for another build"
        self.cancelled = Event()
        self._deadline = time.monotonic() + deadline_s
        self._deadline_s = deadline_s
        self._log = log
        self._left = LOG_BYTES_MAX
        log.write_bytes(b"")

    def begin(self) -> None:
        """The time runs from here: waiting for other builds does not count."""
        self._deadline = time.monotonic() + self._deadline_s

    def say(self, sentence: str) -> None:
        if sentence != self.sentence:
            self.sentence = sentence
            if "%" not in sentence:
                self.log(f"== {sentence}")

    def log(self, line: str) -> None:
        data = _CONTROL.sub("?", line).encode(errors="replace")[:LINE_BYTES_MAX] + b"\n"
        if self._left <= 0:
            return
        self._left -= len(data)
        if self._left <= 0:
            data = b"(the rest of the log is left out)\n"
        with self._log.open("ab") as file:
            file.write(data)

    def check(self) -> None:
        """Raises DriverError when the build is to end."""
        if self.cancelled.is_set():
            raise DriverError(f"cancelled while {self.sentence}", retry=True)
        if time.monotonic() > self._deadline:
            raise DriverError(
                f"not done after {self._deadline_s:.0f} s, while {self.sentence}", retry=True
            )


def run(
    jail: Jail,
    progress: Progress,
    on_line: Callable[[str], bool] = lambda _: False,
    *,
    stdin: IO[bytes] | None = None,
) -> int:
    """Run it to its end; answers its exit code. Each line of output goes to `on_line`, and to
    the log unless that answers True. Raises DriverError when cancelled or too late."""
    plan_read, plan_write = os.pipe()
    process = subprocess.Popen(
        jails.command_line(plan_read),
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[plan_read],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        start_new_session=True,
    )
    try:
        os.close(plan_read)
        with os.fdopen(plan_write, "wb") as pipe, suppress(BrokenPipeError):
            pipe.write(jails.encode(jail))
        _follow(process, progress, on_line)
        return process.wait()
    finally:
        _end(process)
        if process.stdout:
            process.stdout.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """All of the jail is gone afterwards: it ends when its first process is waited for."""
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _follow(
    process: subprocess.Popen[bytes], progress: Progress, on_line: Callable[[str], bool]
) -> None:
    assert process.stdout
    fd = process.stdout.fileno()
    os.set_blocking(fd, False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while True:
            progress.check()
            if not selector.select(POLL_S):
                continue
            data = os.read(fd, 65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-LINE_BYTES_MAX:]
            for line in lines:
                _pass_on(line, progress, on_line)
    if rest:
        _pass_on(rest, progress, on_line)


def _pass_on(line: bytes, progress: Progress, on_line: Callable[[str], bool]) -> None:
    text = line.decode(errors="replace").rstrip("\r")
    if not on_line(text):
        progress.log(text)
