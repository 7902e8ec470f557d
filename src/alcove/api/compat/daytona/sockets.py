"""What this API's WebSockets have in common."""

from collections.abc import Awaitable, Callable
from typing import cast

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from alcove.api.compat.daytona.errors import Refused, refuse_socket
from alcove.core.app import Core
from alcove.core.standing import still_allowed
from alcove.http.problem import HttpError
from alcove.model.access import Actor
from alcove.model.errors import AlcoveError


async def guarded(socket: WebSocket, serve: Callable[[], Awaitable[None]]) -> None:
    """Say in Daytona's words what goes wrong, and close in the end."""
    try:
        await serve()
    except WebSocketDisconnect:
        return
    except Exception as error:
        error = _first(error)
        if isinstance(error, WebSocketDisconnect):
            return
        await refuse_socket(socket, error)
        if not isinstance(error, AlcoveError | HttpError | Refused):
            raise
    else:
        await close(socket)


async def until_closed(
    core: Core, actor: Actor, socket: WebSocket, *ways: Callable[[], Awaitable[None]]
) -> None:
    """Run these side by side until the first ends, the client goes, or may not any more."""
    failed: list[Exception] = []

    async def one(way: Callable[[], Awaitable[None]]) -> None:
        try:
            await way()
        except Exception as error:
            failed.append(error)
        tasks.cancel_scope.cancel()

    async def client() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    async with anyio.create_task_group() as tasks:
        for way in ways:
            tasks.start_soon(one, way)
        if len(ways) == 1:
            tasks.start_soon(one, client)
        tasks.start_soon(one, lambda: still_allowed(core, actor))
    if failed:
        raise failed[0]


async def close(socket: WebSocket, code: int = 1000, reason: str = "") -> None:
    try:
        await socket.close(code, reason)
    except (RuntimeError, WebSocketDisconnect):
        # The client has gone meanwhile.
        return


def _first(error: Exception) -> Exception:
    """What is in a group of one: a task group of a verb's wraps what is raised inside it."""
    found: BaseException = error
    while isinstance(found, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", found)
        found = group.exceptions[0]
    return found if isinstance(found, Exception) else error
