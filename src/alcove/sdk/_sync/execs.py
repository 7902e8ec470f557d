# Made by tools/async_to_sync.py from _async/execs.py: change that one.
"""Commands in a workspace: run to the end, streamed, or as a process with live stdin."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx

from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import encode, problem_in_message, read, request
from alcove.sdk.errors import Unavailable
from alcove.sdk.execs import (
    Collected,
    ExecResult,
    Exit,
    OnOutput,
    Output,
    Stream,
    from_answer,
    output_bytes,
    signal_name,
)
from alcove.sdk.retry import Repeat
from alcove.sdk.sse import Parser, ServerSentEvent
from alcove.wire.base import Answer
from alcove.wire.execs import (
    ExecAnswer,
    ExecExit,
    ExecOutput,
    ExecRequest,
    Frame,
    ProcessRequest,
    ProcessSignal,
    TerminalSize,
)

if TYPE_CHECKING:
    from alcove.sdk._sync.sockets import Socket

FRAME_MAX: Final = 64 * 1024
_SLACK_S: Final = 30.0
"""What the answer may take beyond the command's own timeout."""


class _Started(Answer):
    pid: int


def run(transport: Transport, path: str, body: ExecRequest) -> ExecResult:
    """Never sent twice once the server may have seen it: a command is not repeatable."""
    timeout_s = None if body.timeout is None else body.timeout + _SLACK_S
    answer = transport.post(ExecAnswer, path, body, repeat=Repeat.UNSENT, timeout_s=timeout_s)
    return from_answer(answer)


def run_streamed(
    transport: Transport,
    path: str,
    body: ExecRequest,
    on_stdout: OnOutput | None,
    on_stderr: OnOutput | None,
) -> ExecResult:
    """Hand output over as it arrives, and answer what the command ended with."""
    collected, parser = Collected(on_stdout, on_stderr), Parser()
    url = transport.endpoint.url
    with transport.stream(
        "POST",
        path,
        json=body,
        headers={"Accept": "text/event-stream"},
        repeat=Repeat.UNSENT,
        timeout_s=None,
    ) as response:
        try:
            for chunk in response.iter_bytes():
                for event in parser.feed(chunk):
                    ended = _take(event, collected)
                    if ended is not None:
                        return collected.result(ended)
        except httpx.TransportError as error:
            raise Unavailable(f"lost the connection to {url}; the command was ended") from error
    raise Unavailable(f"{url} ended the answer before the command had ended")


@contextmanager
def process(transport: Transport, path: str, body: ProcessRequest) -> "Generator[Process]":
    """Start a command with live stdin; leaving the context ends it."""
    with transport.websocket(path) as socket:
        socket.send(encode(body).decode())
        yield Process(socket)


def _take(event: ServerSentEvent, collected: Collected) -> ExecExit | None:
    """Keep one event's output; the exit, if that is what it tells."""
    match event.event:
        case "stdout" | "stderr":
            collected.add(Stream(event.event), output_bytes(read(ExecOutput, event.data)))
        case "exit":
            return read(ExecExit, event.data)
        case "error":
            raise problem_in_message(event.data)
        case _:
            pass
    return None


class Process:
    """A command that runs now: read its output by iterating, write to it, signal it.

    The server reads the process only as fast as this is iterated. Leaving the context kills
    whatever is still running.
    """

    def __init__(self, socket: "Socket") -> None:
        self._socket = socket
        self.pid: int | None = None
        self.exit: Exit | None = None
        """Set once the iteration has ended."""

    def __iter__(self) -> Iterator[Output]:
        return self._outputs()

    def write(self, data: bytes) -> None:
        """Bytes for its stdin."""
        for start in range(0, len(data), FRAME_MAX):
            self._send(Frame.STDIN, data[start : start + FRAME_MAX])

    def close_stdin(self) -> None:
        self._send(Frame.STDIN_EOF, b"")

    def signal(self, name: str) -> None:
        """`INT`, `TERM`, `KILL`, …; with a terminal, to what runs in its foreground."""
        self._send(Frame.SIGNAL, encode(request(ProcessSignal, {"signal": name})))

    def resize(self, columns: int, rows: int) -> None:
        size = request(TerminalSize, {"cols": columns, "rows": rows})
        self._send(Frame.RESIZE, encode(size))

    def wait(self) -> Exit:
        """Read, and drop, what is left of the output."""
        for _ in self:
            pass
        assert self.exit is not None
        return self.exit

    def _outputs(self) -> Iterator[Output]:
        while self.exit is None:
            message = self._socket.receive()
            if isinstance(message, str):
                raise problem_in_message(message)
            frame, payload = message[0], message[1:]
            match frame:
                case Frame.STDOUT:
                    yield Output(Stream.STDOUT, payload)
                case Frame.STDERR:
                    yield Output(Stream.STDERR, payload)
                case Frame.EXIT:
                    ended = read(ExecExit, payload)
                    self.exit = Exit(
                        exit_code=ended.exit_code,
                        signal=signal_name(ended.signal),
                        duration_ms=ended.duration_ms,
                        error=ended.error,
                    )
                case Frame.STARTED:
                    self.pid = read(_Started, payload).pid
                case _:
                    # A newer server may have more kinds.
                    pass

    def _send(self, frame: Frame, payload: bytes) -> None:
        self._socket.send(bytes((frame,)) + payload)
