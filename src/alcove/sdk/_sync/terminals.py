# Made by tools/async_to_sync.py from _async/terminals.py: change that one.
"""Terminals, which go on while nobody looks. To be in one, use a browser or `alcove ssh`."""

from urllib.parse import quote

from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import request
from alcove.wire import terminals as wire


class Terminals:
    """Those of one workspace."""

    def __init__(self, transport: Transport, base: str) -> None:
        self._transport = transport
        self._base = f"{base}/terminals"

    def list(self) -> tuple[wire.Terminal, ...]:
        """Those that run now, oldest first."""
        return tuple((self._transport.get(wire.Terminals, self._base)).items)

    def rename(self, session: str, name: str) -> None:
        """Give it a name for people; empty for none. Raises NotFound when none runs."""
        body = request(wire.TerminalChange, {"name": name})
        self._transport.send("PATCH", self._path(session), json=body)

    def close(self, session: str) -> None:
        """End it, with all that runs in it. One that has ended is fine."""
        self._transport.send("DELETE", self._path(session))

    def _path(self, session: str) -> str:
        return f"{self._base}/{quote(session, safe='')}"
