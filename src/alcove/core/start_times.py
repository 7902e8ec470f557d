"""How soon workspaces of a template version are usually ready, for whoever chooses one.

Everybody may know it: it says how long was waited, and not by whom.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median_low
from typing import Final, TypeAlias

from alcove.model.workspace import StartedFrom
from alcove.store import fleet
from alcove.store.db import Database
from alcove.store.fleet import TemplateStart

WINDOW: Final = timedelta(days=14)
KEPT: Final = timedelta(minutes=1)
STARTS_MAX: Final = 5000
LEAST: Final = 3
"""Fewer starts than this are an accident, and not what is usual."""
Version: TypeAlias = tuple[str, int]
"""A template and the number of its version."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The median of the way in which most of them began."""

    started: StartedFrom
    p50_s: float
    many: int


@dataclass(slots=True)
class StartTimes:
    """One per server: one query a minute, however many ask."""

    _found: Mapping[Version, Usual] = field(default_factory=dict[Version, Usual])
    _until: datetime | None = None

    async def usual(self, db: Database, *, now: datetime) -> Mapping[Version, Usual]:
        """By template version; those that hardly started are not there."""
        if self._until is None or now >= self._until:
            async with db.scan() as tx:
                found = await fleet.starts_of_templates(tx, since=now - WINDOW, limit=STARTS_MAX)
            self._found, self._until = usual_of(found), now + KEPT
        return self._found


def usual_of(starts: Sequence[TemplateStart]) -> Mapping[Version, Usual]:
    """Pure."""
    by: dict[Version, list[TemplateStart]] = {}
    for one in starts:
        by.setdefault((one.template, one.version), []).append(one)
    found: dict[Version, Usual] = {}
    for version, those in by.items():
        [(started, many)] = Counter(one.started for one in those).most_common(1)
        if many >= LEAST:
            took = [one.seconds for one in those if one.started is started]
            found[version] = Usual(started, median_low(took), many)
    return found
