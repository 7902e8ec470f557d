"""Running commands in a workspace: the request, the answer, and the streamed events.

Over a WebSocket (`GET …/exec`) the first message is a `ProcessRequest` as JSON text; after it
every message is binary: one byte that names the `Frame`, then at most 64 KiB of payload.
"""

from enum import IntEnum
from typing import Annotated, Final, Literal, TypeAlias, cast

from pydantic import Field, PlainValidator, StringConstraints, WithJsonSchema, model_validator

from alcove.wire.base import Answer, Duration, Env, Path, Request

ARGUMENT_MAX: Final = 131072
"""The kernel's own limit, MAX_ARG_STRLEN."""
ARGUMENTS_MAX: Final = 4096
COLUMNS_MAX: Final = 1000


def _command(value: object) -> list[str] | str:
    words = cast("list[object]", value) if isinstance(value, list) else [value]
    for word in words:
        if not isinstance(word, str):
            raise ValueError("must be a list of texts, or one line of shell")
        if "\0" in word or len(word) > ARGUMENT_MAX:
            raise ValueError(f"an argument has NUL in it or over {ARGUMENT_MAX} characters")
    if not words or not words[0] or len(words) > ARGUMENTS_MAX:
        raise ValueError(f"must have a program's name and at most {ARGUMENTS_MAX} arguments")
    return cast("list[str] | str", value)


Command: TypeAlias = Annotated[
    list[str] | str,
    PlainValidator(_command),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "array",
                    "items": {"type": "string", "maxLength": ARGUMENT_MAX},
                    "minItems": 1,
                },
                {"type": "string", "minLength": 1, "maxLength": ARGUMENT_MAX},
            ],
            "examples": [["python3", "-m", "pytest"], "make test | tail -3"],
        }
    ),
]


User: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class Frame(IntEnum):
    """The first byte of a binary WebSocket message."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    """Payload: `ExecExit` as JSON. The last message."""
    STARTED = 4
    """Payload: `{"pid": n}`."""
    STDIN_EOF = 5
    RESIZE = 6
    """Payload: `TerminalSize` as JSON."""
    SIGNAL = 7
    """Payload: `ProcessSignal` as JSON."""


class TerminalSize(Request):
    cols: Annotated[int, Field(ge=1, le=COLUMNS_MAX)] = 80
    rows: Annotated[int, Field(ge=1, le=COLUMNS_MAX)] = 24


class ProcessSignal(Request):
    """`INT`, `TERM`, `KILL`, …"""

    signal: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{1,15}$")]


class ProcessRequest(Request):
    """A process with live streams: the first message of the WebSocket `GET …/exec`."""

    command: Command
    cwd: Path | None = None
    env: Env | None = None
    user: User | None = None
    timeout: Duration | None = None
    stdin: bool = False
    """Whether frames `STDIN` and `STDIN_EOF` will come."""
    pty: TerminalSize | None = None
    term: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._+-]{1,64}$")] | None = None
    """The client's TERM."""


class ExecRequest(Request):
    """`command` is a list of arguments, or one line for the user's shell."""

    command: Command
    cwd: Path | None = None
    """Default: the user's home, or the cloned repository's directory."""
    env: Env | None = None
    user: User | None = None
    stdin: Annotated[str, StringConstraints(max_length=1 << 20)] | None = None
    stdin_base64: Annotated[str, StringConstraints(max_length=1 << 20)] | None = None
    """For bytes that are not UTF-8."""
    timeout: Duration | None = None
    """After it the whole process tree is killed and the signal is `KILL`."""

    @model_validator(mode="after")
    def _one_stdin(self) -> "ExecRequest":
        if self.stdin is not None and self.stdin_base64 is not None:
            raise ValueError("stdin_base64: give stdin or stdin_base64, not both")
        return self


class ExecAnswer(Answer):
    """`stdout` and `stderr` are text with U+FFFD for what is not UTF-8; if something was not,
    the exact bytes stand in `stdout_base64` and `stderr_base64`."""

    exit_code: int
    signal: str | None = None
    """What killed it, such as `KILL`."""
    stdout: str
    stderr: str
    stdout_base64: str | None = None
    stderr_base64: str | None = None
    truncated: bool
    """Output over the limit was left out."""
    duration_ms: float
    error: str | None = None
    """Why it could not be started, or was ended."""


class ExecOutput(Answer):
    """Data of the events `stdout` and `stderr`."""

    data: str
    encoding: Literal["utf-8", "base64"] = "utf-8"


class ExecExit(Answer):
    """Data of the event `exit`, the last one."""

    exit_code: int
    signal: str | None = None
    duration_ms: float
    error: str | None = None
