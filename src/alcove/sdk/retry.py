"""Whether to try a call again, and when. Pure; the transports act on it.

One rule: what may have been done already is tried again only if doing it twice is harmless.
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

from alcove.clock import Clock

RETRIES: Final = 3
WAIT_FIRST_S: Final = 0.2
WAIT_MAX_S: Final = 8.0
RETRY_AFTER_MAX_S: Final = 60.0
"""A server that asks for more than this is not waited for; the caller is told."""
assert WAIT_FIRST_S < WAIT_MAX_S < RETRY_AFTER_MAX_S

_REFUSED_BEFORE_ACTING: Final = frozenset({429})
_PASSING: Final = frozenset({429, 502, 503, 504})


class Repeat(Enum):
    """What a call allows."""

    SAFE = "safe"
    """Doing it twice is harmless: reads, PUT, DELETE, and a POST with an idempotency key."""
    UNSENT = "unsent"
    """Only if the server cannot have seen it, or says that it did not act."""
    NEVER = "never"
    """The body is a stream that cannot be read twice."""


class Broken(Enum):
    """How a call failed without an answer."""

    UNSENT = "unsent"
    LOST = "lost"
    """Sent, at least in part; nobody knows what came of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What decides about a repetition, when there was an answer."""

    status: int
    retry_after_s: float | None


def wait_before_retry(
    outcome: Answer | Broken, *, repeat: Repeat, attempt: int, retries: int, jitter: float
) -> float | None:
    """Seconds to wait before the next attempt; None: this outcome is final.

    `attempt` is 1 for the first; `jitter` is in [0, 1) and keeps many clients from coming back
    in step.
    """
    if attempt > retries or not _may(outcome, repeat):
        return None
    pause = min(WAIT_MAX_S, WAIT_FIRST_S * 2.0 ** (attempt - 1)) * (0.5 + jitter / 2)
    if isinstance(outcome, Answer) and outcome.retry_after_s is not None:
        if outcome.retry_after_s > RETRY_AFTER_MAX_S:
            return None
        return max(pause, outcome.retry_after_s)
    return pause


def _may(outcome: Answer | Broken, repeat: Repeat) -> bool:
    match repeat:
        case Repeat.NEVER:
            return False
        case Repeat.SAFE:
            return isinstance(outcome, Broken) or outcome.status in _PASSING
        case Repeat.UNSENT:
            if isinstance(outcome, Broken):
                return outcome is Broken.UNSENT
            return outcome.status in _REFUSED_BEFORE_ACTING


def parse_retry_after(value: str | None, clock: Clock) -> float | None:
    """Seconds in a `Retry-After` header (RFC 9110, 10.2.3: seconds or a date)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - clock()).total_seconds())
    except (ValueError, TypeError):
        return None
