"""Terminals that outlive their connection: the shell goes on, and who comes back sees the end
of what it wrote meanwhile.

A terminal is a process of the agent's with a tag. Whoever names a session that runs is attached
to it; otherwise it is started. The agent keeps what a terminal wrote, and who looks at it.
"""

import base64
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import anyio

from alcove.core import tagged
from alcove.core.agent import Call, Reach, View
from alcove.core.app import Core
from alcove.core.frames import Process
from alcove.core.intents import event
from alcove.core.live_sessions import held
from alcove.core.recordings import recorded
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.live_session import LiveKind
from alcove.model.recording import SessionKind
from alcove.model.workspace import Workspace

SESSION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
SHELL: Final = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')
TERM: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
NAME_MAX: Final = 64
TAG: Final = "terminal:"
"""Before the session, in the agent's table of processes."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """One that runs."""

    session: str
    name: str
    """What people called it; empty if nobody did."""
    title: str
    """What its program calls it, such as `vim: notes.txt`. Whatever wrote it is not trusted."""
    pid: int
    viewers: int
    columns: int
    rows: int
    started_at: datetime


@asynccontextmanager
async def open_terminal(
    core: Core,
    actor: Actor,
    ref: str,
    *,
    session: str,
    size: tuple[int, int],
    command: Sequence[str] = SHELL,
    view: View | None = None,
) -> AsyncGenerator[Process]:
    """Attach to the session, or start it. Raises Conflict unless the workspace is running.

    Raises SessionEnded when somebody ends this connection; the terminal goes on.
    With `view`, STARTED says where the output begins, RESYNC where it goes on after some was
    left out because this viewer was too slow, and RESIZE how large the terminal is for all.
    """
    workspace, reach = await _at(core, actor, ref, session)
    tag = TAG + session
    call = Call(command=command, env=TERM, terminal=size, tag=tag, detach=True, view=view)
    await core.journal.record(_told(EventKind.SESSION_OPENED, core, actor, workspace, session))
    try:
        async with (
            _opened(core, reach, call) as process,
            _recorded(core, actor, workspace, process, session, size) as watched,
        ):
            with held(core, actor, workspace, LiveKind.TERMINAL, terminal=session):
                yield watched
    finally:
        with anyio.CancelScope(shield=True):
            closed = _told(EventKind.SESSION_CLOSED, core, actor, workspace, session)
            await core.journal.record(closed)


async def find(core: Core, actor: Actor, ref: str) -> Sequence[Terminal]:
    """Those that run, oldest first."""
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    answer = await core.agents.json(Reach.of(workspace), "GET", f"/alcove/terminals?prefix={TAG}")
    try:
        listed: Sequence[Mapping[str, Any]] = answer["terminals"]
        found = [_terminal(said) for said in listed]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable("the agent's list of terminals cannot be read") from error
    return sorted(found, key=lambda one: one.started_at)


async def rename(core: Core, actor: Actor, ref: str, session: str, name: str) -> None:
    """Call it something else; the session stays what it is. Raises NotFound when none runs."""
    _, reach = await _at(core, actor, ref, session)
    try:
        said = {"tag": TAG + session, "label": name}
        await core.agents.json(reach, "POST", "/alcove/terminals", said)
    except NotFound as error:
        raise _no_such(session) from error


async def close(core: Core, actor: Actor, ref: str, session: str) -> None:
    """End it, with all that runs in it. One that has ended is fine."""
    workspace, reach = await _at(core, actor, ref, session)
    with suppress(NotFound):
        await tagged.kill(core, reach, TAG + session)
    core.journal.used(workspace.id, core.clock())


async def _at(core: Core, actor: Actor, ref: str, session: str) -> tuple[Workspace, Reach]:
    if not SESSION.fullmatch(session):
        said = "use 1 to 64 letters, digits, dots, dashes and underscores"
        raise Invalid(f"session: {said}", [FieldError("session", said)])
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    core.journal.used(workspace.id, core.clock())
    return workspace, Reach.of(workspace)


@asynccontextmanager
async def _opened(core: Core, reach: Reach, call: Call) -> AsyncGenerator[Process]:
    """Attached, else started, else attached: somebody else may start it in between."""
    try:
        async with _once_refused(_attached(core, reach, call), NotFound) as process:
            yield process
            return
    except _Refused:
        pass
    try:
        async with _once_refused(core.agents.process(reach, call), Conflict) as process:
            yield process
            return
    except _Refused:
        pass
    async with _attached(core, reach, call) as process:
        yield process


class _Refused(Exception):
    """Raised before anything is yielded, so that it cannot be one of the caller's own errors."""


@asynccontextmanager
async def _once_refused(
    opening: AbstractAsyncContextManager[Process], refusal: type[Exception]
) -> AsyncGenerator[Process]:
    try:
        process = await opening.__aenter__()
    except refusal as error:
        raise _Refused from error
    try:
        yield process
    finally:
        await opening.__aexit__(None, None, None)


@asynccontextmanager
async def _attached(core: Core, reach: Reach, call: Call) -> AsyncGenerator[Process]:
    asked: dict[str, Any] = {"tag": call.tag}
    if call.view is not None and call.terminal is not None:
        size = {"cols": call.terminal[0], "rows": call.terminal[1]}
        asked |= {"view": call.view.body(), "pty": size}
    said = base64.b64encode(json.dumps(asked).encode()).decode()
    headers = [("X-Alcove-Process", said)]
    async with core.agents.stream(reach, "attach=1&replay=1", headers) as stream:
        yield Process(stream)


def _recorded(
    core: Core,
    actor: Actor,
    workspace: Workspace,
    process: Process,
    session: str,
    size: tuple[int, int],
) -> AbstractAsyncContextManager[Process]:
    kind = SessionKind.TERMINAL
    return recorded(core, actor, workspace, process, kind=kind, title=session, size=size)


def _terminal(said: Mapping[str, Any]) -> Terminal:
    """What the agent says is bounded here too: it runs where it could be meddled with."""
    found = Terminal(
        session=str(said["tag"]).removeprefix(TAG),
        name=_shown(said["label"]),
        title=_shown(said["title"]),
        pid=int(said["pid"]),
        viewers=int(said["viewers"]),
        columns=int(said["cols"]),
        rows=int(said["rows"]),
        started_at=datetime.fromisoformat(str(said["started_at"])),
    )
    if not SESSION.fullmatch(found.session) or found.started_at.tzinfo is None:
        raise ValueError("that is none of ours")
    return replace(found, viewers=max(0, found.viewers))


def _shown(text: object) -> str:
    return "".join(c for c in str(text)[:256] if c.isprintable())


def _no_such(session: str) -> NotFound:
    return NotFound(f"no terminal {session!r} runs here")


def _told(
    kind: EventKind, core: Core, actor: Actor, workspace: Workspace, session: str
) -> NewEvent:
    detail = {"kind": "terminal", "session": session}
    return event(kind, actor, workspace, detail, at=core.clock())
