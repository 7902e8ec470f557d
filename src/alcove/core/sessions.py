"""Shell sessions: one shell that keeps its directory and variables from a command to the next.

The shell is a tagged process of the agent's; what its commands wrote lies in a directory of the
workspace's own. So a session and its logs survive a restart of the server, and end with the
workspace's boot.

The shell reads the ids of commands, one a line, and says `begin ID` and `end ID CODE`.
"""

import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlencode

import anyio

from alcove.core import tagged
from alcove.core.agent import Call, Reach
from alcove.core.app import Core
from alcove.core.execs import told
from alcove.core.frames import Frame, Process
from alcove.core.intents import event
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, FieldError, Invalid, NotFound, OutOfRange
from alcove.model.event import EventKind
from alcove.model.workspace import Workspace

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
COMMAND_ID: Final = re.compile(r"[0-9a-f]{24}")
COMMAND_MAX: Final = 1 << 20
TAG: Final = "session:"
PLACE: Final = "/tmp/.alcove-sessions"

_LOOP: Final = r"""
__d=$1; set --
trap '__x=$?; [ -z "$__c" ] || echo "$__x" >"$__d/$__c/exit"' EXIT
while IFS= read -r __c; do
  echo "begin $__c"
  exec 8<>"$__d/$__c/in"
  { command . "$__d/$__c/command"; } <&8 8<&- >"$__d/$__c/out" 2>"$__d/$__c/err"
  __x=$?
  exec 8<&-
  echo "$__x" >"$__d/$__c/code" && mv "$__d/$__c/code" "$__d/$__c/exit"
  echo "end $__c $__x"
  __c=
done
"""
# `command` keeps a shell alive whose command has an error of syntax in it.
_SHELL: Final = """
if command -v bash >/dev/null 2>&1; then exec bash --noprofile --norc -c "$1" session "$2"; fi
exec sh -c "$1" session "$2"
"""
_PREPARE: Final = 'umask 077; rm -rf -- "$1" && mkdir -p -- "$1"'
_SUBMIT: Final = """
[ -d "$1" ] || exit 3
umask 077; mkdir "$1/$2" && mkfifo "$1/$2/in" && cat >"$1/$2/command"
: >"$1/$2/out"; : >"$1/$2/err"
"""
_LIST: Final = r"""
for c in "$1"/*/; do
  [ -f "$c/command" ] || continue
  n=${c%/}; printf '%s\0' "${n##*/}"; cat "$c/command"; printf '\0'
  cat "$c/exit" 2>/dev/null; printf '\0'
done
"""
_OUTPUT: Final = '[ -d "$1" ] || exit 3; cat "$1/out"; cat "$1/err" >&2'
_EXIT: Final = '[ -d "$1" ] || exit 3; cat "$1/exit" 2>/dev/null; :'
_INPUT: Final = '[ -d "$1" ] || exit 3; [ -f "$1/exit" ] && exit 4; cat >"$1/in"'
_FOLLOW: Final = """
tail -c +1 -f "$1/out" & tail -c +1 -f "$1/err" >&2 & wait
"""


@dataclass(frozen=True, slots=True)
class Command:
    """`exit_code` is None while it runs, and for ever when the shell was killed under it."""

    id: str
    line: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Ran:
    id: str
    exit_code: int | None
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class _At:
    """Where a session is."""

    workspace: Workspace
    reach: Reach
    tag: str
    place: str


Send: TypeAlias = Callable[[tuple[Frame, bytes]], Awaitable[None]]


class Ended(Conflict):
    """The session's shell, or the command, has ended and takes nothing more."""


async def create(core: Core, actor: Actor, ref: str, session: str) -> None:
    """Start its shell. Raises Conflict when a session of that name runs."""
    at = await _at(core, actor, ref, session)
    if await _runs(core, at):
        raise Conflict(f"there is already a session {session!r}; use another name")
    await tagged.step(core, at.reach, _PREPARE, at.place)
    shell = ("/bin/sh", "-c", _SHELL, "sh", _LOOP, at.place)
    await tagged.start(core, at.reach, Call(command=shell, stdin=True, tag=at.tag, detach=True))
    detail = {"kind": "session", "name": at.workspace.name, "session": session}
    await _tell(core, actor, at, EventKind.SESSION_OPENED, detail)


