"""Processes in the background, and changes of files."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from alcove.wire.base import Answer, Env, Path, Request
from alcove.wire.execs import ProcessSignal as ProcessSignal
from alcove.wire.execs import User

Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
State = Literal["running", "exited", "killed"]


class NewProcess(Request):
    """A line for the user's shell. It goes on when the client has gone, until it ends, is
    stopped, or the workspace stops."""

    command: Annotated[str, StringConstraints(min_length=1, max_length=1 << 17)]
    tag: Tag | None = None
    """Under which it is found again; made up when absent."""
    cwd: Path | None = None
    env: Env | None = None
    user: User | None = None
    stdin: bool = False
    """Whether input will come from those who attach."""


class BackgroundProcess(Answer):
    """One that runs."""

    tag: str
    pid: int
    command: str


class BackgroundProcesses(Answer):
    items: list[BackgroundProcess]
    next_cursor: str | None = None


class ProcessLook(Answer):
    """Its state, and a piece of its output: both streams, in the order of writing."""

    tag: str
    state: State
    """`killed`: it did not end by itself, and nothing tells its exit code."""
    exit_code: int | None
    """128 + the signal when it was ended by one."""
    output: str
    """Text, or base64 where it is not UTF-8."""
    encoding: Literal["utf-8", "base64"] = "utf-8"
    start: Annotated[int, Field(ge=0)]
    """The number of its first byte."""
    end: int
    """The number behind its last byte: where to go on."""
    size: int
    """How many bytes were written by now."""


class FileChange(Answer):
    """Data of the event `change`. `lost`: more happened than could be kept."""

    change: Literal["created", "written", "removed", "renamed", "modified", "lost"]
    path: str
    """Relative to what is watched."""
