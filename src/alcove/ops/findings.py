"""One thing that was examined: what is there, what its lack costs, and the command that helps."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Good to know; nothing that is installed needs it."""
    WEAK = "weak"
    """Works, but worse or less safely than it could."""
    MISSING = "missing"
    """Workspaces cannot run without it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`cost` and `remedy` are empty when all is well."""

    area: str
    title: str
    state: State
    value: str
    cost: str = ""
    remedy: str = ""


def judge(
    area: str,
    title: str,
    *,
    good: bool,
    value: str,
    cost: str,
    remedy: str,
    otherwise: State = State.MISSING,
) -> Finding:
    """A finding that is OK when `good`, and else as bad as `otherwise` says."""
    if good:
        return Finding(area, title, State.OK, value)
    return Finding(area, title, otherwise, value, cost, remedy)
