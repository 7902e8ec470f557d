"""`/workspaces/{workspace}/processes`: what goes on when its client has gone; watching files."""

import base64
from typing import Annotated, Final, TypeAlias

from fastapi import Path, Query
from pydantic import BeforeValidator, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf, Wait, WorkspaceRef
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.routing import router
from alcove.api.sockets import carry, frames_in, frames_out, guarded
from alcove.api.streaming import EVENT_STREAM, Streaming, Writer, closing
from alcove.core import access, background, watches
from alcove.core.agent import Reach
from alcove.core.background import Look
from alcove.core.standing import still_allowed
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.units import parse_duration
from alcove.wire.base import DURATION_PATTERN
from alcove.wire.processes import (
    BackgroundProcess,
    BackgroundProcesses,
    FileChange,
    NewProcess,
    ProcessLook,
    ProcessSignal,
)

routes = router("exec")
GRACE_S: Final = 5
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
Tag: TypeAlias = Annotated[str, Path(alias="process", max_length=64, description="Its tag.")]
_EXAMPLE: Final = 'event: change\ndata: {"change":"written","path":"src/main.py"}\n\n'


def _grace(text: object) -> object:
    seconds = parse_duration(str(text)[:64])
    if seconds > background.GRACE_MAX_S:
        raise ValueError(f"must be at most {background.GRACE_MAX_S}s")
    return seconds


Grace: TypeAlias = Annotated[
    int,
    BeforeValidator(_grace),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["5s"]}),
    Query(description="Between SIGTERM and SIGKILL (at most 60s)."),
]


@routes.get("/workspaces/{workspace}/processes", **documents(BackgroundProcesses, 404, 409))
async def find(core: CoreOf, actor: Runner, ref: WorkspaceRef) -> Response:
    """Those in the background that run now."""
    found = await background.running(core, actor, ref)
    items = [BackgroundProcess(tag=p.tag, pid=p.pid, command=p.command) for p in found]
    return answer(BackgroundProcesses(items=items))


@routes.post(
    "/workspaces/{workspace}/processes",
    **documents(BackgroundProcess, 400, 404, 409, 413, 415, status=201),
)
async def start(
    request: Request,
    core: CoreOf,
    actor: Runner,
    ref: WorkspaceRef,
    new: Annotated[NewProcess, body(NewProcess)],
    key: IdempotencyKey = None,
) -> Response:
    """Start one in the background. What it writes is kept in a file in the workspace."""

    async def act() -> Response:
        made = await background.start(
            core,
            actor,
            ref,
            line=new.command,
            cwd=new.cwd,
            env=new.env,
            tag=new.tag,
            user=new.user,
            stdin=new.stdin,
        )
        return answer(BackgroundProcess(tag=made.tag, pid=made.pid, command=made.command), 201)

    return await once(request, actor, key, act)


@routes.get("/workspaces/{workspace}/processes/{process}", **documents(ProcessLook, 404, 409))
async def look(
    core: CoreOf,
    actor: Runner,
    ref: WorkspaceRef,
    tag: Tag,
    after: Annotated[
        int | None, Query(ge=0, le=2**53, description="Output from this byte on; else its end.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=background.OUTPUT_MAX)] = 65536,
    wait: Wait = 0,
) -> Response:
    """How it is and what it wrote, also after its end. With `wait` (at most 60s count) the
    answer waits for output beyond `after`, or the end."""
    found = await background.look(
        core, actor, ref, tag, after=after, limit=limit, wait_s=min(wait, background.WAIT_MAX_S)
    )
    return answer(_shown(found))


@routes.delete(
    "/workspaces/{workspace}/processes/{process}", **documents(None, 404, 409, status=204)
)
async def stop(
    core: CoreOf, actor: Runner, ref: WorkspaceRef, tag: Tag, grace: Grace = GRACE_S
) -> Response:
    """End it, with all that it started. One that has ended is fine."""
    await background.stop(core, actor, ref, tag, grace_s=grace)
    return nothing()


@routes.post(
    "/workspaces/{workspace}/processes/{process}/signal",
    **documents(None, 400, 404, 409, 413, 415, status=204),
)
async def signal(
    core: CoreOf,
    actor: Runner,
    ref: WorkspaceRef,
    tag: Tag,
    asked: Annotated[ProcessSignal, body(ProcessSignal)],
) -> Response:
    """Send a signal to its process group."""
    await background.signal(core, actor, ref, tag, asked.signal)
    return nothing()


@routes.websocket("/workspaces/{workspace}/processes/{process}/attach")
async def attach(
    socket: WebSocket, core: CoreOf, actor: Runner, ref: WorkspaceRef, tag: Tag
) -> None:
    """Its stdin and its end, in the messages of `GET …/exec`; its output is asked for with
    `GET …/processes/{process}`. Leaving does not end it."""
    Reach.of(await access.workspace(core, actor, ref, Permission.WORKSPACE_EXEC))

    async def serve() -> None:
        async with background.attached(core, actor, ref, tag) as live:
            await socket.accept()
            await carry(
                frames_out(live, socket), frames_in(live, socket), still_allowed(core, actor)
            )

    await guarded(socket, serve)


@routes.get(
    "/workspaces/{workspace}/files/watch",
    **documents(None, 404, 409, events=_EXAMPLE, description="Changes, as they happen"),
)
async def watch(
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_FILES)],
    ref: WorkspaceRef,
    path: Annotated[str, Query(min_length=1, max_length=watches.PATH_MAX)] = ".",
    recursive: bool = False,
) -> Response:
    """Server-sent events: `ready` once watching has begun, then each `change`."""

    async def fill(writer: Writer) -> None:
        opened = watches.watch(core, actor, ref, path, recursive=recursive)
        async with opened as found, closing(found) as changes:
            ready = False
            async for seen in changes:
                if not ready:
                    ready = True
                    await writer.event("ready", "{}")
                if seen is not None:
                    change = FileChange(change=seen.change.value, path=seen.path)
                    await writer.event("change", change)

    return Streaming(core, actor, fill, media_type=EVENT_STREAM)


def _shown(found: Look) -> ProcessLook:
    """A character that is cut in two at the end of the piece is left to the next one."""
    data = found.output
    try:
        text, encoding = data.decode(), "utf-8"
    except UnicodeDecodeError as error:
        whole = data[: error.start]
        if error.reason == "unexpected end of data" and whole:
            data, text, encoding = whole, whole.decode(), "utf-8"
        else:
            text, encoding = base64.b64encode(data).decode(), "base64"
    return ProcessLook(
        tag=found.tag,
        state=found.state.value,
        exit_code=found.exit_code,
        output=text,
        encoding="base64" if encoding == "base64" else "utf-8",
        start=found.start,
        end=found.start + len(data),
        size=found.size,
    )
