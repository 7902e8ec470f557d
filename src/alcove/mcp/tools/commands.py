"""Running a command to its end."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import anyio
from pydantic import Field

from alcove.core import execs
from alcove.core.agent import Call
from alcove.core.frames import Frame
from alcove.mcp.bounded import HEAD_MAX, TAIL_MAX, Bounded
from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import Directory, Line, Sandbox
from alcove.model.access import Permission
from alcove.model.errors import Unavailable
from alcove.wire.base import Answer, Env, LongText, Request

TIMEOUT_S: Final = 120
TIMEOUT_MAX_S: Final = 3600
BEAT_S: Final = 3.0
_STDIN_MAX: Final = 65536


class CommandResult(Answer):
    exit_code: int
    """128 + the signal when one ended it."""
    signal: str | None
    stdout: str
    stderr: str
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    """Only beginning and end are here."""
    timed_out: bool
    duration_ms: float
    error: str | None


class RunArguments(Request):
    sandbox: Sandbox
    command: Line
    cwd: Directory | None = None
    env: Annotated[Env | None, Field(description="On top of the sandbox's own.")] = None
    stdin: Annotated[LongText | None, Field(description="What the command reads.")] = None
    timeout_s: Annotated[
        int,
        Field(ge=1, le=TIMEOUT_MAX_S, description="After so long it is killed, with children."),
    ] = TIMEOUT_S


async def run(use: Use, asked: RunArguments) -> Result:
    call = Call(
        command=execs.shell(asked.command),
        cwd=asked.cwd,
        env=asked.env or {},
        stdin=False if asked.stdin is None else asked.stdin.encode(),
        timeout_s=asked.timeout_s,
    )
    kept = {Frame.STDOUT: Bounded(), Frame.STDERR: Bounded()}
    ended: execs.Exit | None = None
    told_at = began = anyio.current_time()
    async with execs.stream(use.core, use.actor, asked.sandbox, call) as frames:
        async for kind, payload in frames:
            if kind in kept:
                kept[kind].add(payload)
                if (now := anyio.current_time()) - told_at >= BEAT_S:
                    told_at = now
                    await use.progress(now - began, asked.timeout_s, _last_line(payload))
            elif kind is Frame.EXIT:
                ended = execs.read_exit(payload)
    if ended is None:
        raise Unavailable("the sandbox's agent went away before the command ended")
    return _result(ended, kept, asked.timeout_s)


def _result(ended: execs.Exit, kept: Mapping[Frame, Bounded], timeout_s: int) -> Result:
    out, err = kept[Frame.STDOUT], kept[Frame.STDERR]
    timed_out = ended.signal == "SIGKILL" and ended.duration_ms >= timeout_s * 1000
    answer = CommandResult(
        exit_code=ended.exit_code,
        signal=ended.signal.removeprefix("SIG") if ended.signal else None,
        stdout=out.text(),
        stderr=err.text(),
        stdout_bytes=out.size,
        stderr_bytes=err.size,
        truncated=bool(out.left_out or err.left_out),
        timed_out=timed_out,
        duration_ms=ended.duration_ms,
        error=ended.error,
    )
    lines = [_outcome(answer, timeout_s)]
    if answer.stdout:
        lines.append(f"stdout:\n{answer.stdout}")
    if answer.stderr:
        lines.append(f"stderr:\n{answer.stderr}")
    if answer.truncated:
        lines.append(
            "[Output was cut. To see all of it, run the command again with `> FILE 2>&1` and "
            "use read_file or search_files on FILE.]"
        )
    return Result("\n".join(lines), answer)


def _outcome(answer: CommandResult, timeout_s: int) -> str:
    if answer.timed_out:
        return (
            f"killed after {timeout_s} s; give a longer timeout_s (at most {TIMEOUT_MAX_S}), or "
            "use start_background"
        )
    said = f"exit code {answer.exit_code}"
    if answer.signal:
        said += f" (signal {answer.signal})"
    if answer.error:
        said += f": {answer.error}"
    return f"{said}, {answer.duration_ms:.0f} ms"


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")[-200:]


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="run_command",
        title="Run a command",
        description=(
            "Run a shell line in a sandbox and wait for its end: tests, builds, git, package "
            "managers. Answers exit code, stdout and stderr; of long output only the first "
            f"{HEAD_MAX // 1000} kB and the last {TAIL_MAX // 1000} kB of each. Every call is a "
            "new shell: cwd and exported variables do not carry over, so give cwd or chain with "
            "&&. Nothing can be typed in: use flags such as -y. It ends when the call does, "
            "with its children; use start_background for servers and watchers."
        ),
        permission=Permission.WORKSPACE_EXEC,
        arguments=RunArguments,
        answer=CommandResult,
        run=run,
        destroys=True,
        reaches_out=True,
    ),
)
