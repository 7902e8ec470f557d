"""`alcove terminal`: sit at a terminal of a workspace's page, and leave it running.

The main thread writes what the terminal shows, and connects again when the connection is lost;
one other thread sends what is typed and the size of the window. `~.` at the beginning of a line
leaves, as in `ssh`; `~~` is one `~`.
"""

import codecs
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from select import select
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.execs import handling, raw_mode, write_all
from alcove.cli.screen import Column
from alcove.cli.session import Json, WorkspaceName, connect
from alcove.sdk.errors import AlcoveError, Unavailable

if TYPE_CHECKING:
    from alcove.sdk import Workspace
    from alcove.sdk._sync.terminals import Attached
    from alcove.sdk.terminals import Ended

CHUNK: Final = 16 * 1024
AGAIN_S: Final = 120.0
"""How long it is tried to come back."""
PAUSE_S: Final = 0.5
PAUSE_MAX_S: Final = 5.0
HELD_MAX: Final = 16 * 1024
"""Characters that are kept while there is no connection: one message of input."""
_LOST: Final = b"\r\n[the connection is lost; what you type is kept; ~. leaves]\r\n"
_FULL: Final = b"\r\n[no more is kept; what you type now is lost]\r\n"
_ANOTHER: Final = b"\r\n[another shell runs now; what you typed was not sent]\r\n"


def terminal(
    workspace: WorkspaceName,
    name: Annotated[
        str, typer.Option("--name", "-n", help="Which; it is started when it does not run.")
    ] = "main",
    list_: Annotated[bool, typer.Option("--list", "-l", help="Those that run.")] = False,
    as_json: Json = False,
) -> None:
    """Sit at a terminal of a workspace, the same as on its page; `~.` leaves it running.

    Exits with the code of its shell, or 0 when you leave.
    """
    with connect() as api:
        found = api.workspaces.get(workspace)
        if list_ or as_json:
            _list(found, as_json=as_json)
            return
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise typer.BadParameter("this needs a terminal; `alcove exec` does not")
        ended = sit(found, _session(found, name))
    if ended is None:
        screen.say(f"Left terminal {name} of {found.name}; it goes on.")
        return
    number = getattr(signal, f"SIG{(ended.signal or '').removeprefix('SIG')}", None)
    raise typer.Exit(ended.exit_code if number is None else 128 + number)


@dataclass(slots=True)
class Escape:
    """Finds `~.` at the beginning of a line among what is typed."""

    _fresh: bool = True
    _tilde: bool = False
    left: bool = field(default=False, init=False)

    def feed(self, typed: bytes) -> bytes:
        """What is for the terminal; `left` says that the rest is not."""
        out = bytearray()
        for byte in typed:
            if self._tilde:
                self._tilde = False
                if byte == ord("."):
                    self.left = True
                    return bytes(out)
                if byte != ord("~"):
                    out.append(ord("~"))
            elif byte == ord("~") and self._fresh:
                self._tilde, self._fresh = True, False
                continue
            out.append(byte)
            self._fresh = byte in b"\r\n"
        return bytes(out)


def sit(workspace: "Workspace", session: str) -> "Ended | None":
    """Until the terminal ends, or is left (None). Raises what the server says, and Unavailable
    when there was no way back for long."""
    keys = _Keys()
    place, lost_at, pause = "0", None, PAUSE_S
    with raw_mode(True), keys.running():
        while True:
            try:
                columns, rows = _size()
                with workspace.terminals.open(
                    session, columns=columns, rows=rows, after=place
                ) as attached, keys.to(attached):  # fmt: skip
                    keys.begin(attached)
                    place, lost_at = attached.place, None
                    for output in attached:
                        write_all(1, output)
                        place, pause = attached.place, PAUSE_S
                    return attached.exit
            except Unavailable:
                now = time.monotonic()
                if keys.left:
                    return None
                if lost_at is None:
                    write_all(1, _LOST)
                    lost_at = now
                if now - lost_at > AGAIN_S:
                    raise
            if keys.wait_left(pause):
                return None
            pause = min(pause * 2, PAUSE_MAX_S)


