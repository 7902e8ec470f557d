"""What identity keeps in memory: credentials seen a moment ago, rates, turns for hashing.

Nothing here is the truth: the database is, and a credential is looked up again after
`CACHE_S`, so that what is revoked on another server is refused here within a second.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import anyio

from alcove.core.rates import Rates
from alcove.model.errors import TooMany
from alcove.model.identity import Credential, CredentialKind, User
from alcove.model.workspace import UserId

CACHE_S: Final = 0.8
REVOKED_WITHIN_S: Final = 1.0
assert CACHE_S < REVOKED_WITHIN_S
ENTRIES_MAX: Final = 4096
NAMES_MAX: Final = 10_000
HASHES_AT_ONCE: Final = 2
HASHES_WAITING_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class _Seen:
    at: datetime
    credential: Credential | None
    """None: looked for and not there. Remembered too, so that guessing costs no query each."""


@dataclass(slots=True)
class Gate:
    """One per server."""

    rates: Rates = field(default_factory=Rates)
    closing: bool = False
    """The server is about to end; whoever streams says goodbye."""
    used: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Credentials used since they were last written down, by id."""
    names: "OrderedDict[str, str]" = field(default_factory=OrderedDict[str, str])
    """User id to name. A name never changes, so that it may be kept."""
    _seen: "OrderedDict[str, _Seen]" = field(default_factory=OrderedDict[str, _Seen])
    _turns: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(HASHES_AT_ONCE)
    )

    def recall(
        self, kind: CredentialKind, id: str, *, now: datetime
    ) -> tuple[bool, Credential | None]:
        """Whether it was looked up a moment ago, and what was found."""
        seen = self._seen.get(f"{kind}:{id}")
        if seen is None or now - seen.at >= timedelta(seconds=CACHE_S):
            return False, None
        return True, seen.credential

    def remember(
        self, kind: CredentialKind, id: str, credential: Credential | None, *, now: datetime
    ) -> None:
        key = f"{kind}:{id}"
        self._seen[key] = _Seen(now, credential)
        self._seen.move_to_end(key)
        if len(self._seen) > ENTRIES_MAX:
            self._seen.popitem(last=False)

    def user_of(self, id: str, *, now: datetime) -> User | None:
        """Whose credential this is, if it was looked up a moment ago."""
        for kind in CredentialKind:
            known, credential = self.recall(kind, id, now=now)
            if known and credential is not None:
                return credential.user
        return None

    def forget(self, id: str) -> None:
        """It was revoked here."""
        for kind in CredentialKind:
            self._seen.pop(f"{kind}:{id}", None)

    def forget_user(self, user: UserId) -> None:
        """The user was disabled, or has another role."""
        gone = [
            key
            for key, seen in self._seen.items()
            if seen.credential is not None and seen.credential.user.id == user
        ]
        for key in gone:
            del self._seen[key]

    def remember_name(self, id: str, name: str) -> None:
        self.names[id] = name
        if len(self.names) > NAMES_MAX:
            self.names.popitem(last=False)

    def turn(self) -> anyio.CapacityLimiter:
        """The limiter for one password hash: each takes 64 MiB and a fraction of a second of
        several cores. Raises TooMany when the queue is full."""
        if self._turns.statistics().tasks_waiting >= HASHES_WAITING_MAX:
            raise TooMany("too many people sign in at this moment; try again", retry_after_s=2)
        return self._turns
