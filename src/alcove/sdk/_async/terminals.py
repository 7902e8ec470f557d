"""Terminals, which go on while nobody looks: the list of them, and sitting at one."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import encode, problem_in_message, read, request
from alcove.sdk.errors import Unavailable
from alcove.sdk.terminals import BEGINNING, Ended, kind_of, shown_again
from alcove.wire import terminals as wire

if TYPE_CHECKING:
    from alcove.sdk._async.sockets import AsyncSocket

PIECE: Final = 16 * 1024
"""Characters of one message of input."""


class AsyncTerminals:
    """Those of one workspace."""

    def __init__(self, transport: AsyncTransport, base: str) -> None:
        self._transport = transport
        self._workspace = base
        self._base = f"{base}/terminals"

    async def list(self) -> tuple[wire.Terminal, ...]:
        """Those that run now, oldest first."""
        return tuple((await self._transport.get(wire.Terminals, self._base)).items)

    async def rename(self, session: str, name: str) -> None:
        """Give it a name for people; empty for none. Raises NotFound when none runs."""
        body = request(wire.TerminalChange, {"name": name})
        await self._transport.send("PATCH", self._path(session), json=body)

    async def close(self, session: str) -> None:
        """End it, with all that runs in it. One that has ended is fine."""
        await self._transport.send("DELETE", self._path(session))

    @asynccontextmanager
    async def open(
        self,
        session: str = "main",
        *,
        columns: int = 80,
        rows: int = 24,
        after: str = BEGINNING,
    ) -> "AsyncGenerator[AsyncAttached]":
        """Sit at it; it is started when it does not run. `after` is the `place` that one left
        it at. Leaving the block leaves it running."""
        query = {"session": session, "cols": columns, "rows": rows, "after": after}
        async with self._transport.websocket(
            f"{self._workspace}/terminal?{urlencode(query)}"
        ) as socket:
            yield AsyncAttached(socket, after)

    def _path(self, session: str) -> str:
        return f"{self._base}/{quote(session, safe='')}"


class AsyncAttached:
    """A terminal that one sits at: read what it writes by iterating, until it ends."""

    def __init__(self, socket: "AsyncSocket", after: str) -> None:
        self._socket = socket
        self._asked = after
        self._id, self._offset = "", 0
        self._screen = b""
        """What the screen is to be written first."""
        self.exit: Ended | None = None
        """Set once the iteration has ended."""

    @property
    def place(self) -> str:
        """How much was seen, for `after`."""
        return f"{self._id}:{self._offset}" if self._id else self._asked

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._outputs()

    async def begin(self) -> str:
        """Which process one sits at, as soon as the server has said so. Another one than before
        means that what was typed for that one is for nobody."""
        while not self._id:
            message = await self._socket.receive()
            if isinstance(message, bytes):
                raise Unavailable("the server sent output before it said whose it is")
            match kind_of(message):
                case "attached":
                    begun = read(wire.TerminalAttached, message)
                    before, self._id, self._offset = self.place, begun.id, begun.offset
                    if self.place != before and begun.offset:
                        self._screen = shown_again(begun.modes)
                case "view" | "pong":
                    pass
                case _:
                    raise problem_in_message(message)
        return self._id

    async def write(self, text: str) -> None:
        """What is typed."""
        for at in range(0, len(text), PIECE):
            said = {"type": "input", "data": text[at : at + PIECE]}
            await self._say(request(wire.TerminalInput, said))

    async def resize(self, columns: int, rows: int) -> None:
        said = {"type": "resize", "cols": columns, "rows": rows}
        await self._say(request(wire.TerminalResize, said))

    async def aclose(self) -> None:
        """Leave it; the iteration ends with Unavailable."""
        await self._socket.aclose()

    async def _outputs(self) -> AsyncIterator[bytes]:
        await self.begin()
        if self._screen:
            yield self._screen
        while self.exit is None:
            message = await self._socket.receive()
            if isinstance(message, bytes):
                self._offset += len(message)
                yield message
                continue
            match kind_of(message):
                case "resync":
                    jumped = read(wire.TerminalResync, message)
                    self._offset = jumped.offset
                    yield shown_again(jumped.modes)
                case "exit":
                    ended = read(wire.TerminalExit, message)
                    self.exit = Ended(ended.exit_code, ended.signal)
                case "view" | "pong":
                    pass
                case _:
                    raise problem_in_message(message)

    async def _say(self, message: wire.TerminalInput | wire.TerminalResize) -> None:
        await self._socket.send(encode(message).decode())
