"""How a workspace comes up, step by step: which are over and how long they took, which is under
way and how far. Pure; `coming_up.py` feeds it and shows it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from alcove.wire.workspaces import Workspace

IMAGE: Final = "image"
WORKSPACE: Final = "workspace"
_NO_STEPS: Final = frozenset({"agent", ""})
"""Sources of the log that are no step of the start-up."""
_PERCENT: Final = re.compile(r"(\d{1,3})% ")
_BEFORE_RUNNING: Final = frozenset({"provisioning", "starting", "resuming"})
STEPS_MAX: Final = 50


class State(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


MARKS: Final = {State.RUNNING: "▸", State.DONE: "✓", State.FAILED: "✗"}


@dataclass(slots=True)
class Step:
    """`detail` is the newest that is known of it; times in seconds, of one clock."""

    name: str
    since: float
    state: State = State.RUNNING
    detail: str = ""
    took: float | None = None

    def end(self, now: float, state: State = State.DONE) -> None:
        if self.state is State.RUNNING:
            self.state, self.took, self.detail = state, now - self.since, ""

    def line(self, now: float) -> str:
        """`clone ▸ 34 % 2s`."""
        seconds = self.took if self.took is not None else now - self.since
        parts = (self.name, MARKS[self.state], self.detail, took(seconds))
        return " ".join(part for part in parts if part)


@dataclass(slots=True)
class Tree:
    """The steps in the order in which they began."""

    steps: list[Step] = field(default_factory=list[Step])

    def saw(self, info: "Workspace", now: float) -> None:
        """The workspace as it is now."""
        if info.phase in _BEFORE_RUNNING:
            step = self._step(WORKSPACE, now)
            step.detail = info.reason or str(info.phase)
            return
        for step in self.steps:
            if step.name in {WORKSPACE, IMAGE} and info.phase == "running":
                step.end(now)
            elif info.phase == "failed":
                step.end(now, State.FAILED)

    def read(self, source: str, line: str, now: float) -> None:
        """A line of the log: the step that it is of is under way, and those before it are over."""
        text = line.strip()
        if source in _NO_STEPS or not text or len(self.steps) >= STEPS_MAX:
            return
        for other in self.steps:
            if other.name not in {source, WORKSPACE}:
                other.end(now)
        step = self._step(source, now)
        if step.state is State.RUNNING:
            percent = _PERCENT.search(text)
            step.detail = f"{percent[1]} %" if percent else text

    def finish(self, told: Sequence[object], now: float) -> None:
        """All is over: what the server says about each step of the start-up."""
        for entry in told[:STEPS_MAX]:
            if not isinstance(entry, dict):
                continue
            said: dict[str, object] = entry  # pyright: ignore[reportUnknownVariableType]
            name = str(said.get("name", ""))[:64]
            step = self._step(name, now)
            step.state = State.FAILED if said.get("state") == "failed" else State.DONE
            step.detail = str(said.get("error", ""))[:200]
            milliseconds = said.get("duration_ms")
            if isinstance(milliseconds, int):
                step.took = milliseconds / 1000
        for step in self.steps:
            step.end(now)

    def _step(self, name: str, now: float) -> Step:
        for step in self.steps:
            if step.name == name:
                return step
        self.steps.append(Step(name, now))
        return self.steps[-1]


def took(seconds: float) -> str:
    """`0.1s`, `42s`, `4m 12s`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"
