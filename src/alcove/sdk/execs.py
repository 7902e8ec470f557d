"""Commands in a workspace: what they ended with, and their output as it arrives. Values only."""

import base64
import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from alcove.sdk.answers import request
from alcove.sdk.errors import CommandFailed
from alcove.wire.execs import ExecAnswer, ExecExit, ExecOutput, ExecRequest, ProcessRequest

LOGIN_SHELL: Final = 'exec "${SHELL:-/bin/sh}" -l'
OUTPUT_MAX: Final = 8 * 1024 * 1024
"""What a streamed command keeps of each stream for its result; callbacks get everything."""
OnOutput: TypeAlias = Callable[[str], object]


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Terminal:
    """A pseudo-terminal to run in, and what the near end calls itself (`TERM`)."""

    columns: int = 80
    rows: int = 24
    term: str = "xterm-256color"


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of what a process wrote, as bytes."""

    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. `signal` is what killed it, such as `KILL`."""

    exit_code: int
    signal: str | None
    duration_ms: float
    error: str | None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command ended with. `stdout` and `stderr` have U+FFFD for what is not UTF-8."""

    exit_code: int
    signal: str | None
    stdout_bytes: bytes
    stderr_bytes: bytes
    truncated: bool
    """Output over the limit was left out."""
    duration_ms: float
    error: str | None = None
    """Why it could not be started, or was ended."""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.signal is None

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode("utf-8", "replace")

    def check(self) -> "ExecResult":
        """Itself. Raises CommandFailed, with the end of stderr, unless the code is 0."""
        if self.ok:
            return self
        how = f"was killed by {self.signal}" if self.signal else f"exited with {self.exit_code}"
        tail = self.error or self.stderr.strip()[-500:]
        raise CommandFailed(f"the command {how}" + (f": {tail}" if tail else ""), self)


def exec_request(
    command: str | Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stdin: str | bytes | None = None,
    timeout: str | None = None,
) -> ExecRequest:
    """The request for a command. Raises Invalid."""
    exact = base64.b64encode(stdin).decode() if isinstance(stdin, bytes) else None
    return request(
        ExecRequest,
        {
            "command": command if isinstance(command, str) else [*command],
            "cwd": cwd,
            "env": env,
            "user": user,
            "stdin": stdin if isinstance(stdin, str) else None,
            "stdin_base64": exact,
            "timeout": timeout,
        },
    )


def process_request(
    command: str | Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    terminal: Terminal | None = None,
) -> ProcessRequest:
    """The request for a process with live stdin. Raises Invalid."""
    pty = terminal and {"cols": terminal.columns, "rows": terminal.rows}
    return request(
        ProcessRequest,
        {
            "command": command if isinstance(command, str) else [*command],
            "cwd": cwd,
            "env": env,
            "user": user,
            "stdin": True,
            "pty": pty,
            "term": terminal and terminal.term,
        },
    )


def from_answer(answer: ExecAnswer) -> ExecResult:
    return ExecResult(
        exit_code=answer.exit_code,
        signal=signal_name(answer.signal),
        stdout_bytes=_bytes(answer.stdout, answer.stdout_base64),
        stderr_bytes=_bytes(answer.stderr, answer.stderr_base64),
        truncated=answer.truncated,
        duration_ms=answer.duration_ms,
        error=answer.error,
    )


def output_bytes(output: ExecOutput) -> bytes:
    if output.encoding == "base64":
        return base64.b64decode(output.data)
    return output.data.encode()


class Collected:
    """Gathers streamed output for the result, and hands it to the callbacks as text."""

    def __init__(self, on_stdout: OnOutput | None, on_stderr: OnOutput | None) -> None:
        self._kept = {Stream.STDOUT: bytearray(), Stream.STDERR: bytearray()}
        self._say = {Stream.STDOUT: on_stdout, Stream.STDERR: on_stderr}
        # Incremental, since a character may be cut in two by the end of a piece.
        new = codecs.getincrementaldecoder("utf-8")
        self._decoders = {stream: new("replace") for stream in Stream}
        self._truncated = False

    def add(self, stream: Stream, data: bytes) -> None:
        kept = self._kept[stream]
        room = OUTPUT_MAX - len(kept)
        kept += data[:room]
        self._truncated = self._truncated or len(data) > room
        self._tell(stream, self._decoders[stream].decode(data))

    def result(self, ended: ExecExit) -> ExecResult:
        for stream in Stream:
            self._tell(stream, self._decoders[stream].decode(b"", final=True))
        return ExecResult(
            exit_code=ended.exit_code,
            signal=signal_name(ended.signal),
            stdout_bytes=bytes(self._kept[Stream.STDOUT]),
            stderr_bytes=bytes(self._kept[Stream.STDERR]),
            truncated=self._truncated,
            duration_ms=ended.duration_ms,
            error=ended.error,
        )

    def _tell(self, stream: Stream, text: str) -> None:
        say = self._say[stream]
        if say is not None and text:
            say(text)


def signal_name(name: str | None) -> str | None:
    """`KILL` for `KILL` and `SIGKILL`; None when nothing killed it."""
    return name.removeprefix("SIG") if name else None


def _bytes(text: str, exact: str | None) -> bytes:
    return text.encode() if exact is None else base64.b64decode(exact)
