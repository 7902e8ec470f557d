"""Terminals that go on while nobody looks: the list of them, and the messages of
`GET /workspaces/{workspace}/terminal`, a WebSocket.

What is typed and sizes go in as JSON text, output comes as binary messages. With `after` in the
address the server says where in the output one is (`TerminalAttached`, `TerminalResync`), and how
large the terminal is for all its viewers (`TerminalView`). With `window` it sends no more than so
many bytes that were not acknowledged.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from alcove.wire.base import Answer, Line, Request
from alcove.wire.execs import COLUMNS_MAX

INPUT_MAX: Final = 64 * 1024
"""Characters of one message of input."""
WINDOW_MIN: Final = 16 * 1024
WINDOW_MAX: Final = 4 * 1024 * 1024
AFTER_PATTERN: Final = r"^(0|[0-9]{1,10}-[0-9a-f]{1,16}:[0-9]{1,15})$"
Session: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Offset: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]
Side: TypeAlias = Annotated[int, Field(ge=1, le=COLUMNS_MAX)]


class Terminal(Answer):
    """One that runs."""

    session: str
    """What it is reached by: `?session=`."""
    name: str
    """What people called it; empty if nobody did."""
    title: str
    """What the program in it calls it."""
    pid: int
    viewers: int
    cols: int
    rows: int
    started_at: datetime


class Terminals(Answer):
    items: list[Terminal]
    next_cursor: str | None = None


class TerminalChange(Request):
    name: Annotated[Line, StringConstraints(max_length=64), AfterValidator(str.strip)]
    """Shown instead of the session; empty for none."""


class TerminalInput(Request):
    type: Literal["input"]
    data: Annotated[str, StringConstraints(max_length=INPUT_MAX)]


class TerminalResize(Request):
    """The size of this viewer's screen. The terminal is as large as fits on all of them."""

    type: Literal["resize"]
    cols: Side
    rows: Side


class TerminalAck(Request):
    """Everything before this offset was shown."""

    type: Literal["ack"]
    offset: Offset


class TerminalPing(Request):
    """Answered by `{"type": "pong"}`."""

    type: Literal["ping"]


Typed: TypeAlias = Annotated[
    TerminalInput | TerminalResize | TerminalAck | TerminalPing, Field(discriminator="type")
]
TYPED: Final[TypeAdapter[Typed]] = TypeAdapter(Typed)
"""What a client sends, as JSON text."""


class TerminalResync(Answer):
    """Output was left out, because this viewer was too slow: reset the screen, write `modes`,
    and go on with the bytes from `offset`."""

    type: Literal["resync"] = "resync"
    offset: Offset
    end: Offset
    """How much was written by now: up to there it is the past."""
    modes: Annotated[str, StringConstraints(max_length=512)]
    """Escape sequences that bring a reset terminal to where it was at `offset`."""


class TerminalAttached(TerminalResync):
    """The first message, where `after` was given. Come back with `after=ID:OFFSET`; what was not
    kept is another `offset`, and another process another `id`: then reset the screen."""

    type: Literal["attached"] = "attached"  # pyright: ignore[reportIncompatibleVariableOverride]
    id: Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9]{1,10}-[0-9a-f]{1,16}$")]
    pid: int


class TerminalView(Answer):
    """How large the terminal is, for everybody."""

    type: Literal["view"] = "view"
    cols: Side
    rows: Side
    viewers: int
    leads: bool
    """Whether it is this viewer that answers what programs ask their terminal."""


class TerminalExit(Answer):
    """The last message."""

    type: Literal["exit"] = "exit"
    exit_code: int
    signal: str | None
