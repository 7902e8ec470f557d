"""What workspaces used of late, in memory: for small charts, not for accounts.

Bounded in both directions: so many samples of each workspace, and of no more workspaces than
there are samples of. On a server that does not keep the timers there are none.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alcove.drivers.base import Metered, Usage
from alcove.model.errors import AlcoveError
from alcove.model.workspace import Phase, Workspace, WorkspaceId

if TYPE_CHECKING:
    from alcove.core.app import Core

SAMPLES_MAX: Final = 240
"""Of one workspace: at one every 30 seconds, two hours; while somebody looks there are more."""
WORKSPACES_MAX: Final = 5_000
GAP: Final = timedelta(seconds=4)
"""Samples that come closer than this say nothing new."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`cpu_share`: cores that were busy on average since the sample before."""

    at: datetime
    cpu_share: float
    memory_mib: int
    disk_mib: int


@dataclass(slots=True)
class _Line:
    cpu_usec: int
    at: datetime
    samples: deque[Sample]


@dataclass(slots=True)
class UsageHistory:
    """The samples of all workspaces, newest last."""

    lines: dict[WorkspaceId, _Line] = field(default_factory=dict[WorkspaceId, _Line])

    def add(self, found: Mapping[WorkspaceId, Usage], now: datetime) -> None:
        for id, usage in found.items():
            line = self.lines.get(id)
            if line is None:
                if len(self.lines) < WORKSPACES_MAX:
                    self.lines[id] = _Line(usage.cpu_usec, now, deque(maxlen=SAMPLES_MAX))
                continue
            passed = (now - line.at).total_seconds()
            if passed < GAP.total_seconds():
                continue
            # A new start counts from nothing.
            used = usage.cpu_usec - line.cpu_usec if usage.cpu_usec >= line.cpu_usec else 0
            share = used / 1e6 / passed
            line.samples.append(Sample(now, share, usage.memory_mib, usage.disk_mib))
            line.cpu_usec, line.at = usage.cpu_usec, now

    def forget(self, id: WorkspaceId) -> None:
        self.lines.pop(id, None)


async def sampled(core: "Core", workspace: Workspace) -> Sequence[Sample]:
    """The history with what it uses now, for whoever looks at it. Never an error."""
    if workspace.phase is Phase.RUNNING and isinstance(core.driver, Metered):
        with suppress(AlcoveError):
            core.usage_history.add(await core.driver.usage([workspace.id]), core.clock())
    return of(core, workspace.id)


def of(core: "Core", id: WorkspaceId) -> Sequence[Sample]:
    """Oldest first; empty when nothing was sampled here."""
    line = core.usage_history.lines.get(id)
    return () if line is None else tuple(line.samples)
