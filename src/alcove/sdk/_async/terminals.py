"""Terminals, which go on while nobody looks. To be in one, use a browser or `alcove ssh`."""

from urllib.parse import quote

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import request
from alcove.wire import terminals as wire


class AsyncTerminals:
    """Those of one workspace."""

    def __init__(self, transport: AsyncTransport, base: str) -> None:
        self._transport = transport
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

    def _path(self, session: str) -> str:
        return f"{self._base}/{quote(session, safe='')}"
