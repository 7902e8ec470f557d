"""How often something may be done: one number per key, moved by the Clock.

The generic cell rate algorithm: a key remembers the moment at which it would be rested again.
Ours and not a library's, because it has to follow the Clock that tests move, needs no timer
threads, and holds a bounded number of keys whatever addresses come along.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

KEYS_MAX: Final = 10_000


class Rates:
    """One server's memory of who did what lately."""

    def __init__(self) -> None:
        self._rested: OrderedDict[str, datetime] = OrderedDict()

    def take(self, key: str, *, per_minute: int, burst: int, now: datetime) -> float:
        """Spend one. Answers 0, or the seconds to wait, having spent nothing."""
        assert per_minute > 0
        assert burst > 0
        step = timedelta(minutes=1) / per_minute
        rested = max(self._rested.get(key, now), now)
        ahead = rested - now - step * (burst - 1)
        if ahead > timedelta(0):
            return ahead.total_seconds()
        self._rested[key] = rested + step
        self._rested.move_to_end(key)
        if len(self._rested) > KEYS_MAX:
            # The one that was idle longest; in a flood of addresses that is a rested one.
            self._rested.popitem(last=False)
        return 0.0
