"""Server-sent events, sans I/O: bytes in, events out (WHATWG HTML, 9.2).

The parser holds at most one event; a server that never ends one is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

EVENT_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """`id` is the last id seen, also when it came with an earlier event."""

    event: str
    data: str
    id: str


class Parser:
    """Feed it what arrives; it yields each event once it is whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    @property
    def last_event_id(self) -> str:
        return self._id

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Raises ValueError for an event larger than EVENT_MAX."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if self._size + len(self._rest) > EVENT_MAX:
            raise ValueError("the server sent an event without an end")
        for line in lines:
            found = self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if found is not None:
                yield found

    def _line(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._size += len(value)
                if self._size > EVENT_MAX:
                    raise ValueError("the server sent an event that is too large")
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case _:
                # Comments keep the connection alive; other fields are for newer clients.
                pass
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event, data = self._event or "message", "\n".join(self._data)
        had_data = bool(self._data)
        self._event, self._data, self._size = "", [], 0
        return ServerSentEvent(event=event, data=data, id=self._id) if had_data else None
