"""What runs in workspaces on somebody's behalf through this server, right now.

Timers ask it whether a workspace is in use; those that take long are told of in the log.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from time import monotonic

from alcove.model.event import NewEvent
from alcove.model.workspace import WorkspaceId


@dataclass(frozen=True, slots=True)
class _Entry:
    workspace: WorkspaceId
    tell_at: float
    event: NewEvent


@dataclass(slots=True)
class Running:
    """Execs, terminals and streams that are open."""

    _entries: dict[int, _Entry] = field(default_factory=dict[int, _Entry])
    _untold: set[int] = field(default_factory=set[int])
    _numbers: "count[int]" = field(default_factory=count)
    _by_workspace: Counter[WorkspaceId] = field(default_factory=Counter[WorkspaceId])

    def add(self, workspace: WorkspaceId, *, told_after_s: float, event: NewEvent) -> int:
        """Answers the number to remove it by."""
        number = next(self._numbers)
        self._entries[number] = _Entry(workspace, monotonic() + told_after_s, event)
        self._untold.add(number)
        self._by_workspace[workspace] += 1
        return number

    def remove(self, number: int) -> None:
        entry = self._entries.pop(number)
        self._untold.discard(number)
        self._by_workspace[entry.workspace] -= 1
        if not self._by_workspace[entry.workspace]:
            del self._by_workspace[entry.workspace]

    def count(self, workspace: WorkspaceId) -> int:
        return self._by_workspace[workspace]

    def overdue(self) -> list[NewEvent]:
        """The events of those that have become long since the last time."""
        now = monotonic()
        due = [number for number in sorted(self._untold) if self._entries[number].tell_at <= now]
        self._untold.difference_update(due)
        return [self._entries[number].event for number in due]
