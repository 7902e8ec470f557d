"""Commands that outlive the call that started them, for callers who have no connection to keep.

A command runs under a tag of the agent's, detached; what it writes goes to a file in the
workspace, so that its output can be read in pieces, by anybody who may, also after its end.
"""

import base64
import json
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import anyio

from alcove.core import execs
from alcove.core.agent import Call, Reach
from alcove.core.app import Core
from alcove.core.frames import Frame, Process
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, FieldError, Invalid, NotFound, Unavailable

TAG: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
OUTPUT_MAX: Final = 1 << 20
"""Bytes of output that one look answers at most."""
WAIT_MAX_S: Final = 60
GRACE_MAX_S: Final = 60
_PREFIX: Final = "background:"
_NO_SUCH: Final = 44
_LINE_AT: Final = 4
"""Where the line stands among the arguments of the shell that runs `_RUN`."""
_DIRECTORY: Final = 'd="${XDG_STATE_HOME:-$HOME/.local/state}/alcove/background"\n'
_RUN: Final = (
    _DIRECTORY
    + """mkdir -p "$d" && rm -f "$d/$1.exit" || exit 125
exec 3>&1 >"$d/$1.log" 2>&1 || exit 125
printf . >&3
exec 3>&-
[ -n "$3" ] || exec </dev/null
trap : HUP INT QUIT USR1 USR2 ALRM TERM
"${SHELL:-/bin/sh}" -c "$2"
echo $? >"$d/$1.exit"
"""
)
_LOOK: Final = (
    _DIRECTORY
    + f"""f="$d/$1.log"; o=$2
[ -e "$f" ] || exit {_NO_SUCH}
s=$(($(wc -c <"$f"))); n=$(($4 * 5))
while [ "$n" -gt 0 ] && [ "$o" -ge "$s" ] && [ ! -e "$d/$1.exit" ]; do
  sleep 0.2; n=$((n - 1)); s=$(($(wc -c <"$f")))
done
[ "$o" -ge 0 ] || o=$((s > $3 ? s - $3 : 0))
printf '%s %s %s\\n' "$s" "$o" "$(cat "$d/$1.exit" 2>/dev/null)"
tail -c "+$((o + 1))" "$f" | head -c "$3"
"""
)


class State(StrEnum):
    RUNNING = "running"
    EXITED = "exited"
    """By itself, or by a signal that it could take; it has an exit code."""
    KILLED = "killed"
    """Killed, or gone with the boot it ran in; nothing tells its exit code."""


@dataclass(frozen=True, slots=True)
class Running:
    tag: str
    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class Look:
    """`output` are the bytes from `start` on; `size` is how many there are by now."""

    tag: str
    state: State
    exit_code: int | None
    """128 + the signal when it was ended by one."""
    output: bytes
    start: int
    size: int


async def start(
    core: Core,
    actor: Actor,
    ref: str,
    *,
    line: str,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    tag: str | None = None,
    user: str | None = None,
    stdin: bool = False,
) -> Running:
    """Run a line of the user's shell; answers as soon as it runs. It ends with the workspace's
    boot at the latest. `stdin`: it waits for input from those who attach, and else has none.
    Raises Conflict while another one runs under the tag."""
    tag = f"bg-{secrets.token_hex(4)}" if tag is None else _checked(tag)
    call = Call(
        command=("/bin/sh", "-c", _RUN, "alcove-background", tag, line, "1" if stdin else ""),
        cwd=cwd,
        env=env or {},
        user=user,
        stdin=stdin,
        tag=_PREFIX + tag,
        detach=True,
        shown=(line,),
    )
    async with _opened(core, actor, ref, call) as frames:
        pid = 0
        async for kind, payload in frames:
            if kind is Frame.STARTED:
                pid = int(json.loads(payload)["pid"])
            if kind is Frame.STDOUT:
                # Its files are there by now, and those of a former one are not.
                return Running(tag, pid, line)
            if kind is Frame.EXIT:
                raise Conflict(f"it did not start: {execs.read_exit(payload).error}")
    raise Unavailable("the workspace's agent went away before the command started")


async def running(core: Core, actor: Actor, ref: str) -> Sequence[Running]:
    """Those that run now."""
    reach = await _reach(core, actor, ref)
    return await _running(core, reach)


