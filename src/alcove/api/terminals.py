"""`/workspaces/{workspace}/terminals`, and the WebSocket that is one of them.

The messages are in `wire/terminals.py`. The workspace is read only as fast as the client reads,
and, where the client asked for a window, as it acknowledges: nothing piles up here.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Final, TypeAlias, TypeVar

import anyio
from fastapi import Path, Query
from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.execs import exit_of
from alcove.api.routing import router
from alcove.api.sockets import PAYLOAD_MAX, carry, guarded
from alcove.core import terminals
from alcove.core.agent import Reach, View
from alcove.core.frames import Frame, Process
from alcove.core.standing import still_allowed
from alcove.core.waking import entered
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, Unavailable
from alcove.wire import terminals as wire
from alcove.wire.execs import COLUMNS_MAX, TerminalSize

routes = router("exec")
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
Side: TypeAlias = Annotated[int, Query(ge=1, le=COLUMNS_MAX)]
Session: TypeAlias = Annotated[
    str, Path(alias="session", max_length=64, description="What it is reached by.")
]
AnswerT = TypeVar("AnswerT", bound=BaseModel)
_SAY: Final = (
    'send {"type": "input", "data": …}, {"type": "resize", "cols": …, "rows": …}, '
    '{"type": "ack", "offset": …} or {"type": "ping"}'
)


@routes.get("/workspaces/{workspace}/terminals", **documents(wire.Terminals, 404, 409))
async def find(core: CoreOf, actor: Runner, ref: WorkspaceRef) -> Response:
    """Those that run, oldest first."""
    found = await terminals.find(core, actor, ref)
    return answer(wire.Terminals(items=[_shown(one) for one in found]))


@routes.patch(
    "/workspaces/{workspace}/terminals/{session}",
    **documents(None, 400, 404, 409, 413, 415, status=204),
)
async def rename(
    core: CoreOf,
    actor: Runner,
    ref: WorkspaceRef,
    session: Session,
    change: Annotated[wire.TerminalChange, body(wire.TerminalChange)],
) -> Response:
    """Give it a name for people."""
    await terminals.rename(core, actor, ref, session, change.name)
    return nothing()


@routes.delete(
    "/workspaces/{workspace}/terminals/{session}", **documents(None, 404, 409, status=204)
)
async def close(core: CoreOf, actor: Runner, ref: WorkspaceRef, session: Session) -> Response:
    """End it, with all that runs in it. One that has ended is fine."""
    await terminals.close(core, actor, ref, session)
    return nothing()


@routes.websocket("/workspaces/{workspace}/terminal")
async def terminal(
    socket: WebSocket,
    core: CoreOf,
    actor: Runner,
    ref: WorkspaceRef,
    session: Annotated[str, Query(max_length=64)] = "main",
    cols: Side = 80,
    rows: Side = 24,
    after: Annotated[str | None, Query(pattern=wire.AFTER_PATTERN)] = None,
    window: Annotated[int | None, Query(ge=wire.WINDOW_MIN, le=wire.WINDOW_MAX)] = None,
) -> None:
    """A terminal that survives a reconnect: name the same `session` again and get the end of
    what it wrote. Input and sizes go in as JSON text, output comes as binary messages. `after`
    (`0`, then `ID:OFFSET`) is what was seen already."""
    Reach.of(await entered(core, actor, ref, Permission.WORKSPACE_EXEC))
    await socket.accept()

    async def serve() -> None:
        opened = terminals.open_terminal(
            core, actor, ref, session=session, size=(cols, rows), view=_view(after)
        )
        async with opened as live:
            if after is None:
                await _give(live, Frame.RESIZE, TerminalSize(cols=cols, rows=rows))
            viewer = _Viewer(socket, window)
            await carry(viewer.out(live), viewer.typed(live), still_allowed(core, actor))

    await guarded(socket, serve)


class _Viewer:
    """One viewer: how far its output was sent, and how far the client says that it is."""

    def __init__(self, socket: WebSocket, window: int | None) -> None:
        self._socket = socket
        self._window = window
        self._sent = self._acknowledged = 0
        self._moved = anyio.Event()
        self._sending = anyio.Lock()

    async def out(self, live: Process) -> None:
        async for kind, payload in live.frames():
            match kind:
                case Frame.STDOUT:
                    await self._output(payload)
                case Frame.STARTED if b'"offset"' in payload:
                    begun = _read(wire.TerminalAttached, payload)
                    self._sent = self._acknowledged = begun.offset
                    await self._say(begun)
                case Frame.RESYNC:
                    jumped = _read(wire.TerminalResync, payload)
                    self._sent = self._acknowledged = jumped.offset
                    await self._say(jumped)
                case Frame.RESIZE:
                    await self._say(_read(wire.TerminalView, payload))
                case Frame.EXIT:
                    ended = exit_of(payload)
                    await self._say(
                        wire.TerminalExit(exit_code=ended.exit_code, signal=ended.signal)
                    )
                    return
                case _:
                    pass

    async def typed(self, live: Process) -> None:
        """What the client sends, until it goes."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code") or 1005)
            match _typed(message.get("text")):
                case wire.TerminalInput(data=data):
                    await _give(live, Frame.STDIN, data.encode())
                case wire.TerminalResize(cols=cols, rows=rows):
                    await _give(live, Frame.RESIZE, TerminalSize(cols=cols, rows=rows))
                case wire.TerminalAck(offset=offset):
                    self._acknowledge(offset)
                case wire.TerminalPing():
                    await self._send(self._socket.send_text, '{"type":"pong"}')

    async def _output(self, payload: bytes) -> None:
        at = 0
        while at < len(payload):
            piece = payload[at : at + await self._room()]
            await self._send(self._socket.send_bytes, piece)
            at += len(piece)
            self._sent += len(piece)

    async def _room(self) -> int:
        """How many bytes may be sent now; waits while there are none."""
        if self._window is None:
            return PAYLOAD_MAX
        while (room := self._acknowledged + self._window - self._sent) <= 0:
            self._moved = anyio.Event()
            await self._moved.wait()
        return min(room, PAYLOAD_MAX)

    def _acknowledge(self, offset: int) -> None:
        """One of before a jump says nothing; one ahead of what was sent is a lie."""
        if self._acknowledged < offset <= self._sent:
            self._acknowledged = offset
            self._moved.set()

    async def _say(self, message: BaseModel) -> None:
        await self._send(self._socket.send_text, message.model_dump_json())

    async def _send(self, send: Callable[..., Awaitable[None]], data: object) -> None:
        async with self._sending:
            await send(data)


