"""`GET /api/v2/ssh`: SSH through a WebSocket, so that the one HTTPS port is enough.

The bearer token is the proof, so that SSH's own method is `none`. Raw bytes of the protocol go
both ways in binary messages. The answer that opens the WebSocket names the gateway's host keys:
the server's TLS and the token vouch for them.
"""

from typing import Annotated, Final, TypeAlias

import anyio
from fastapi import APIRouter, Query
from starlette.websockets import WebSocket, WebSocketDisconnect

from alcove.core import access
from alcove.core.app import Core
from alcove.gateway.server import Gateway
from alcove.http.access import core_of, needs
from alcove.http.problem import refuse_socket
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, Invalid

PATH: Final = "/api/v2/ssh"
HOST_KEYS: Final = b"alcove-host-key"
REF_MAX: Final = 128
Comer: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]


class Messages:
    """The WebSocket as a `ByteStream`; one task reads it, one writes."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._left = b""

    async def send(self, item: bytes, /) -> None:
        try:
            await self._socket.send_bytes(item)
        except (RuntimeError, WebSocketDisconnect) as error:
            raise anyio.BrokenResourceError from error

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        while not self._left:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise anyio.EndOfStream
            data = message.get("bytes")
            if not isinstance(data, bytes):
                raise anyio.BrokenResourceError
            if not data:
                # As with ports: nothing more comes from there.
                raise anyio.EndOfStream
            self._left = data
        piece, self._left = self._left[:max_bytes], self._left[max_bytes:]
        return piece

    async def send_eof(self) -> None:
        """A WebSocket has no half."""

    async def aclose(self) -> None:
        try:
            await self._socket.close()
        except (RuntimeError, WebSocketDisconnect):
            return


def routes(gateway: Gateway) -> APIRouter:
    """A router with the one address."""
    router = APIRouter()

    @router.websocket(PATH)
    async def ssh(  # pyright: ignore[reportUnusedFunction]
        socket: WebSocket,
        actor: Comer,
        workspace: Annotated[str | None, Query(max_length=REF_MAX)] = None,
    ) -> None:
        """`workspace` is what is meant, whatever the login name says."""
        await _check(core_of(socket), actor, socket, workspace)
        await socket.accept(headers=[(HOST_KEYS, gateway.host_keys.encode())])
        stream = Messages(socket)
        try:
            await gateway.handle(actor, stream, workspace=workspace)
        except AlcoveError as error:
            await refuse_socket(socket, error)
        else:
            await stream.aclose()

    return router


async def _check(core: Core, actor: Actor, socket: WebSocket, workspace: str | None) -> None:
    """What can be refused before the upgrade, is."""
    if unknown := sorted(set(socket.query_params) - {"workspace"}):
        raise Invalid(f"{unknown[0][:64]}: there is no such query parameter; there is workspace")
    if workspace is not None:
        await access.workspace(core, actor, workspace, Permission.WORKSPACE_READ)