async def find(core: Core, actor: Actor, ref: str) -> Sequence[str]:
    """The names of those whose shell runs."""
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    found = await tagged.running(core, Reach.of(workspace), prefix=TAG)
    return [one.tag.removeprefix(TAG) for one in found]


async def commands(core: Core, actor: Actor, ref: str, session: str) -> Sequence[Command]:
    """What was run in it, in that order. Raises NotFound."""
    at = await _at(core, actor, ref, session)
    await _must_run(core, at)
    listed = await tagged.step(core, at.reach, _LIST, at.place)
    words = listed.stdout.split(b"\0")[:-1]
    return [
        Command(id.decode(errors="replace"), line.decode(errors="replace"), _code(exit))
        for id, line, exit in zip(words[::3], words[1::3], words[2::3], strict=False)
    ]


async def run(core: Core, actor: Actor, ref: str, session: str, line: str, *, wait: bool) -> Ran:
    """Run a line in the session's shell, after those before it. Without `wait` it is answered
    as soon as the shell has it. Raises NotFound, and Ended when the shell ends meanwhile."""
    if not line or "\0" in line or len(line) > COMMAND_MAX:
        said = f"must be a line of 1 to {COMMAND_MAX} characters without NUL"
        raise Invalid(f"command: {said}", [FieldError("command", said)])
    at = await _at(core, actor, ref, session)
    id = f"{int(core.clock().timestamp() * 1e6):014x}{secrets.token_hex(5)}"
    async with tagged.attached(core, at.reach, at.tag) as shell:
        await _check(await tagged.step(core, at.reach, _SUBMIT, at.place, id, stdin=line.encode()))
        detail: dict[str, object] = {
            "name": at.workspace.name,
            "command": told([line]),
            "session": session,
        }
        await _tell(core, actor, at, EventKind.EXEC_STARTED, detail)
        await shell.send(Frame.STDIN, f"{id}\n".encode())
        if not wait:
            return Ran(id, None, b"", b"")
        await _until_end(shell, id)
    code = _code((await tagged.step(core, at.reach, _EXIT, f"{at.place}/{id}")).stdout)
    await _tell(core, actor, at, EventKind.EXEC_FINISHED, {**detail, "exit_code": code})
    if code is None:
        raise Ended(f"the shell of session {session!r} was ended before the command was")
    output = await tagged.step(core, at.reach, _OUTPUT, f"{at.place}/{id}")
    return Ran(id, code, output.stdout, output.stderr)


async def logs(core: Core, actor: Actor, ref: str, session: str, command: str) -> Ran:
    """What it wrote so far; of each kind the first 8 MiB together."""
    at = await _at(core, actor, ref, session)
    place = _place(at, command)
    output = await tagged.step(core, at.reach, _OUTPUT, place)
    await _check(output)
    ended = await tagged.step(core, at.reach, _EXIT, place)
    return Ran(command, _code(ended.stdout), output.stdout, output.stderr)


@asynccontextmanager
async def follow(
    core: Core, actor: Actor, ref: str, session: str, command: str
) -> AsyncGenerator[AsyncIterator[tuple[Frame, bytes]]]:
    """What it wrote and writes, as STDOUT and STDERR, until it ends. Raises NotFound."""
    at = await _at(core, actor, ref, session)
    place = _place(at, command)
    await _check(await tagged.step(core, at.reach, _EXIT, place))
    sender, receiver = anyio.create_memory_object_stream[tuple[Frame, bytes]](0)
    async with anyio.create_task_group() as tasks, receiver:

        async def fill() -> None:
            async with sender:
                sent = await _live(core, at, place, command, sender.send)
                for kind, name in ((Frame.STDOUT, "out"), (Frame.STDERR, "err")):
                    async for piece in _rest(core, at, f"{place}/{name}", sent[kind]):
                        await sender.send((kind, piece))

        tasks.start_soon(fill)
        yield receiver
        tasks.cancel_scope.cancel()


