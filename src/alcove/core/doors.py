"""What one server keeps in memory about open ports: how many, told of which, tickets used."""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from alcove.model.errors import TooMany
from alcove.model.workspace import WorkspaceId

OPEN_MAX: Final = 128
"""Connections to the ports of one workspace; commands and files have others for themselves."""
TOLD_EVERY: Final = timedelta(hours=1)
TOLD_MAX: Final = 10_000
SPENT_MAX: Final = 100_000


@dataclass(slots=True)
class Doors:
    """One per server."""

    open: dict[WorkspaceId, int] = field(default_factory=dict[WorkspaceId, int])
    _told: "OrderedDict[tuple[str, str, int], datetime]" = field(
        default_factory=OrderedDict[tuple[str, str, int], datetime]
    )
    _used: "OrderedDict[tuple[str, str], None]" = field(
        default_factory=OrderedDict[tuple[str, str], None]
    )
    _spent: "OrderedDict[str, datetime]" = field(default_factory=OrderedDict[str, datetime])

    def was_used(self, workspace: WorkspaceId, app: str) -> bool:
        return (workspace, app) in self._used

    def note_used(self, workspace: WorkspaceId, app: str) -> None:
        """An app that waited for its first use has had it; `app` names its boot too."""
        self._used[workspace, app] = None
        while len(self._used) > TOLD_MAX:
            self._used.popitem(last=False)

    @contextmanager
    def through(self, workspace: WorkspaceId) -> Generator[None]:
        """Raises TooMany when too many are open."""
        if self.open.get(workspace, 0) >= OPEN_MAX:
            said = f"{OPEN_MAX} connections to this workspace's ports are open; close some"
            raise TooMany(said, retry_after_s=1)
        self.open[workspace] = self.open.get(workspace, 0) + 1
        try:
            yield
        finally:
            self.open[workspace] -= 1
            if not self.open[workspace]:
                del self.open[workspace]

    def is_news(self, who: str, workspace: str, port: int, *, now: datetime) -> bool:
        """Whether this is to be told of: once in a while for each caller and port."""
        key = (who, workspace, port)
        at = self._told.get(key)
        if at is not None and now - at < TOLD_EVERY:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        return True

    def spend(self, ticket: str, *, until: datetime, now: datetime) -> bool:
        """Whether the ticket had not been used; it is now. Kept until it is worth nothing."""
        while self._spent and next(iter(self._spent.values())) <= now:
            self._spent.popitem(last=False)
        if ticket in self._spent or len(self._spent) >= SPENT_MAX:
            return False
        self._spent[ticket] = until
        return True
