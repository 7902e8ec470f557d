"""What this one server process remembers of itself: since when it runs, which duties it has, how
its loops fare, and what it last complained about. Bounded, and gone with the process."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, cast

TROUBLES_MAX: Final = 200
TEXT_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Trouble:
    """A line of the log that somebody should look at."""

    at: datetime
    level: str
    """`warning`, `error` or `critical`."""
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class LoopState:
    """How something that runs beside the API fares."""

    name: str
    since: datetime
    """When it was last begun."""
    falls: int = 0
    """How often it ended by an error and was begun again."""
    error: str = ""
    """Of the last fall."""


@dataclass(slots=True)
class Condition:
    """One per process."""

    began: datetime | None = None
    duties: dict[str, str] = field(default_factory=dict[str, str])
    """By name: the token under which this server asks for the duty."""
    loops: dict[str, LoopState] = field(default_factory=dict[str, LoopState])
    _troubles: "deque[Trouble]" = field(default_factory=lambda: deque(maxlen=TROUBLES_MAX))

    def begun(self, loop: str, now: datetime) -> None:
        before = self.loops.get(loop)
        self.loops[loop] = LoopState(loop, now) if before is None else replace(before, since=now)

    def fell(self, loop: str, error: str) -> None:
        before = self.loops[loop]
        self.loops[loop] = replace(before, falls=before.falls + 1, error=error[:TEXT_MAX])

    def note(self, trouble: Trouble) -> None:
        self._troubles.append(trouble)

    @property
    def troubles(self) -> Sequence[Trouble]:
        """Newest first."""
        return tuple(reversed(self._troubles))


class Listener(logging.Handler):
    """Remembers warnings and errors of any logger, ours and those of libraries."""

    def __init__(self, note: Callable[[Trouble], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = _said(record)
        except Exception:
            # As the standard library's handlers do: what cannot be formatted must not raise in
            # whoever logged it.
            self.handleError(record)
            return
        self._note(
            Trouble(
                at=datetime.fromtimestamp(record.created, UTC),
                level=record.levelname.lower(),
                source=record.name[:64],
                text=text[:TEXT_MAX],
            )
        )


def _said(record: logging.LogRecord) -> str:
    # structlog hands over what was said as a mapping, although the type says a text.
    message = cast("object", record.msg)
    if not isinstance(message, dict):
        text = record.getMessage()
    else:
        said = dict(cast("dict[str, Any]", message))
        event = str(said.pop("event", ""))
        for noise in ("exc_info", "level", "logger", "timestamp", "stack_info"):
            said.pop(noise, None)
        text = " ".join([event, *(f"{name}={value}" for name, value in said.items())])
    fault = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return text if fault is None else f"{text}: {type(fault).__name__}: {fault}"
