# Made by tools/async_to_sync.py from _async/live_sessions.py: change that one.
"""The connections to workspaces that are open now."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from alcove.model.live_session import LiveKind
from alcove.sdk._sync.pages import items
from alcove.sdk._sync.transport import Transport
from alcove.wire.base import Page
from alcove.wire.live_sessions import LiveSession


class LiveSessions:
    """Who is connected: over SSH, in terminals, through tunnels."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        workspace: str | None = None,
        user: str | None = None,
        kind: LiveKind | str | None = None,
    ) -> Iterator[LiveSession]:
        """Newest first, of those that the caller may see. `user` is who is connected, or `me`."""
        query: Mapping[str, str | None] = {
            "workspace": workspace,
            "user": user,
            "kind": None if kind is None else str(kind),
        }
        return items(self._transport, Page[LiveSession], "/sessions", query)

    def end(self, id: str) -> None:
        """End the connection. Raises NotFound when it is over, or not the caller's to see."""
        self._transport.send("DELETE", f"/sessions/{quote(id, safe='')}")
