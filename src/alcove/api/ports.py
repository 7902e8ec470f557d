"""`/workspaces/{workspace}/ports`: what listens, sharing, links, and the bytes themselves."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

import anyio
from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.listing import ports_of, shown
from alcove.api.routing import router
from alcove.api.sockets import carry, guarded
from alcove.core import access, identity, ports
from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.core.live_sessions import held
from alcove.core.standing import still_allowed
from alcove.drivers.base import ByteStream
from alcove.http.access import needs
from alcove.http.addresses import link_url
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.live_session import LiveKind
from alcove.model.port import PORT_MAX
from alcove.model.workspace import Workspace
from alcove.wire.ports import NewPortLink, Port, PortLink, Ports, PortShare

routes = router("ports")
READ_SIZE: Final = 64 * 1024
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
Updater: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Number: TypeAlias = Annotated[int, Path(alias="port", ge=1, le=PORT_MAX)]


@routes.get("/workspaces/{workspace}/ports", **documents(Ports, 404))
async def find(core: CoreOf, actor: Reader, ref: WorkspaceRef) -> Response:
    """TCP ports that something inside listens on now, and those that are shared."""
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_READ)
    found = await ports_of(core, workspace, owner=await _owner(core, workspace))
    return answer(Ports(items=found))


@routes.post("/workspaces/{workspace}/ports/{port}/share", **documents(Port, 400, 404, 413, 415))
async def share(
    core: CoreOf,
    actor: Updater,
    ref: WorkspaceRef,
    port: Number,
    asked: Annotated[PortShare, body(PortShare)],
) -> Response:
    """Say who may open the port, instead of what was said before. Repeating it is fine."""
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    made = await ports.share(core, actor, workspace.id, port, level=asked.level, ttl_s=asked.ttl)
    return answer(shown(core, workspace, port, made, owner=await _owner(core, workspace)))


@routes.delete("/workspaces/{workspace}/ports/{port}/share", **documents(None, 404, status=204))
async def unshare(core: CoreOf, actor: Updater, ref: WorkspaceRef, port: Number) -> Response:
    """Make it private again: others' connections end within seconds. Links stay good."""
    await ports.unshare(core, actor, ref, port)
    return nothing()


@routes.post(
    "/workspaces/{workspace}/ports/{port}/links",
    **documents(PortLink, 400, 404, 409, 413, 415, status=201),
)
async def link(
    request: Request,
    core: CoreOf,
    actor: Updater,
    ref: WorkspaceRef,
    port: Number,
    asked: Annotated[NewPortLink, body(NewPortLink, optional=True)],
    key: IdempotencyKey = None,
) -> Response:
    """Make a link that opens the port for whoever has it, until it expires, its maker may no
    longer share the workspace, or the workspace is deleted."""

    async def act() -> Response:
        workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
        made = await ports.sign(
            core, actor, workspace, port, ttl_s=asked.ttl, path_prefix=asked.path
        )
        owner = await _owner(core, workspace)
        url = link_url(core.settings, made, workspace, owner=owner)
        until = datetime.fromtimestamp(made.expires, UTC)
        return answer(PortLink(url=url, token=made.token, expires_at=until), 201)

    return await once(request, actor, key, act, holds_secret=True)


@routes.websocket("/workspaces/{workspace}/ports/{port}/connect")
async def connect(
    socket: WebSocket, core: CoreOf, actor: Runner, ref: WorkspaceRef, port: Number
) -> None:
    """The bytes of one TCP connection to the port, as binary messages. An empty one is the end
    of that direction; the other goes on."""
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_EXEC)
    Reach.of(workspace)

    async def serve() -> None:
        async with ports.open(core, workspace, port) as stream:
            await socket.accept()
            address = actor.address
            await ports.opened(core, actor, workspace, port, address=address, by="tunnel")
            with held(core, actor, workspace, LiveKind.TUNNEL, port=port):
                await carry(_both(stream, socket), still_allowed(core, actor))

    await guarded(socket, serve)


async def _both(stream: ByteStream, socket: WebSocket) -> None:
    """Until both directions have ended, or one broke."""
    failed: list[Exception] = []

    async def inward() -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while data := await _binary(socket):
                await stream.send(data)
            await stream.send_eof()

    async def outward() -> None:
        try:
            while True:
                await socket.send_bytes(await stream.receive(READ_SIZE))
        except anyio.EndOfStream:
            await socket.send_bytes(b"")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            tasks.cancel_scope.cancel()

    async def one(way: object) -> None:
        try:
            await (inward() if way == "in" else outward())
        except Exception as error:
            failed.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, "in")
        tasks.start_soon(one, "out")
    if failed:
        raise failed[0]


async def _binary(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1005)
    return bytes(message.get("bytes") or b"")


async def _owner(core: Core, workspace: Workspace) -> str:
    return (await identity.names(core, [workspace.owner]))[workspace.owner]