async def look(
    core: Core,
    actor: Actor,
    ref: str,
    tag: str,
    *,
    after: int | None = None,
    limit: int = 65536,
    wait_s: int = 0,
) -> Look:
    """Its state and a piece of its output: from byte `after`, else the end of it. With `wait_s`
    the answer waits for output beyond `after`. Raises NotFound for a tag that never ran."""
    _checked(tag)
    start = "-1" if after is None else str(after)
    bounded = (str(max(1, min(limit, OUTPUT_MAX))), str(min(wait_s, WAIT_MAX_S)))
    command = ("/bin/sh", "-c", _LOOK, "alcove-output", tag, start, *bounded)
    call = Call(command=command, shown=("output of", tag))
    done = await execs.run(core, actor, ref, call)
    if done.exit_code == _NO_SUCH:
        raise NotFound(f"nothing was started in the background under the tag {tag!r}")
    if done.exit_code != 0:
        said = done.stderr.decode(errors="replace")[:500] or done.error
        raise Unavailable(f"the output of {tag!r} cannot be read: {said}")
    head, _, output = done.stdout.partition(b"\n")
    try:
        size, begin, *code = (int(word) for word in head.split())
    except ValueError as error:
        raise Unavailable(f"the output of {tag!r} cannot be read") from error
    if code:
        return Look(tag, State.EXITED, code[0], output, begin, size)
    alive = any(found.tag == tag for found in await running(core, actor, ref))
    state = State.RUNNING if alive else State.KILLED
    return Look(tag, state, None, output, begin, size)


async def stop(core: Core, actor: Actor, ref: str, tag: str, *, grace_s: float = 5.0) -> None:
    """SIGTERM to its process group, and after the grace SIGKILL to all that came from it.
    One that has ended already is fine. Raises NotFound for a tag that never ran."""
    _checked(tag)
    reach = await _reach(core, actor, ref)
    if not await _signal(core, reach, tag, "SIGNAL_SIGTERM"):
        await look(core, actor, ref, tag, limit=1)
        return
    with anyio.move_on_after(min(grace_s, GRACE_MAX_S)):
        await _ended(core, reach, tag)
        return
    await _signal(core, reach, tag, "SIGNAL_SIGKILL")
    await _ended(core, reach, tag)


@asynccontextmanager
async def attached(core: Core, actor: Actor, ref: str, tag: str) -> AsyncGenerator[Process]:
    """One that runs: send STDIN and SIGNAL, read how it ends; its output is in its file. Leaving
    does not end it. Raises NotFound when nothing runs under the tag."""
    _checked(tag)
    reach = await _reach(core, actor, ref)
    said = base64.b64encode(json.dumps({"tag": _PREFIX + tag}).encode()).decode()
    async with core.agents.stream(reach, "attach=1", [("X-Alcove-Process", said)]) as stream:
        yield Process(stream)


async def signal(core: Core, actor: Actor, ref: str, tag: str, name: str) -> None:
    """`INT`, `TERM`, …, to its process group. Raises NotFound when nothing runs."""
    async with attached(core, actor, ref, tag) as process:
        await process.send(Frame.SIGNAL, json.dumps({"signal": name}).encode())


@asynccontextmanager
async def _opened(
    core: Core, actor: Actor, ref: str, call: Call
) -> AsyncGenerator[AsyncIterator[tuple[Frame, bytes]]]:
    if call.stdin is True:
        async with execs.process(core, actor, ref, call) as live:
            yield live.frames()
        return
    async with execs.stream(core, actor, ref, call) as frames:
        yield frames


async def _ended(core: Core, reach: Reach, tag: str) -> None:
    """Returns once nothing runs under the tag."""
    said = base64.b64encode(json.dumps({"tag": _PREFIX + tag}).encode()).decode()
    opened = core.agents.stream(reach, "attach=1", [("X-Alcove-Process", said)])
    try:
        async with opened as stream:
            async for kind, _ in Process(stream).frames():
                if kind is Frame.EXIT:
                    return
    except NotFound:
        return


async def _signal(core: Core, reach: Reach, tag: str, signal: str) -> bool:
    """False when nothing runs under the tag."""
    asked = {"process": {"tag": _PREFIX + tag}, "signal": signal}
    try:
        await core.agents.json(reach, "POST", "/process.Process/SendSignal", asked)
    except NotFound:
        return False
    return True


async def _running(core: Core, reach: Reach) -> list[Running]:
    answer: Any = await core.agents.json(reach, "POST", "/process.Process/List", {})
    found: Sequence[Mapping[str, Any]] = answer.get("processes") or () if answer else ()
    try:
        return [
            Running(
                tag=str(said["tag"]).removeprefix(_PREFIX),
                pid=int(said["pid"]),
                command=str(said["config"]["args"][_LINE_AT]),
            )
            for said in found
            if str(said.get("tag", "")).startswith(_PREFIX)
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unavailable("the agent's list of processes cannot be read") from error


async def _reach(core: Core, actor: Actor, ref: str) -> Reach:
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    core.journal.used(workspace.id, core.clock())
    return Reach.of(workspace)


def _checked(tag: str) -> str:
    if not TAG.fullmatch(tag):
        said = "use 1 to 64 letters, digits, dots, dashes and underscores, and no dot first"
        raise Invalid(f"tag: {said}", [FieldError("tag", said)])
    return tag
