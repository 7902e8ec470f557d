"""Terminals with a name, that go on without anybody attached. Kept by the agent under a tag;
what they were started with stands in their environment, so that it is known after a restart."""

import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from alcove.core import tagged
from alcove.core.agent import Call, Reach
from alcove.core.app import Core
from alcove.core.frames import Frame, Process
from alcove.core.intents import event
from alcove.core.live_sessions import held
from alcove.core.recordings import recorded
from alcove.core.terminals import SHELL
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, NotFound
from alcove.model.event import EventKind, NewEvent
from alcove.model.live_session import LiveKind
from alcove.model.recording import SessionKind
from alcove.model.workspace import Workspace

ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
SIDE_MAX: Final = 4096
TAG: Final = "pty:"
_SINCE: Final = "ALCOVE_PTY_SINCE"
_NAMES: Final = "ALCOVE_PTY_ENV"
"""The names of the variables that its maker asked for."""
_SIZES: Final = 'for p; do stty size <"/proc/$p/fd/0" 2>/dev/null || echo 0 0; done'


@dataclass(frozen=True, slots=True)
class Pty:
    """`columns` and `rows` as they are now."""

    id: str
    cwd: str
    env: Mapping[str, str]
    columns: int
    rows: int
    created_at: datetime


async def create(
    core: Core,
    actor: Actor,
    ref: str,
    id: str,
    *,
    size: tuple[int, int],
    cwd: str | None,
    env: Mapping[str, str],
) -> None:
    """Start a login shell in a terminal. Raises Conflict when there is one of that name."""
    workspace, reach = await _at(core, actor, ref, id)
    check_size(size)
    ours = {
        "TERM": "xterm-256color",
        **env,
        _SINCE: core.clock().isoformat(),
        _NAMES: " ".join(env),
    }
    call = Call(command=SHELL, env=ours, cwd=cwd, terminal=size, tag=TAG + id, detach=True)
    await tagged.start(core, reach, call)
    await core.journal.record(_opened(core, actor, workspace, id))


@asynccontextmanager
async def connect(core: Core, actor: Actor, ref: str, id: str) -> AsyncGenerator[Process]:
    """Its output, the end of what it wrote before first. Raises NotFound, and SessionEnded
    when somebody ends this connection; the terminal goes on."""
    workspace, reach = await _at(core, actor, ref, id)
    async with tagged.attached(core, reach, TAG + id, replay=True) as process:
        await core.journal.record(_opened(core, actor, workspace, id))
        size = await _size_of(core, reach, id)
        async with recorded(
            core, actor, workspace, process, kind=SessionKind.TERMINAL, title=id, size=size
        ) as watched:
            with held(core, actor, workspace, LiveKind.TERMINAL, terminal=id):
                yield watched


async def find(core: Core, actor: Actor, ref: str) -> Sequence[Pty]:
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    return await _found(core, Reach.of(workspace), TAG)


async def get(core: Core, actor: Actor, ref: str, id: str) -> Pty:
    """Raises NotFound, also for one whose shell has ended."""
    _, reach = await _at(core, actor, ref, id)
    for found in await _found(core, reach, TAG + id):
        if found.id == id:
            return found
    raise NotFound(f"there is no terminal {id!r}")


async def resize(core: Core, actor: Actor, ref: str, id: str, *, size: tuple[int, int]) -> Pty:
    _, reach = await _at(core, actor, ref, id)
    check_size(size)
    said = json.dumps({"cols": size[0], "rows": size[1]}).encode()
    async with tagged.attached(core, reach, TAG + id) as process:
        await process.send(Frame.RESIZE, said)
    found = await get(core, actor, ref, id)
    return Pty(found.id, found.cwd, found.env, size[0], size[1], found.created_at)


async def kill(core: Core, actor: Actor, ref: str, id: str) -> None:
    """End the shell with all that runs in it. Raises NotFound."""
    _, reach = await _at(core, actor, ref, id)
    await tagged.kill(core, reach, TAG + id)


def check_size(size: tuple[int, int]) -> None:
    """Raises Invalid, naming the side that no terminal has."""
    for name, value in zip(("cols", "rows"), size, strict=True):
        if not 1 <= value <= SIDE_MAX:
            said = f"must be between 1 and {SIDE_MAX}"
            raise Invalid(f"{name}: {said}", [FieldError(name, said)])


async def _at(core: Core, actor: Actor, ref: str, id: str) -> tuple[Workspace, Reach]:
    if not ID.fullmatch(id):
        said = "use 1 to 64 letters, digits, dots, dashes and underscores"
        raise Invalid(f"id: {said}", [FieldError("id", said)])
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    core.journal.used(workspace.id, core.clock())
    return workspace, Reach.of(workspace)


async def _size_of(core: Core, reach: Reach, id: str) -> tuple[int, int]:
    """Columns and rows; what is usual when it has ended meanwhile."""
    for found in await _found(core, reach, TAG + id):
        if found.id == id and found.columns and found.rows:
            return found.columns, found.rows
    return 80, 24


async def _found(core: Core, reach: Reach, prefix: str) -> Sequence[Pty]:
    processes = await tagged.running(core, reach, prefix=prefix)
    if not processes:
        return []
    said = await tagged.step(core, reach, _SIZES, *(str(one.pid) for one in processes))
    sizes = [line.split() for line in said.stdout.decode(errors="replace").splitlines()]
    return [_pty(one, _size(size)) for one, size in zip(processes, sizes, strict=False)]


def _pty(one: tagged.Tagged, size: tuple[int, int]) -> Pty:
    names = one.env.get(_NAMES, "").split()
    try:
        since = datetime.fromisoformat(one.env.get(_SINCE, ""))
    except ValueError:
        since = datetime.fromtimestamp(0, UTC)
    return Pty(
        id=one.tag.removeprefix(TAG),
        cwd=one.cwd,
        env={name: one.env[name] for name in names if name in one.env},
        columns=size[1],
        rows=size[0],
        created_at=since,
    )


def _size(words: Sequence[str]) -> tuple[int, int]:
    """Rows and columns, as `stty` says them."""
    match words:
        case [rows, columns] if rows.isdigit() and columns.isdigit():
            return int(rows), int(columns)
        case _:
            return 0, 0


def _opened(core: Core, actor: Actor, workspace: Workspace, id: str) -> NewEvent:
    detail = {"kind": "terminal", "session": id}
    return event(EventKind.SESSION_OPENED, actor, workspace, detail, at=core.clock())
