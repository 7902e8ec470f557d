"""`alcove exec`: a command there as if it ran here.

stdin, stdout, stderr and the exit code pass through byte for byte. The main thread writes
output; one other thread sends what comes from stdin, and signals and new sizes of the terminal,
which the interpreter notes in a pipe, whichever thread the kernel gave them to.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from select import select
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.core import TyperCommand

from alcove.cli import screen
from alcove.cli.session import WorkspaceName, connect, pairs
from alcove.config import client
from alcove.sdk.errors import AlcoveError

if TYPE_CHECKING:
    from alcove.sdk import Exit, Process, Terminal

BROKEN_PIPE: Final = 128 + signal.SIGPIPE
CHUNK: Final = 32 * 1024
_TAKES_VALUE: Final = frozenset({"--cwd", "-C", "--env", "-e", "--user", "-u"})
_FORWARDED: Final = {signal.SIGINT: "INT", signal.SIGTERM: "TERM", signal.SIGHUP: "HUP"}


class ExecCommand(TyperCommand):
    """Takes everything after the workspace's name as the command, with or without `--`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride] - typer's own context
        return super().parse_args(ctx, split_command(args))  # pyright: ignore[reportArgumentType]


def split_command(args: list[str]) -> list[str]:
    """The arguments with `--` before the second word that is no option, if there is none yet.

    So `alcove exec api ls -l` asks for `ls -l`, and `-l` is not taken for an option of ours.
    """
    words = 0
    position = 0
    while position < len(args):
        word = args[position]
        if word == "--":
            return args
        if word.startswith("-"):
            position += 2 if word in _TAKES_VALUE else 1
            continue
        words += 1
        if words == 2:
            return [*args[:position], "--", *args[position:]]
        position += 1
    return args


def exec_(
    workspace: WorkspaceName,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND…]", help="Default: a login shell.")
    ] = None,
    cwd: Annotated[str | None, typer.Option("--cwd", "-C", help="Where to run.")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="As whom.")] = None,
    tty: Annotated[
        bool | None,
        typer.Option("--tty/--no-tty", "-t/-T", help="Default: if stdin and stdout are one."),
    ] = None,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", "-n", help="Leave stdin alone.")] = False,
) -> None:
    """Run a command in a workspace; exits with its code.

    stdin, stdout and stderr pass through unchanged, and Ctrl-C reaches the command.
    """
    both = sys.stdin.isatty() and sys.stdout.isatty()
    near = NearEnd(terminal=both if tty is None else tty, stdin=not no_stdin)
    with (
        connect() as api,
        api.workspaces.get(workspace).process(
            command or _login_shell(),
            cwd=cwd,
            env=pairs(env or [], option="--env") or None,
            user=user,
            terminal=_terminal() if near.terminal else None,
        ) as process,
    ):
        ended = pass_through(process, near)
    if ended.error:
        sys.stderr.write(f"alcove: {screen.clean(ended.error)}\n")
    raise typer.Exit(code_of(ended))


@dataclass(frozen=True, slots=True)
class NearEnd:
    """What this end has: a terminal to be put into raw mode, a stdin to be read."""

    terminal: bool
    stdin: bool


def code_of(ended: "Exit") -> int:
    """As a shell tells it: 128 and the signal's number for a command that was killed."""
    if ended.signal is None:
        return ended.exit_code
    number = getattr(signal, f"SIG{ended.signal}", None)
    return 128 + number if number is not None else ended.exit_code or 1


def pass_through(process: "Process", near: NearEnd) -> "Exit":
    """Connect a process to our own stdin, stdout and stderr until it has ended."""
    pump = _Pump(process, near)
    try:
        with raw_mode(near.terminal), pump.running():
            for output in process:
                write_all(1 if output.stream == "stdout" else 2, output.data)
    except BrokenPipeError:
        # Leaving the connection ends the command there, as a closed pipe would have here.
        raise typer.Exit(BROKEN_PIPE) from None
    assert process.exit is not None
    return process.exit


class _Pump:
    """The thread that sends. Signals wake it through a pipe, see `signal.set_wakeup_fd`."""

    def __init__(self, process: "Process", near: NearEnd) -> None:
        self._process = process
        self._near = near
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._noted = 0
        self._told = 0

    @contextmanager
    def running(self) -> Generator[None]:
        signals = dict.fromkeys(_FORWARDED, self._on_signal)
        # With a terminal Ctrl-C is a byte among others; the far end makes it a signal.
        sizes = {signal.SIGWINCH: self._on_resize} if self._near.terminal else {}
        thread = threading.Thread(target=self._run, name="stdin", daemon=True)
        before = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            with handling(signals | sizes):
                thread.start()
                yield
        finally:
            signal.set_wakeup_fd(before)
            # The thread may sit in a read of stdin for ever: it is a daemon, and not joined.
            os.close(self._wake_write)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._noted += 1
        if self._noted - self._told > 1:
            # The one before has not even been sent: give up instead of hanging.
            raise KeyboardInterrupt

    def _on_resize(self, _number: int, _frame: FrameType | None) -> None:
        """Nothing, but without a handler the signal would not be noted."""

    def _run(self) -> None:
        with suppress(AlcoveError, OSError):
            # A connection that is gone is the main thread's to report.
            self._send_until_end()

    def _send_until_end(self) -> None:
        stdin = 0 if self._near.stdin else None
        if stdin is None:
            self._process.close_stdin()
        while True:
            sources = [self._wake_read] if stdin is None else [self._wake_read, stdin]
            ready, _, _ = select(sources, [], [])
            if self._wake_read in ready:
                noted = os.read(self._wake_read, 64)
                if not noted:
                    return
                self._tell(noted)
            if stdin is not None and stdin in ready:
                data = os.read(stdin, CHUNK)
                if data:
                    self._process.write(data)
                else:
                    self._process.close_stdin()
                    stdin = None

    def _tell(self, noted: bytes) -> None:
        for number in noted:
            if number == signal.SIGWINCH and self._near.terminal:
                size = os.get_terminal_size(1)
                self._process.resize(size.columns, size.lines)
            elif number in _FORWARDED:
                self._process.signal(_FORWARDED[signal.Signals(number)])
                self._told += 1


def _login_shell() -> str:
    from alcove.sdk.execs import LOGIN_SHELL  # noqa: PLC0415 - with the models of the wire

    return LOGIN_SHELL


def _terminal() -> "Terminal":
    from alcove.sdk import Terminal  # noqa: PLC0415

    term = client().term
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return Terminal(term=term)
    return Terminal(columns=size.columns or 80, rows=size.lines or 24, term=term)


@contextmanager
def raw_mode(wanted: bool) -> Generator[None]:
    """Hand keys over as they are typed, and put the terminal back whatever happens."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    import termios  # noqa: PLC0415 - not on every system
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(0)
    try:
        # Not TCSAFLUSH, the default: what was typed ahead is for the command.
        tty.setraw(0, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


_Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handling(handlers: "dict[signal.Signals, _Handler]") -> Generator[None]:
    """These handlers, for as long as the block runs."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_all(descriptor: int, data: bytes) -> None:
    """Past the buffers of `sys.stdout`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
