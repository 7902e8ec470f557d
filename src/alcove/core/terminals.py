"""Terminals that outlive their connection: the shell goes on, and who comes back sees the end
of what it wrote meanwhile.

A terminal is a process of the agent's with a tag. Whoever names a session that runs is attached
to it; otherwise it is started.
"""

import base64
import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from alcove.core.agent import Call, Process, Reach
from alcove.core.app import Core
from alcove.core.recordings import recorded
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, NotFound
from alcove.model.event import EventKind, NewEvent
from alcove.model.recording import SessionKind
from alcove.model.workspace import Workspace

SESSION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
SHELL: Final = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')


@asynccontextmanager
async def open_terminal(
    core: Core,
    actor: Actor,
    ref: str,
    *,
    session: str,
    size: tuple[int, int],
    command: Sequence[str] = SHELL,
) -> AsyncGenerator[Process]:
    """Attach to the session, or start it. Raises Conflict unless the workspace is running."""
    if not SESSION.fullmatch(session):
        said = "use 1 to 64 letters, digits, dots, dashes and underscores"
        raise Invalid(f"session: {said}", [FieldError("session", said)])
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    reach = Reach.of(workspace)
    tag = f"terminal:{session}"
    await core.journal.record(_opened(core, actor, workspace, session))
    core.journal.used(workspace.id, core.clock())
    try:
        async with (
            _attached(core, reach, tag) as process,
            _recorded(core, actor, workspace, process, session, size) as watched,
        ):
            yield watched
            return
    except _NoSuchSession:
        pass
    call = Call(
        command=command, env={"TERM": "xterm-256color"}, terminal=size, tag=tag, detach=True
    )
    async with (
        core.agents.process(reach, call) as process,
        _recorded(core, actor, workspace, process, session, size) as watched,
    ):
        yield watched


class _NoSuchSession(Exception):
    """Raised before anything is yielded, so that it cannot be one of the caller's own errors."""


@asynccontextmanager
async def _attached(core: Core, reach: Reach, tag: str) -> AsyncGenerator[Process]:
    said = base64.b64encode(json.dumps({"tag": tag}).encode()).decode()
    headers = [("X-Alcove-Process", said)]
    opened = core.agents.stream(reach, "attach=1&replay=1", headers)
    try:
        stream = await opened.__aenter__()
    except NotFound as error:
        raise _NoSuchSession from error
    try:
        yield Process(stream)
    finally:
        await opened.__aexit__(None, None, None)


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


def _opened(core: Core, actor: Actor, workspace: Workspace, session: str) -> NewEvent:
    return NewEvent(
        EventKind.SESSION_OPENED,
        actor=actor.id,
        subject=workspace.id,
        owner=workspace.owner,
        detail={"kind": "terminal", "name": workspace.name, "session": session},
        address=actor.address,
        request_id=actor.request_id,
        at=core.clock(),
    )
