"""What strangers may do before it is known who they are: how many at once, how often, how long.

A connection that has proved itself is out of this count. Counts are by address, an IPv6 one by
its /64; when all places are taken, whoever holds most of them loses the oldest.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from alcove.core.app import Core

UNPROVEN_MAX: Final = 512
PER_ADDRESS_MAX: Final = 256
LOGIN_S: Final = 20.0
"""From the connection to the proof."""
NEW_PER_MINUTE: Final = 3000
NEW_BURST: Final = 600
REFUSED_PER_MINUTE: Final = 120
"""Connections that end without a proof; whoever has more is not answered for a while."""
SHUT_OUT_MAX: Final = 10_000


@dataclass(slots=True, eq=False)
class Stranger:
    """One connection that has not proved itself yet."""

    source: str
    close: Callable[[], None]


class Doorway:
    """One server's. Every method is quick and none waits."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._strangers: OrderedDict[Stranger, None] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._shut_out: OrderedDict[str, datetime] = OrderedDict()

    @property
    def strangers(self) -> int:
        return len(self._strangers)

    def admit(self, address: str, close: Callable[[], None]) -> Stranger | None:
        """A place for a new connection, or None: it is not to be answered. `close` ends it,
        when its place is given to somebody else."""
        source, now = source_of(address), self._core.clock()
        if self._shut_out.get(source, now) > now:
            return None
        rates = self._core.gate.rates
        if rates.take(f"ssh:{source}", per_minute=NEW_PER_MINUTE, burst=NEW_BURST, now=now):
            return None
        if self._held[source] >= PER_ADDRESS_MAX:
            return None
        if len(self._strangers) >= UNPROVEN_MAX:
            self._make_room()
        stranger = Stranger(source, close)
        self._strangers[stranger] = None
        self._held[source] += 1
        return stranger

    def proven(self, stranger: Stranger) -> None:
        """It is known who it is."""
        self._forget(stranger)

    def gone(self, stranger: Stranger) -> None:
        """The connection is over. One that never proved itself counts against its address."""
        if not self._forget(stranger):
            return
        now = self._core.clock()
        wait_s = self._core.gate.rates.take(
            f"ssh-refused:{stranger.source}",
            per_minute=REFUSED_PER_MINUTE,
            burst=REFUSED_PER_MINUTE,
            now=now,
        )
        if wait_s:
            self._shut_out[stranger.source] = now + timedelta(seconds=max(1.0, wait_s))
            self._shut_out.move_to_end(stranger.source)
            if len(self._shut_out) > SHUT_OUT_MAX:
                self._shut_out.popitem(last=False)

    def _make_room(self) -> None:
        most, _ = self._held.most_common(1)[0]
        oldest = next(one for one in self._strangers if one.source == most)
        oldest.close()
        self.gone(oldest)

    def _forget(self, stranger: Stranger) -> bool:
        if stranger not in self._strangers:
            return False
        del self._strangers[stranger]
        self._held[stranger.source] -= 1
        if not self._held[stranger.source]:
            del self._held[stranger.source]
        return True


def source_of(address: str) -> str:
    """What is counted as one: an IPv4 address, or the network that one IPv6 customer has."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)
