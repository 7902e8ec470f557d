"""`alcove exec`: a command there as if it ran here, with real pipes and a real terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.cli.conftest import ALCOVE, CommandLine

pytestmark = pytest.mark.root
PATIENCE_S = 30.0


@dataclass
class Typist:
    """Somebody at a terminal."""

    process: "subprocess.Popen[bytes]"
    screen: int
    seen: bytes = b""

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            ready, _, _ = select.select([self.screen], [], [], 0.1)
            if ready:
                try:
                    self.seen += os.read(self.screen, 65536)
                except OSError:
                    assert text in self.seen, self.seen

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)


@contextmanager
def at_a_terminal(alcove: CommandLine, *argv: str) -> Generator[Typist]:
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("4H", 40, 111, 0, 0))
    process = subprocess.Popen(
        [ALCOVE, *argv], stdin=far, stdout=far, stderr=far, env=alcove.environment
    )
    os.close(far)
    try:
        yield Typist(process, near)
    finally:
        process.kill()
        process.wait()
        os.close(near)


def test_streams_and_code_pass_through(alcove: CommandLine, workspace: str) -> None:
    done = alcove("exec", workspace, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_every_byte_passes_through(alcove: CommandLine, workspace: str) -> None:
    data = os.urandom(1_000_000) + bytes(range(256))
    assert alcove("exec", workspace, "cat", stdin=data).stdout == data


@pytest.mark.parametrize("attempt", range(5))
def test_input_that_nobody_reads_does_no_harm(
    alcove: CommandLine, workspace: str, attempt: int
) -> None:
    done = alcove("exec", workspace, "--", "sh", "-c", "exit 5", stdin=b"x" * 200_000)
    assert done.returncode == 5


def test_a_command_killed_by_a_signal_is_told_as_a_shell_does(
    alcove: CommandLine, workspace: str
) -> None:
    assert alcove("exec", workspace, "--", "sh", "-c", "kill -9 $$").returncode == 137


def test_options_after_the_command_are_its_own(alcove: CommandLine, workspace: str) -> None:
    done = alcove("exec", workspace, "-e", "A=b", "env", "-u", "HOME")
    assert b"A=b\n" in done.stdout


def test_a_command_that_is_not_there_is_127(alcove: CommandLine, workspace: str) -> None:
    done = alcove("exec", workspace, "no-such-command")
    assert done.returncode == 127
    assert b"no-such-command" in done.stderr


def test_a_workspace_that_is_not_there_is_3(alcove: CommandLine) -> None:
    done = alcove("exec", "no-such-workspace", "true")
    assert (done.returncode, done.stdout) == (3, b"")


def test_output_that_nobody_reads_ends_the_command(alcove: CommandLine, workspace: str) -> None:
    line = f"{ALCOVE} exec -n {workspace} -- yes | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        env=alcove.environment,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.stdout, done.returncode) == (b"y\ny\ny\ny\ny\n", 141)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 42), (signal.SIGTERM, 43)])
def test_a_signal_reaches_the_command(
    alcove: CommandLine, workspace: str, number: signal.Signals, code: int
) -> None:
    line = "trap 'exit 42' INT; trap 'exit 43' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [ALCOVE, "exec", workspace, "--", "sh", "-c", line],
        env=alcove.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == code


def test_a_terminal_gives_a_terminal(alcove: CommandLine, workspace: str) -> None:
    with at_a_terminal(alcove, "exec", workspace, "--", "sh", "-c", "stty size; tty") as typist:
        typist.wait_for(b"40 111")
        typist.wait_for(b"/dev/pts/")
        assert typist.process.wait(PATIENCE_S) == 0


def test_ctrl_c_at_a_terminal_is_for_the_command(alcove: CommandLine, workspace: str) -> None:
    line = "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.05; done"
    with at_a_terminal(alcove, "exec", workspace, "--", "sh", "-c", line) as typist:
        typist.wait_for(b"ready")
        typist.type(b"\x03")
        typist.wait_for(b"caught")
        assert typist.process.wait(PATIENCE_S) == 6


def test_a_new_size_of_the_terminal_reaches_the_command(
    alcove: CommandLine, workspace: str
) -> None:
    line = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    with at_a_terminal(alcove, "exec", workspace, "--", "sh", "-c", line) as typist:
        typist.wait_for(b"ready")
        typist.resize(123, 45)
        typist.wait_for(b"45 123")


def test_without_a_command_there_is_a_shell(alcove: CommandLine, workspace: str) -> None:
    with at_a_terminal(alcove, "exec", workspace) as typist:
        typist.type(b"echo $((20 + 3))\n")
        typist.wait_for(b"23")
        typist.type(b"exit 4\n")
        assert typist.process.wait(PATIENCE_S) == 4


def test_the_terminal_is_put_back(alcove: CommandLine, workspace: str) -> None:
    with at_a_terminal(alcove, "exec", workspace, "--", "true") as typist:
        before = termios.tcgetattr(typist.screen)
        assert typist.process.wait(PATIENCE_S) == 0
        assert termios.tcgetattr(typist.screen) == before