def _view(after: str | None) -> View | None:
    """Raises nothing: the pattern was checked."""
    if after is None:
        return None
    process, _, offset = after.partition(":")
    return View(process, int(offset)) if offset else View()


async def _give(live: Process, kind: Frame, payload: bytes | BaseModel) -> None:
    """Input for a process that has ended goes nowhere; how it ended comes the other way."""
    data = payload if isinstance(payload, bytes) else payload.model_dump_json().encode()
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await live.send(kind, data)


def _typed(text: object) -> wire.Typed:
    try:
        if isinstance(text, str):
            return wire.TYPED.validate_json(text)
    except (ValidationError, ValueError):
        pass
    raise Invalid(_SAY, [FieldError("type", _SAY)])


def _read(model: type[AnswerT], payload: bytes) -> AnswerT:
    """What the agent says, in the words of the API. Raises Unavailable when it is nonsense."""
    try:
        said = json.loads(payload)
        return model.model_validate({k: v for k, v in said.items() if k != "type"})
    except (ValueError, AttributeError) as error:
        raise Unavailable("the workspace's agent says nonsense about the terminal") from error


def _shown(one: terminals.Terminal) -> wire.Terminal:
    return wire.Terminal(
        session=one.session,
        name=one.name,
        title=one.title,
        pid=one.pid,
        viewers=one.viewers,
        cols=one.columns,
        rows=one.rows,
        started_at=one.started_at,
    )
