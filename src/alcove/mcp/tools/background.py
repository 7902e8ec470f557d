"""Commands that go on after the call."""

from typing import Annotated, Any, Final

from pydantic import Field

from alcove.core import background
from alcove.core.background import State
from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import Directory, Line, Sandbox, Tag
from alcove.model.access import Permission
from alcove.wire.base import Answer, Env, Request

PIECE: Final = 16_000
PIECE_MAX: Final = 65_536
RUNNING_MAX: Final = 200


class Started(Answer):
    tag: str
    pid: int


class Logs(Answer):
    tag: str
    state: str
    """`running`, `exited`, or `killed`."""
    exit_code: int | None
    output: str
    start: int
    next: int
    """Give it as `after` to read on."""
    size: int


class Running(Answer):
    tag: str
    pid: int
    command: str


class RunningList(Answer):
    items: list[Running]


class StartArguments(Request):
    sandbox: Sandbox
    command: Line
    cwd: Directory | None = None
    env: Annotated[Env | None, Field(description="On top of the sandbox's own.")] = None
    tag: Annotated[Tag | None, Field(description="A name for it; made up when left out.")] = None


class ListArguments(Request):
    sandbox: Sandbox


class LogsArguments(Request):
    sandbox: Sandbox
    tag: Tag
    after: Annotated[
        int | None,
        Field(ge=0, description="Byte to read from; left out: the end of the output."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=PIECE_MAX, description="Bytes at most.")] = PIECE
    wait_s: Annotated[
        int,
        Field(ge=0, le=background.WAIT_MAX_S, description="Wait so long for output past after."),
    ] = 0


class StopArguments(Request):
    sandbox: Sandbox
    tag: Tag
    grace_s: Annotated[
        int, Field(ge=0, le=background.GRACE_MAX_S, description="From SIGTERM to SIGKILL.")
    ] = 5


async def start(use: Use, asked: StartArguments) -> Result:
    made = await background.start(
        use.core,
        use.actor,
        asked.sandbox,
        line=asked.command,
        cwd=asked.cwd,
        env=asked.env,
        tag=asked.tag,
    )
    text = (
        f"Started as {made.tag!r} (process {made.pid}). See read_background_logs whether it "
        "does well; stop_background ends it."
    )
    return Result(text, Started(tag=made.tag, pid=made.pid))


async def list_(use: Use, asked: ListArguments) -> Result:
    found = await background.running(use.core, use.actor, asked.sandbox)
    items = [Running(tag=r.tag, pid=r.pid, command=r.command[:500]) for r in found[:RUNNING_MAX]]
    lines = [f"{item.tag} (process {item.pid}): {item.command}" for item in items]
    return Result("\n".join(lines) or "Nothing runs in the background.", RunningList(items=items))


async def logs(use: Use, asked: LogsArguments) -> Result:
    found = await background.look(
        use.core,
        use.actor,
        asked.sandbox,
        asked.tag,
        after=asked.after,
        limit=asked.limit,
        wait_s=asked.wait_s,
    )
    return _shown(found)


async def stop(use: Use, asked: StopArguments) -> Result:
    await background.stop(use.core, use.actor, asked.sandbox, asked.tag, grace_s=asked.grace_s)
    return _shown(
        await background.look(use.core, use.actor, asked.sandbox, asked.tag, limit=PIECE)
    )


def _shown(found: background.Look) -> Result:
    answer = Logs(
        tag=found.tag,
        state=found.state,
        exit_code=found.exit_code,
        output=found.output.decode(errors="replace"),
        start=found.start,
        next=found.start + len(found.output),
        size=found.size,
    )
    state = "exited with code " + str(found.exit_code) if found.exit_code is not None else ""
    lines = [f"{found.tag}: {state or found.state}"]
    if found.state is State.KILLED:
        lines[0] += " (nothing tells its exit code)"
    if found.start > 0:
        lines.append(f"[bytes {answer.start} to {answer.next} of {answer.size}]")
    lines.append(answer.output or "[no output here]")
    if answer.next < answer.size:
        lines.append(f"[more: read on with after={answer.next}]")
    return Result("\n".join(lines), answer)


_TOO: Final = "It needs the tag that start_background answered."
TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="start_background",
        title="Start in the background",
        description=(
            "Start a shell line that goes on after the call: a server, a watcher, a build that "
            "takes longer than an hour. Answers its tag at once, whether or not it does well: "
            "look with read_background_logs. It ends by itself, by stop_background, with the "
            "sandbox, or after 24 hours."
        ),
        permission=Permission.WORKSPACE_EXEC,
        arguments=StartArguments,
        answer=Started,
        run=start,
        reaches_out=True,
    ),
    Tool(
        name="list_background",
        title="List background commands",
        description="The background commands that run now, with their tags.",
        permission=Permission.WORKSPACE_EXEC,
        arguments=ListArguments,
        answer=RunningList,
        run=list_,
        reads_only=True,
    ),
    Tool(
        name="read_background_logs",
        title="Read a background command's output",
        description=(
            "What a background command wrote (stdout and stderr together), whether it still "
            "runs, and its exit code if not; also after its end. Without after it answers the "
            "end of the output; with after=next of the answer before, what came since, and "
            f"with wait_s it waits for that. At most {PIECE_MAX} bytes at a time. {_TOO}"
        ),
        permission=Permission.WORKSPACE_EXEC,
        arguments=LogsArguments,
        answer=Logs,
        run=logs,
        reads_only=True,
    ),
    Tool(
        name="stop_background",
        title="Stop a background command",
        description=(
            "End a background command: SIGTERM, and after grace_s SIGKILL to all its children. "
            f"Answers the end of its output. One that has ended already is fine. {_TOO}"
        ),
        permission=Permission.WORKSPACE_EXEC,
        arguments=StopArguments,
        answer=Logs,
        run=stop,
        destroys=True,
        repeatable=True,
    ),
)
