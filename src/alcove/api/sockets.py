"""WebSockets: a process with live streams, and what others that carry processes share.

A refusal is an HTTP answer with a problem as long as there is no WebSocket yet; after that it is
one text message with the problem, and close code 4000. The workspace is read only as fast as the
client reads.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Final, TypeAlias

import anyio
from fastapi import Query
from starlette.websockets import WebSocket, WebSocketDisconnect

from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.execs import exit_of
from alcove.api.routing import router
from alcove.core import execs
from alcove.core.agent import Call, Reach
from alcove.core.app import Core
from alcove.core.frames import Frame as AgentFrame
from alcove.core.frames import Process
from alcove.core.live_sessions import held
from alcove.core.standing import still_allowed
from alcove.core.waking import entered
from alcove.http.access import needs
from alcove.http.body import parse
from alcove.http.problem import HttpError, refuse_socket
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, Invalid
from alcove.model.live_session import LiveKind
from alcove.model.workspace import Workspace
from alcove.wire.execs import COLUMNS_MAX, Frame, ProcessRequest, ProcessSignal, TerminalSize

routes = router("exec")
FIRST_MESSAGE_S: Final = 15.0
PAYLOAD_MAX: Final = 64 * 1024
COMMAND_SHOWN: Final = 256
"""Characters of a command in the list of live sessions."""
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
Side: TypeAlias = Annotated[int, Query(ge=1, le=COLUMNS_MAX)]
_FROM_CLIENT: Final = {
    Frame.STDIN: None,
    Frame.STDIN_EOF: None,
    Frame.RESIZE: TerminalSize,
    Frame.SIGNAL: ProcessSignal,
}


@routes.websocket("/workspaces/{workspace}/exec")
async def process(socket: WebSocket, core: CoreOf, actor: Runner, ref: WorkspaceRef) -> None:
    """Run a command with live stdin, or in a terminal of its own; see `wire/execs.py`."""
    workspace = await _must_run(core, actor, ref)
    await socket.accept()

    async def serve() -> None:
        call = _call(await _first(socket))
        async with execs.process(core, actor, ref, call) as live:
            line = " ".join(execs.told(call.command))
            with held(core, actor, workspace, LiveKind.EXEC, command=line[:COMMAND_SHOWN]):
                await carry(
                    frames_out(live, socket),
                    frames_in(live, socket),
                    still_allowed(core, actor),
                )

    await guarded(socket, serve)


async def _must_run(core: Core, actor: Actor, ref: str) -> Workspace:
    """What can be refused before the upgrade, is."""
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    Reach.of(workspace)
    return workspace


async def guarded(socket: WebSocket, serve: Callable[[], Awaitable[None]]) -> None:
    """Serve a WebSocket; what goes wrong is said to the client as a problem."""
    try:
        await serve()
    except WebSocketDisconnect:
        return
    except Exception as error:
        await refuse_socket(socket, error)
        if not isinstance(error, AlcoveError | HttpError):
            raise
    else:
        await _close(socket)


async def carry(*ways: Awaitable[None]) -> None:
    """Run these side by side until the first ends or fails; its error is raised as it is."""
    failed: list[BaseException] = []

    async def one(way: Awaitable[None]) -> None:
        try:
            await way
        except Exception as error:
            failed.append(error)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for way in ways:
            tasks.start_soon(one, way)
    if failed:
        raise failed[0]


async def _first(socket: WebSocket) -> ProcessRequest:
    with anyio.move_on_after(FIRST_MESSAGE_S):
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        text = message.get("text")
        if not isinstance(text, str):
            raise Invalid("the first message is text: what to run, as JSON")
        return parse(ProcessRequest, text)
    raise Invalid(f"nothing was asked for within {FIRST_MESSAGE_S:.0f} s")


def _call(asked: ProcessRequest) -> Call:
    env = dict(asked.env or {})
    if asked.term is not None:
        env.setdefault("TERM", asked.term)
    return Call(
        command=execs.shell(asked.command) if isinstance(asked.command, str) else asked.command,
        cwd=asked.cwd,
        env=env,
        user=asked.user,
        stdin=asked.stdin,
        timeout_s=asked.timeout,
        terminal=None if asked.pty is None else (asked.pty.cols, asked.pty.rows),
    )


async def frames_out(live: Process, socket: WebSocket) -> None:
    async for kind, payload in live.frames():
        if kind is AgentFrame.EXIT:
            await socket.send_bytes(bytes((kind,)) + exit_of(payload).model_dump_json().encode())
            return
        for start in range(0, len(payload) or 1, PAYLOAD_MAX):
            await socket.send_bytes(bytes((kind,)) + payload[start : start + PAYLOAD_MAX])


async def frames_in(live: Process, socket: WebSocket) -> None:
    while True:
        data = await _binary(socket)
        kind, payload = _from_client(data)
        await _give(live, AgentFrame(kind), payload)


async def _give(live: Process, kind: AgentFrame, payload: bytes) -> None:
    """Input for a process that has ended goes nowhere; how it ended comes the other way."""
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await live.send(kind, payload)


def _from_client(data: bytes) -> tuple[Frame, bytes]:
    """Raises Invalid for what a client does not send."""
    if not data or data[0] not in _FROM_CLIENT:
        raise Invalid("a message begins with one of the bytes 0, 5, 6 and 7")
    if len(data) > PAYLOAD_MAX + 1:
        raise Invalid(f"a message has at most {PAYLOAD_MAX} bytes of payload")
    kind, payload = Frame(data[0]), data[1:]
    model = _FROM_CLIENT[kind]
    return kind, payload if model is None else parse(model, payload).model_dump_json().encode()


async def _binary(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1005)
    data = message.get("bytes")
    if not isinstance(data, bytes):
        raise Invalid("after the first message all are binary")
    return data


async def _close(socket: WebSocket) -> None:
    try:
        await socket.close()
    except (RuntimeError, WebSocketDisconnect):
        # The client has gone meanwhile.
        return
