"""A command in a terminal of its own, as somebody who sits at it has it."""

import os
import pty
import re
import select
import struct
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

from tests.cli.conftest import ALCOVE

TIMEOUT_S = 60.0
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07|[()][A-Z0-9]|[=>])")


@dataclass
class Seen:
    """`text` is all that came so far, without escape sequences."""

    process: "subprocess.Popen[bytes]"
    master: int
    raw: bytes = b""
    _looked: int = field(default=0)

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw.decode(errors="replace")).replace("\r", "")

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Read on until this has come, after what was waited for last."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            found = re.compile(pattern).search(self.text, self._looked)
            if found is not None:
                self._looked = found.end()
                return found
            if time.monotonic() > deadline or not self._read(deadline):
                raise AssertionError(f"{pattern!r} never came:\n{self.text[-3000:]}")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """The exit code, after everything was read."""
        deadline = time.monotonic() + TIMEOUT_S
        while self._read(deadline):
            pass
        return self.process.wait(TIMEOUT_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            # Linux's way of saying that nobody has the other end any more.
            return False
        self.raw += data
        return bool(data)


@contextmanager
def at_a_terminal(
    *argv: str | Path, env: Mapping[str, str], columns: int = 100, rows: int = 40
) -> Generator[Seen]:
    """`alcove` with these arguments; it is ended at the end."""
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [ALCOVE, *argv],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=dict(env),
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Seen(process, master)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
