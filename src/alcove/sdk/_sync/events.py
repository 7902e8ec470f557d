# Made by tools/async_to_sync.py from _async/events.py: change that one.
"""What happened: read page by page, or followed without a gap across reconnections."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import httpx

from alcove.sdk._sync.pages import items
from alcove.sdk._sync.primitives import sleep
from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import Query, problem_in_message, read
from alcove.sdk.errors import Unavailable
from alcove.sdk.sse import Parser, ServerSentEvent
from alcove.wire.base import Page
from alcove.wire.events import Event

SILENCE_MAX_S: Final = 60.0
"""The server sends a comment more often than this; a longer silence is a dead connection."""
RECONNECTS_MAX: Final = 8
"""In a row, without one event between them."""
_PAUSE_S: Final = 0.25


class Events:
    """The audit view. People see what is about them and theirs; auditors see all."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        after: int | None = None,
        type: str | None = None,
        actor: str | None = None,
        owner: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Event]:
        """Events so far, oldest first, with a sequence number above `after`.

        `type` may be `workspace.*`. `since` and `until` have a zone; `until` does not count."""
        query: Query = {
            "after": after,
            "type": type,
            "actor": actor,
            "owner": owner,
            "subject": subject,
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "limit": 500,
        }
        return items(self._transport, Page[Event], "/events", query)

    def follow(
        self, *, after: int | None = None, type: str | None = None, actor: str | None = None
    ) -> Iterator[Event]:
        """Events after `after`, then each as it happens; None: from now on. Never ends."""
        query: Query = {"after": after, "type": type, "actor": actor}
        for event in follow(self._transport, "/events", query):
            yield read(Event, event.data)


def follow(
    transport: Transport, path: str, query: Query, *, until_end: bool = False
) -> Iterator[ServerSentEvent]:
    """A stream of server-sent events that is taken up again where it broke off.

    With `until_end` a stream that the server ends in order is over; else it is taken up too.
    Raises AlcoveError when the server refuses, and Unavailable after RECONNECTS_MAX failures.
    """
    last_id, failures = "", 0
    asked: Query = {**query, "follow": True}
    while True:
        parser = Parser()
        try:
            with transport.stream(
                "GET",
                path,
                query=_resumed(asked, last_id),
                headers=_headers(last_id),
                timeout_s=SILENCE_MAX_S,
            ) as response:
                for chunk in response.iter_bytes():
                    for event in parser.feed(chunk):
                        if event.event == "error":
                            raise problem_in_message(event.data)
                        failures = 0
                        last_id = event.id or last_id
                        yield event
            if until_end:
                return
        except (httpx.TransportError, Unavailable):
            # Unavailable: the server is being restarted, and says so.
            pass
        failures += 1
        if failures > RECONNECTS_MAX:
            raise Unavailable(f"lost the stream of {transport.endpoint.url}{path} for good")
        sleep(min(8.0, _PAUSE_S * 2.0 ** (failures - 1)))


def _headers(last_id: str) -> Mapping[str, str]:
    resume = {"Last-Event-ID": last_id} if last_id else {}
    return {"Accept": "text/event-stream", "Cache-Control": "no-store", **resume}


def _resumed(query: Query, last_id: str) -> Query:
    """Once there is an id it alone says where to go on."""
    return {**query, "after": None} if last_id else query
