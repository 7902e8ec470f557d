"""`process/pty/…`: terminals that are reached over a WebSocket and go on without one."""

import base64
import binascii
import json as text
from typing import Annotated, Final, TypeAlias

import anyio
from fastapi import Path, Query
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona import shapes
from alcove.api.compat.daytona.creating import Asked
from alcove.api.compat.daytona.routing import TOOLBOX, SandboxRef, json, router
from alcove.api.compat.daytona.sockets import close, guarded, until_closed
from alcove.core import ptys
from alcove.core.app import Core
from alcove.core.execs import read_exit
from alcove.core.frames import Frame, Process
from alcove.core.names import made_up_name
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid
from alcove.wire.base import Env

routes = router(TOOLBOX + "/{sandbox}/process/pty")
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
PtyId: TypeAlias = Annotated[str, Path(alias="pty", max_length=128)]
CONTROL: Final = "X-Daytona-Pty-Exit-Control"
"""A client that offers it is told of the exit in a message, and else in the close."""
ENVS: Final = "X-Daytona-Pty-Envs~"
FAILED: Final = 4001
MESSAGE_MAX: Final = 64 << 10
_ENV: Final = TypeAdapter[dict[str, str]](Env)


class CreatePty(Asked):
    id: str | None = None
    cwd: str | None = None
    envs: Env | None = None
    cols: int | None = None
    rows: int | None = None
    lazy_start: bool | None = None


class ResizePty(Asked):
    cols: int
    rows: int


@routes.post("")
async def create(
    core: CoreOf, actor: Runner, ref: SandboxRef, asked: Annotated[CreatePty, body(CreatePty)]
) -> Response:
    """It starts at once, also when it was to wait for the first connection."""
    id = asked.id or made_up_name()
    size = (asked.cols or 80, asked.rows or 24)
    env = asked.envs or {}
    await ptys.create(core, actor, ref, id, size=size, cwd=asked.cwd or None, env=env)
    return json({"sessionId": id}, 201)


@routes.get("")
async def find(core: CoreOf, actor: Runner, ref: SandboxRef) -> Response:
    return json({"sessions": [_shown(one) for one in await ptys.find(core, actor, ref)]})


@routes.get("/{pty}")
async def get(core: CoreOf, actor: Runner, ref: SandboxRef, id: PtyId) -> Response:
    return json(_shown(await ptys.get(core, actor, ref, id)))


@routes.post("/{pty}/resize")
async def resize(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    id: PtyId,
    asked: Annotated[ResizePty, body(ResizePty)],
) -> Response:
    size = (asked.cols, asked.rows)
    return json(_shown(await ptys.resize(core, actor, ref, id, size=size)))


@routes.delete("/{pty}")
async def kill(core: CoreOf, actor: Runner, ref: SandboxRef, id: PtyId) -> Response:
    await ptys.kill(core, actor, ref, id)
    return json({"message": f"terminal {id} was ended"})


@routes.websocket("/create-connect")
async def create_connect(
    socket: WebSocket,
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    id: Annotated[str, Query(max_length=128)],
    cols: Annotated[int, Query()] = 80,
    rows: Annotated[int, Query()] = 24,
    cwd: Annotated[str | None, Query(max_length=4096)] = None,
) -> None:
    """Make one and be connected to it. Its environment comes in a subprotocol's name, because
    an address is written into logs."""

    async def serve() -> None:
        env = _env(socket)
        await ptys.create(core, actor, ref, id, size=(cols, rows), cwd=cwd or None, env=env)
        await _connected(socket, core, actor, ref, id)

    await guarded(socket, serve)


@routes.websocket("/{pty}/connect")
async def connect(
    socket: WebSocket, core: CoreOf, actor: Runner, ref: SandboxRef, id: PtyId
) -> None:
    await guarded(socket, lambda: _connected(socket, core, actor, ref, id))


async def _connected(socket: WebSocket, core: Core, actor: Actor, ref: str, id: str) -> None:
    control = CONTROL in _offered(socket)
    async with ptys.connect(core, actor, ref, id) as live:
        await socket.accept(CONTROL if control else None)
        await socket.send_text(text.dumps({"type": "control", "status": "connected"}))
        ended: list[dict[str, object]] = []

        async def out() -> None:
            async for kind, payload in live.frames():
                if kind is Frame.STDOUT:
                    await socket.send_bytes(payload)
                elif kind is Frame.EXIT:
                    said = read_exit(payload)
                    ended.append({"exitCode": said.exit_code})
                    if said.signal:
                        ended[0]["exitReason"] = f"ended by {said.signal}"
                    return

        await until_closed(core, actor, socket, out, lambda: _typed(live, socket))
    if not ended:
        return
    if control:
        said = {"type": "control", "status": "exited", **ended[0]}
        await socket.send_text(text.dumps(said))
    # Older clients read the reason of a close only when its code is not the ordinary one.
    code = 1000 if control or ended[0]["exitCode"] == 0 else FAILED
    await close(socket, code, text.dumps(ended[0]))


async def _typed(live: Process, socket: WebSocket) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        data = message.get("bytes")
        if data is None:
            data = str(message.get("text") or "").encode(errors="replace")
        if len(data) > MESSAGE_MAX:
            raise Invalid(f"a message has at most {MESSAGE_MAX} bytes")
        try:
            await live.send(Frame.STDIN, data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # It has ended; how comes the other way.
            continue


def _env(socket: WebSocket) -> dict[str, str]:
    """Raises Invalid for what is not base64url of a JSON object of texts."""
    for offered in _offered(socket):
        if offered.startswith(ENVS):
            said = offered.removeprefix(ENVS)
            try:
                raw = base64.b64decode(
                    said + "=" * (-len(said) % 4), altchars=b"-_", validate=True
                )
                return _ENV.validate_json(raw)
            except (binascii.Error, ValidationError, ValueError):
                why = "must be base64url of a JSON object of texts"
                raise Invalid(f"envs: {why}", [FieldError("envs", why)]) from None
    return {}


def _offered(socket: WebSocket) -> list[str]:
    found: list[str] = list(socket.scope.get("subprotocols") or ())
    return found


def _shown(pty: ptys.Pty) -> dict[str, object]:
    return {
        "id": pty.id,
        "cwd": pty.cwd,
        "envs": dict(pty.env),
        "cols": pty.columns,
        "rows": pty.rows,
        "createdAt": shapes.stamp(pty.created_at),
        "active": True,
        "lazyStart": False,
    }