async def write(
    core: Core, actor: Actor, ref: str, session: str, command: str, data: bytes
) -> None:
    """Give a running command input. Raises NotFound, and Ended when it takes none any more."""
    at = await _at(core, actor, ref, session)
    await _check(await tagged.step(core, at.reach, _INPUT, _place(at, command), stdin=data))


async def delete(core: Core, actor: Actor, ref: str, session: str) -> None:
    """End its shell with all that runs in it, and forget its logs. Raises NotFound."""
    at = await _at(core, actor, ref, session)
    await tagged.kill(core, at.reach, at.tag)
    await tagged.step(core, at.reach, 'rm -rf -- "$1"', at.place)


async def _live(core: Core, at: _At, place: str, command: str, send: Send) -> dict[Frame, int]:
    """Pass on what is written until the command ends; answers how much of each was."""
    sent = {Frame.STDOUT: 0, Frame.STDERR: 0}

    async def copy() -> None:
        call = Call(command=("/bin/sh", "-c", _FOLLOW, "sh", place))
        async with core.agents.exec(at.reach, call) as frames:
            async for kind, payload in frames:
                if kind in sent:
                    # Given away as a whole or not at all: no piece is lost or doubled when the
                    # command ends at this moment. A reader that goes away ends it too.
                    with anyio.CancelScope(shield=True), suppress(anyio.BrokenResourceError):
                        await send((kind, payload))
                    sent[kind] += len(payload)

    async with anyio.create_task_group() as tasks:
        try:
            async with tagged.attached(core, at.reach, at.tag) as shell:
                ended = await tagged.step(core, at.reach, _EXIT, place)
                if _code(ended.stdout) is None:
                    tasks.start_soon(copy)
                    await _until_end(shell, command)
        except NotFound:
            # The shell is gone, and nothing more is written.
            pass
        tasks.cancel_scope.cancel()
    return sent


async def _rest(core: Core, at: _At, path: str, start: int) -> AsyncIterator[bytes]:
    target = f"/files?{urlencode({'path': path})}"
    headers = [("Range", f"bytes={start}-")] if start else []
    try:
        async with core.agents.request(at.reach, "GET", target, headers) as response:
            async for piece in response.body():
                yield piece
    except OutOfRange:
        return


async def _until_end(shell: Process, id: str) -> None:
    """Until the shell says so, or ends."""
    held = b""
    async for kind, payload in shell.frames():
        if kind is Frame.EXIT:
            return
        if kind is Frame.STDOUT:
            *lines, held = (held + payload).split(b"\n")
            if any(line.startswith(f"end {id} ".encode()) for line in lines):
                return


async def _at(core: Core, actor: Actor, ref: str, session: str) -> _At:
    if not ID.fullmatch(session):
        said = "use 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"
        raise Invalid(f"sessionId: {said}", [FieldError("sessionId", said)])
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    core.journal.used(workspace.id, core.clock())
    return _At(workspace, Reach.of(workspace), TAG + session, f"{PLACE}/{session}")


def _place(at: _At, command: str) -> str:
    if not COMMAND_ID.fullmatch(command):
        raise NotFound(f"there is no command {command[:64]!r}")
    return f"{at.place}/{command}"


async def _runs(core: Core, at: _At) -> bool:
    return any(one.tag == at.tag for one in await tagged.running(core, at.reach, prefix=at.tag))


async def _must_run(core: Core, at: _At) -> None:
    if not await _runs(core, at):
        raise NotFound(f"there is no session {at.tag.removeprefix(TAG)!r}")


async def _check(output: tagged.Output) -> None:
    match output.exit_code:
        case 0:
            return
        case 3:
            raise NotFound("there is no such command in this session")
        case 4:
            raise Ended("the command has ended and reads no more")
        case _:
            why = output.stderr[:500].decode(errors="replace").strip()
            raise Conflict(f"the session's files cannot be used: {why}")


def _code(text: bytes) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() and len(text) <= 3 else None


async def _tell(
    core: Core, actor: Actor, at: _At, kind: EventKind, detail: Mapping[str, object]
) -> None:
    core.journal.used(at.workspace.id, core.clock())
    await core.journal.record(event(kind, actor, at.workspace, detail, at=core.clock()))
