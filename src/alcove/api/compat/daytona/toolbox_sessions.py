"""`process/session/…`: shells that keep their state from a command to the next."""

from typing import Annotated, Final, TypeAlias

from fastapi import Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona.creating import Asked
from alcove.api.compat.daytona.errors import Refused
from alcove.api.compat.daytona.routing import TOOLBOX, SandboxRef, json, router
from alcove.api.compat.daytona.sockets import guarded, until_closed
from alcove.core import access, sessions
from alcove.core.frames import Frame
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.errors import NotFound

routes = router(TOOLBOX + "/{sandbox}/process/session")
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
SessionId: TypeAlias = Annotated[str, Path(alias="session", max_length=128)]
CommandId: TypeAlias = Annotated[str, Path(alias="command", max_length=128)]
BODY_MAX: Final = 4 << 20
PREFIXES: Final = {Frame.STDOUT: b"\x01\x01\x01", Frame.STDERR: b"\x02\x02\x02"}
"""Before each piece of output, in logs that are followed and in what older clients get."""
LOGS_AS_JSON: Final = (0, 167)
"""Clients of this version and later read the parts of a log from JSON."""
ENTRYPOINT: Final = "entrypoint"


class CreateSession(Asked):
    session_id: str


class SessionExecute(Asked):
    command: Annotated[str, Field(min_length=1)]
    run_async: bool | None = None
    async_: Annotated[bool | None, Field(alias="async")] = None
    var_async: bool | None = None
    suppress_input_echo: bool | None = None


class SendInput(Asked):
    data: Annotated[str, Field(max_length=1 << 20)]


@routes.post("")
async def create(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[CreateSession, body(CreateSession)],
) -> Response:
    await sessions.create(core, actor, ref, asked.session_id)
    return Response(status_code=201)


@routes.get("")
async def find(core: CoreOf, actor: Runner, ref: SandboxRef) -> Response:
    found = await sessions.find(core, actor, ref)
    return json([await _shown(core, actor, ref, session) for session in found])


@routes.get("/{session}")
async def get(core: CoreOf, actor: Runner, ref: SandboxRef, session: SessionId) -> Response:
    if session == ENTRYPOINT:
        # Ours have no program of their own that began with them; nothing was ever run in it.
        await access.workspace(core, actor, ref, Permission.WORKSPACE_EXEC)
        return json({"sessionId": ENTRYPOINT, "commands": []})
    return json(await _shown(core, actor, ref, session))


@routes.delete("/{session}")
async def delete(core: CoreOf, actor: Runner, ref: SandboxRef, session: SessionId) -> Response:
    await sessions.delete(core, actor, ref, session)
    return Response(status_code=204)


@routes.post("/{session}/exec")
async def execute(
    request: Request,
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    session: SessionId,
    asked: Annotated[SessionExecute, body(SessionExecute, size_max=BODY_MAX)],
) -> Response:
    """Without `runAsync` it is answered when the command has ended."""
    background = bool(asked.run_async or asked.async_ or asked.var_async)
    try:
        ran = await sessions.run(core, actor, ref, session, asked.command, wait=not background)
    except sessions.Ended as error:
        raise Refused(410, "SESSION_ENDED", str(error)) from error
    if background:
        return json({"cmdId": ran.id}, 202)
    return json({"cmdId": ran.id, "exitCode": ran.exit_code, **_parts(request, ran)})


@routes.get("/{session}/command/{command}")
async def command(
    core: CoreOf, actor: Runner, ref: SandboxRef, session: SessionId, id: CommandId
) -> Response:
    for found in await sessions.commands(core, actor, ref, session):
        if found.id == id:
            return json(_command(found))
    raise NotFound(f"there is no command {id[:64]!r} in session {session!r}")


@routes.get("/{session}/command/{command}/logs")
async def logs(
    request: Request,
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    session: SessionId,
    id: CommandId,
) -> Response:
    """What it wrote so far."""
    ran = await sessions.logs(core, actor, ref, session, id)
    if _is_old(request):
        return Response(_marked(ran), media_type="text/plain")
    return json(_parts(request, ran))


@routes.get("/entrypoint/logs")
async def entrypoint_logs(core: CoreOf, actor: Runner, ref: SandboxRef) -> Response:
    await access.workspace(core, actor, ref, Permission.WORKSPACE_EXEC)
    return json({"output": "", "stdout": "", "stderr": ""})


@routes.post("/{session}/command/{command}/input")
async def send_input(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    session: SessionId,
    id: CommandId,
    asked: Annotated[SendInput, body(SendInput, size_max=BODY_MAX)],
) -> Response:
    try:
        await sessions.write(core, actor, ref, session, id, asked.data.encode())
    except sessions.Ended as error:
        raise Refused(410, "COMMAND_ALREADY_COMPLETED", str(error)) from error
    return Response(status_code=204)


@routes.websocket("/{session}/command/{command}/logs")
async def follow(
    socket: WebSocket,
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    session: SessionId,
    id: CommandId,
) -> None:
    """What it wrote and writes, until it ends; each piece after the mark of its kind."""

    async def serve() -> None:
        async with sessions.follow(core, actor, ref, session, id) as pieces:
            await socket.accept()

            async def send() -> None:
                async for kind, piece in pieces:
                    await socket.send_bytes(PREFIXES[kind] + piece)

            await until_closed(core, actor, socket, send)

    await guarded(socket, serve)


async def _shown(core: CoreOf, actor: Actor, ref: str, session: str) -> dict[str, object]:
    found = await sessions.commands(core, actor, ref, session)
    return {"sessionId": session, "commands": [_command(one) for one in found]}


def _command(found: sessions.Command) -> dict[str, object]:
    shown: dict[str, object] = {"id": found.id, "command": found.line}
    if found.exit_code is not None:
        shown["exitCode"] = found.exit_code
    return shown


def _parts(request: Request, ran: sessions.Ran) -> dict[str, str]:
    """`output` is what older clients take apart by its marks."""
    if _is_old(request):
        return {"output": _marked(ran).decode(errors="replace")}
    stdout, stderr = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
    return {"output": stdout + stderr, "stdout": stdout, "stderr": stderr}


def _marked(ran: sessions.Ran) -> bytes:
    parts = ((Frame.STDOUT, ran.stdout), (Frame.STDERR, ran.stderr))
    return b"".join(PREFIXES[kind] + part for kind, part in parts if part)


def _is_old(request: Request) -> bool:
    said = request.headers.get("x-daytona-sdk-version", "").split(".")[:2]
    numbers = tuple(int(part) for part in said if part.isdecimal() and len(part) < 9)
    return len(numbers) == 2 and numbers < LOGS_AS_JSON
