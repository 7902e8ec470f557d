"""A session channel: a shell, a command, or a subsystem, as a process inside the workspace.

asyncssh calls `Session`; a task carries the bytes between the channel and the agent's frames, no
faster than either side reads.
"""

import asyncio
import json
import re
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, cast

import anyio
import asyncssh
from asyncssh.packet import SSHPacket

from alcove.core import execs, tagged
from alcove.core.agent import Call, Reach
from alcove.core.execs import Exit
from alcove.core.frames import Frame, Process
from alcove.core.terminals import TAG
from alcove.gateway import files
from alcove.gateway.caller import Caller
from alcove.model.access import Permission
from alcove.model.errors import AlcoveError, Unavailable
from alcove.model.recording import SessionKind

WAITING_MAX: Final = 256 * 1024
"""Bytes from the client that wait for the process; then the channel is not read."""
SIDE_MAX: Final = 4096
ENV_MAX: Final = 128
ENV_BYTES_MAX: Final = 64 * 1024
WINDOW: Final = 2 << 20
PACKET_MAX: Final = 32768
HANG_UP_S: Final = 5.0
FAILED: Final = 255
"""Exit status where no process ran, as of `ssh` itself."""
_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS: Final = re.compile(rb"(ALCOVE|SSH|LD)_.*|HOME|IFS|LOGNAME|MAIL|PATH|PWD|SHELL|USER")
"""Names that the workspace sets itself."""
_LOGIN: Final = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')
_TTY: Final = "SSH_TTY=$(tty); export SSH_TTY; "
_ON_TERMINAL: Final = ("/bin/sh", "-c", _TTY + 'exec "${SHELL:-/bin/sh}" -l')
_LINE_ON_TERMINAL: Final = ("/bin/sh", "-c", _TTY + 'exec "${SHELL:-/bin/sh}" -c "$0"')
_SIGNAL: Final = re.compile(r"[A-Z0-9]{1,16}")
_TERM: Final = re.compile(r"[A-Za-z0-9._+-]{1,64}")


class Channel(asyncssh.SSHServerChannel[bytes]):
    """asyncssh's, with a bound on what a client may set."""

    _set: int = 0

    @classmethod
    def of(
        cls, connection: asyncssh.SSHServerConnection, loop: asyncio.AbstractEventLoop
    ) -> "Channel":
        return cls(
            connection,
            loop,
            allow_pty=True,
            line_editor=False,
            line_echo=False,
            line_history=0,
            max_line_length=0,
            encoding=None,
            errors="strict",
            window=WINDOW,
            max_pktsize=PACKET_MAX,
        )

    def log_sent_packet(
        self, pkttype: int, pktid: int | None, packet: bytes | SSHPacket, note: str = ""
    ) -> None:
        """Packets are not logged."""

    def _process_env_request(self, packet: SSHPacket) -> bool:
        name, value = packet.get_string(), packet.get_string()
        packet.check_end()
        if not may_set(name, value):
            return False
        self._set += len(name) + len(value)
        if len(self._env) >= ENV_MAX or self._set > ENV_BYTES_MAX:
            return False
        self._env[name] = value
        return True


def may_set(name: bytes, value: bytes) -> bool:
    """Whether a client may set this variable: any that the workspace does not set itself."""
    return (
        _NAME.fullmatch(name) is not None and _OURS.fullmatch(name) is None and b"\0" not in value
    )