class _Keys:
    """The thread that reads what is typed. Signals wake it through a pipe."""

    def __init__(self) -> None:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape = Escape()
        self._attached: Attached | None = None
        self._process = ""
        """For which one types."""
        self._held: str | None = ""
        """Typed while there is no connection; None while there is one."""
        self._full = False
        self._turn = threading.Lock()
        self._gone = threading.Event()

    @property
    def left(self) -> bool:
        return self._gone.is_set()

    def wait_left(self, seconds: float) -> bool:
        return self._gone.wait(seconds)

    @contextmanager
    def to(self, attached: "Attached") -> Generator[None]:
        """What is typed goes there meanwhile, once it has begun, and nowhere else."""
        self._attached = attached
        try:
            yield
        finally:
            with self._turn:
                self._attached = None
                self._held = self._held or ""

    def begin(self, attached: "Attached") -> None:
        """What was typed while there was no connection goes to the process that it was meant
        for. A shell of after a restart does not get what was typed for another program."""
        process = attached.begin()
        with self._turn:
            if self._held and self._process not in {"", process}:
                write_all(1, _ANOTHER)
            elif self._held:
                attached.write(self._held)
            self._process, self._held, self._full = process, None, False

    @contextmanager
    def running(self) -> Generator[None]:
        before = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        thread = threading.Thread(target=self._run, name="keys", daemon=True)
        try:
            with handling({signal.SIGWINCH: self._on_resize}):
                thread.start()
                yield
        finally:
            signal.set_wakeup_fd(before)
            # The thread may sit in a read of stdin for ever: it is a daemon, and not joined.
            os.close(self._wake_write)

    def _on_resize(self, _number: int, _frame: FrameType | None) -> None:
        """Nothing, but without a handler the signal would not be noted."""

    def _run(self) -> None:
        while not self.left:
            ready, _, _ = select([self._wake_read, 0], [], [])
            if self._wake_read in ready and not self._woken():
                return
            if 0 in ready:
                self._typed(os.read(0, CHUNK))

    def _woken(self) -> bool:
        """Whether to go on."""
        if not os.read(self._wake_read, 64):
            return False
        attached = self._attached
        if attached is not None:
            with suppress(AlcoveError):
                attached.resize(*_size())
        return True

    def _typed(self, data: bytes) -> None:
        text = self._decoder.decode(self._escape.feed(data))
        attached = self._attached
        with self._turn:
            if self._held is not None or attached is None:
                self._hold(text)
            elif text:
                try:
                    attached.write(text)
                except AlcoveError:
                    # It is lost; whoever reads its output finds out by himself.
                    self._held = text
        if self._escape.left or not data:
            self._gone.set()
            if attached is not None:
                attached.close()

    def _hold(self, text: str) -> None:
        """All of it or nothing, and nothing more after that: no command loses its middle."""
        held = (self._held or "") + text
        if not self._full and len(held) <= HELD_MAX:
            self._held = held
        elif not self._full:
            self._full = True
            write_all(1, _FULL)


def _list(workspace: "Workspace", *, as_json: bool) -> None:
    found = workspace.terminals.list()
    if as_json:
        screen.print_json({"items": found})
        return
    screen.print_table(
        [Column("SESSION"), Column("NAME"), Column("TITLE", 3), Column("VIEWERS", 2, right=True),
         Column("STARTED", 1)],
        [
            (one.session, one.name, one.title, str(one.viewers), screen.ago(one.started_at))
            for one in found
        ],
        empty=f"No terminal runs. `alcove terminal {workspace.name}` starts one.",
    )  # fmt: skip


def _session(workspace: "Workspace", name: str) -> str:
    """What people call it, or its session."""
    found = workspace.terminals.list()
    if name in {one.session for one in found}:
        return name
    return next((one.session for one in found if one.name == name), name)


def _size() -> tuple[int, int]:
    size = os.get_terminal_size(1)
    return size.columns or 80, size.lines or 24