class Session(asyncssh.SSHServerSession[bytes]):
    """One channel. What it runs ends with it, but for a login shell on a terminal when the server
    is restarted."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._scope = anyio.CancelScope()
        self._inbox: deque[tuple[Frame, bytes]] = deque()
        self._waiting = 0
        self._arrived = anyio.Event()
        self._writable = anyio.Event()
        self._writable.set()
        self._line: str | None = None
        self._subsystem: str | None = None
        self._terminal: tuple[int, int] | None = None
        self._term = ""
        self._modes: Mapping[int, int] = {}
        self._ended: Exit | None = None

    # What asyncssh calls; none of it waits.

    def connection_made(self, chan: "asyncssh.SSHServerChannel[bytes]") -> None:
        self._channel = chan
        self._caller.goodbyes.add(self._tell)

    def connection_lost(self, exc: Exception | None) -> None:
        self._caller.goodbyes.discard(self._tell)
        self._writable.set()
        self._scope.cancel()

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Mapping[int, int]
    ) -> bool:
        self._term = term_type if _TERM.fullmatch(term_type) else "xterm"
        self._terminal = _size(term_size[0], term_size[1])
        self._modes = term_modes
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._line = command
        return "\0" not in command

    def subsystem_requested(self, subsystem: str) -> bool:
        self._subsystem = subsystem
        if subsystem == "sftp":
            return True
        why = f"there is no subsystem {subsystem[:64]!r}"
        self._caller.tasks.start_soon(self._caller.refused, "subsystem", why)
        return False

    def session_started(self) -> None:
        self._caller.tasks.start_soon(self._run)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._put(Frame.STDIN, data)

    def eof_received(self) -> bool:
        """True: the other direction stays open."""
        self._put(Frame.STDIN_EOF)
        return True

    def terminal_size_changed(
        self, width: int, height: int, pixwidth: int, pixheight: int
    ) -> None:
        if self._terminal is not None:
            cols, rows = self._terminal = _size(width, height)
            self._put(Frame.RESIZE, json.dumps({"cols": cols, "rows": rows}).encode())

    def signal_received(self, signal: str) -> None:
        if _SIGNAL.fullmatch(signal):
            self._put(Frame.SIGNAL, json.dumps({"signal": signal}).encode())

    def pause_writing(self) -> None:
        self._writable = anyio.Event()

    def resume_writing(self) -> None:
        self._writable.set()

    # What runs beside it.

    async def _run(self) -> None:
        with self._scope:
            try:
                async with self._process() as live:
                    self._ended = await self._carry(live)
                self._end(self._ended)
            except AlcoveError as error:
                await self._say(str(error))
                self._channel.exit(FAILED)

    @asynccontextmanager
    async def _process(self) -> AsyncGenerator[Process]:
        """What was asked for, running."""
        caller = self._caller
        if self._subsystem is not None:
            async with files.sftp(caller, self._say) as live:
                with caller.channel("sftp"):
                    yield live
            return
        kind = "shell" if self._line is None else "exec"
        workspace = await caller.enter(
            kind,
            Permission.WORKSPACE_EXEC,
            say=self._say,
            command=self._line or "",
            terminal=self._terminal is not None,
        )
        call = self._call()
        async with execs.process(caller.core, caller.actor, workspace.id, call) as live:
            try:
                with caller.channel(kind):
                    yield live
            finally:
                if call.tag is not None and self._ended is None:
                    await self._hang_up(Reach.of(workspace), call.tag)

    async def _hang_up(self, reach: Reach, tag: str) -> None:
        """End what its client left; but when it is the server that goes, the shell lives on, and
        is reached again as a terminal of the workspace's page."""
        if self._caller.core.gate.closing:
            return
        with (
            anyio.CancelScope(shield=True), anyio.move_on_after(HANG_UP_S),
            suppress(AlcoveError),
        ):  # fmt: skip
            await tagged.kill(self._caller.core, reach, tag)

    def _call(self) -> Call:
        on_terminal = self._terminal is not None
        tag = None
        if self._line is None:
            command, shown = (_ON_TERMINAL if on_terminal else _LOGIN), ("login shell",)
            if on_terminal:
                tag = f"{TAG}ssh-{secrets.token_hex(4)}"
        elif on_terminal:
            command, shown = (*_LINE_ON_TERMINAL, self._line), (self._line,)
        else:
            command, shown = execs.shell(self._line), (self._line,)
        return Call(
            command=command,
            env=self._environment(),
            stdin=True,
            terminal=self._terminal,
            modes=self._modes,
            kind=SessionKind.SSH,
            shown=shown,
            tag=tag,
            detach=tag is not None,
        )

    def _environment(self) -> dict[str, str]:
        chosen = {
            name.decode(): value.decode(errors="surrogateescape")
            .encode("utf-8", "replace")
            .decode()
            for name, value in self._channel.get_environment_bytes().items()
        }
        if self._terminal is not None:
            chosen["TERM"] = self._term
        return {**chosen, **_whence(self._caller), **self._caller.env}

    async def _carry(self, live: Process) -> Exit:
        """Both directions until the process has ended. Raises Unavailable when it got lost."""
        ended = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed, live)
            ended = await self._drain(live)
            tasks.cancel_scope.cancel()
        if ended is None:
            raise Unavailable("the workspace went away before the command ended")
        return ended

    async def _drain(self, live: Process) -> Exit | None:
        channel = self._channel
        async for kind, payload in live.frames():
            if kind is Frame.STDOUT:
                channel.write(payload)  # pyright: ignore[reportUnknownMemberType]
            elif kind is Frame.STDERR:
                channel.write_stderr(payload)
            elif kind is Frame.EXIT:
                return execs.read_exit(payload)
            if not self._writable.is_set():
                await self._writable.wait()
        return None

    async def _feed(self, live: Process) -> None:
        # Input for a process that has ended goes nowhere; how it ended comes the other way.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                while self._inbox:
                    kind, payload = self._inbox.popleft()
                    await live.send(kind, payload)
                    self._waiting -= len(payload)
                self._arrived = anyio.Event()
                # What the channel holds comes at once, and sets the event that is waited for.
                self._channel.resume_reading()
                await self._arrived.wait()

    def _put(self, kind: Frame, payload: bytes = b"") -> None:
        self._inbox.append((kind, payload))
        self._waiting += len(payload)
        self._arrived.set()
        if self._waiting >= WAITING_MAX:
            self._channel.pause_reading()

    def _end(self, ended: Exit | None) -> None:
        if ended is None:
            return
        if ended.error:
            self._tell(ended.error)
        if ended.signal:
            name = ended.signal.removeprefix("SIG")
            self._channel.exit_with_signal(name, False, ended.error or "")
        else:
            self._channel.exit(ended.exit_code & 0xFF)

    async def _say(self, line: str) -> None:
        self._tell(line)

    def _tell(self, line: str) -> None:
        shown = "".join(c if c.isprintable() else " " for c in line)
        end = "\n" if self._terminal is None else "\r\n"
        if not self._channel.is_closing():
            self._channel.write_stderr(f"alcove: {shown}{end}".encode())


def _whence(caller: Caller) -> dict[str, str]:
    """What shells and prompts look at to see that they are at the end of an SSH connection."""
    ours: object = caller.connection.get_extra_info("sockname")
    theirs: object = caller.connection.get_extra_info("peername")
    address = caller.actor.address or "127.0.0.1"
    here, here_port = _ends(ours, "127.0.0.1")
    _, port = _ends(theirs, address)
    return {
        "SSH_CLIENT": f"{address} {port} {here_port}",
        "SSH_CONNECTION": f"{address} {port} {here} {here_port}",
    }


def _ends(name: object, otherwise: str) -> tuple[str, int]:
    parts = cast("tuple[object, ...]", name) if isinstance(name, tuple) else ()
    match parts[:2]:
        case (str() as host, int() as port):
            return host, port
        case _:
            return otherwise, 0


def _size(cols: int, rows: int) -> tuple[int, int]:
    """A size that a terminal can have; a client that does not know its own says 0."""
    return min(cols or 80, SIDE_MAX), min(rows or 24, SIDE_MAX)
