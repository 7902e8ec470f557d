"""`alcove top`: the workspaces that one may see and what each uses, refreshed in place."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from select import select
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, complete_templates, connect, pairs
from alcove.clock import system_clock
from alcove.sdk.errors import AlcoveError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alcove.sdk import Alcove
    from alcove.wire.workspaces import Workspace as Info

ROWS_MAX: Final = 2000
LOOKED_AT_MAX: Final = 60
"""Of how many the use is asked for each time: more than a screen shows."""
AT_ONCE: Final = 6
HEAD_LINES: Final = 4
INTERVAL_MIN_S: Final = 0.5
_RUNNING: Final = "running"


class Sort(StrEnum):
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NAME = "name"
    PHASE = "phase"
    AGE = "age"
    USED = "used"


_KEYS: Final = {
    "c": Sort.CPU,
    "m": Sort.MEMORY,
    "d": Sort.DISK,
    "n": Sort.NAME,
    "p": Sort.PHASE,
    "a": Sort.AGE,
    "u": Sort.USED,
}
COLUMNS: Final = (
    Column("NAME"),
    Column("PHASE"),
    Column("CPU", 1, right=True),
    Column("MEMORY", 1, right=True),
    Column("DISK", 3, right=True),
    Column("TEMPLATE", 4),
    Column("AGE", 5),
    Column("LAST USED", 6),
    Column("WHY", 2),
)


@dataclass(frozen=True, slots=True)
class Use:
    """As of one moment. `cores` needs two of them: it is None at first."""

    cpu_seconds: float
    memory_mib: int
    disk_mib: int
    at: float
    cores: float | None = None

    def after(self, before: "Use | None") -> "Use":
        """With the cores that it used since then."""
        if before is None or self.at <= before.at or self.cpu_seconds < before.cpu_seconds:
            return self
        cores = (self.cpu_seconds - before.cpu_seconds) / (self.at - before.at)
        return Use(self.cpu_seconds, self.memory_mib, self.disk_mib, self.at, cores)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is shown, and in which order."""

    owner: str | None
    template: str | None
    phase: str | None
    labels: Mapping[str, str]
    sort: Sort = Sort.CPU
    reverse: bool = False


def top(
    everyone: Annotated[bool, typer.Option("--all", "-a", help="Everybody's.")] = False,
    owner: Annotated[str | None, typer.Option("--owner", help="Only this user's.")] = None,
    template: Annotated[
        str | None, typer.Option("--template", "-t", autocompletion=complete_templates)
    ] = None,
    phase: Annotated[str | None, typer.Option("--phase", help="running, stopped, …")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE")] = None,
    sort: Annotated[Sort, typer.Option("--sort", "-s", help="By what.")] = Sort.CPU,
    reverse: Annotated[bool, typer.Option("--reverse", "-r")] = False,
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=INTERVAL_MIN_S, help="Seconds.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Watch workspaces and what they use. Keys: c m d n p a u sort, r turns round, q ends.

    Without a terminal it looks once.
    """
    asked = Asked(
        owner=owner if owner is not None else None if everyone else "me",
        template=template,
        phase=phase,
        labels=pairs(label or [], option="--label"),
        sort=sort,
        reverse=reverse,
    )
    with connect() as api:
        fleet = Fleet(api)
        if as_json:
            fleet.look(asked, shown=ROWS_MAX)
            screen.print_json(fleet.document(asked))
        elif once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            fleet.look(asked, shown=LOOKED_AT_MAX)
            screen.print_table(COLUMNS, fleet.cells(asked), empty="There are no workspaces.")
        else:
            _watch(fleet, asked, interval)


class Fleet:
    """What was seen at the last look."""

    def __init__(self, api: "Alcove") -> None:
        self._api = api
        self.found: list[Info] = []
        self.uses: dict[str, Use] = {}
        self.fault = ""

    def look(self, asked: Asked, *, shown: int) -> None:
        """Ask again. Raises AlcoveError."""
        listed = self._api.workspaces.list(
            owner=asked.owner, template=asked.template, phase=asked.phase, labels=asked.labels
        )
        self.found = [workspace.info for workspace in islice(listed, ROWS_MAX)]
        running = [info for info in self.ordered(asked) if info.phase == _RUNNING][:shown]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            fresh = list(zip(running, threads.map(self._use, running), strict=True))
        self.uses = {
            info.id: use.after(self.uses.get(info.id)) for info, use in fresh if use is not None
        }

    def ordered(self, asked: Asked) -> "list[Info]":
        """The largest first where it is about a size; by name where it is the same."""
        key = _ORDER[asked.sort]
        by_name = sorted(self.found, key=lambda info: (info.owner, info.name))
        return sorted(by_name, key=lambda i: key(i, self.uses.get(i.id)), reverse=asked.reverse)

    def cells(self, asked: Asked) -> list[tuple[str, ...]]:
        """One line for each, in order."""
        now = system_clock()
        return [self._cells(info, asked, now) for info in self.ordered(asked)]

    def summary(self) -> str:
        """`12 workspaces: 9 running, 3 stopped · 4.2 cores · 12.0 GiB`."""
        phases = Counter(str(info.phase) for info in self.found)
        told = ", ".join(f"{number} {phase}" for phase, number in phases.most_common())
        cores = sum(use.cores or 0.0 for use in self.uses.values())
        memory = sum(use.memory_mib for use in self.uses.values())
        noun = "workspace" if len(self.found) == 1 else "workspaces"
        return (
            f"{len(self.found)} {noun}{f': {told}' if told else ''}"
            f" · {cores:.1f} cores · {screen.size(memory * 2**20)}"
        )

    def document(self, asked: Asked) -> dict[str, object]:
        items: list[dict[str, object]] = []
        for info in self.ordered(asked):
            use = self.uses.get(info.id)
            item = info.model_dump(mode="json")
            if use is not None:
                item["usage"] = {
                    "cpu_seconds": use.cpu_seconds,
                    "memory_mib": use.memory_mib,
                    "disk_mib": use.disk_mib,
                }
            items.append(item)
        return {"items": items}

    def _use(self, info: "Info") -> Use | None:
        try:
            used = self._api.workspaces.get(info.id).info.usage
        except AlcoveError:
            # It has gone since: the next look tells.
            return None
        if used is None:
            return None
        return Use(used.cpu_seconds, used.memory_mib, used.disk_mib, time.monotonic())

    def _cells(self, info: "Info", asked: Asked, now: datetime) -> tuple[str, ...]:
        use = self.uses.get(info.id)
        name = info.name if asked.owner == "me" else f"{info.owner}/{info.name}"
        return (
            name,
            str(info.phase),
            "" if use is None or use.cores is None else f"{use.cores * 100:.0f} %",
            "" if use is None else screen.size(use.memory_mib * 2**20),
            "" if use is None else screen.size(use.disk_mib * 2**20),
            f"{info.template} v{info.template_version}",
            screen.duration((now - info.created_at).total_seconds()),
            screen.ago(info.last_used_at, now=now),
            _why(info),
        )


_ORDER: "Final[Mapping[Sort, Callable[[Info, Use | None], tuple[float | str, ...]]]]" = {
    Sort.CPU: lambda info, use: (-(use.cores or 0.0) if use else 1.0, _rank(info)),
    Sort.MEMORY: lambda info, use: (-use.memory_mib if use else 1, _rank(info)),
    Sort.DISK: lambda info, use: (-use.disk_mib if use else 1, _rank(info)),
    Sort.NAME: lambda info, use: (),
    Sort.PHASE: lambda info, use: (_rank(info), str(info.phase)),
    Sort.AGE: lambda info, use: (-info.created_at.timestamp(),),
    Sort.USED: lambda info, use: (-info.last_used_at.timestamp(),),
}


def _rank(info: "Info") -> int:
    """What needs somebody's eye comes first."""
    if info.phase in {"failed", "unreachable"} or info.health.startswith("degraded"):
        return 0
    return 1 if info.phase == _RUNNING else 2


def _why(info: "Info") -> str:
    if info.phase == _RUNNING:
        return "" if info.health == "ok" else info.health
    return info.reason


def _watch(fleet: Fleet, asked: Asked, interval_s: float) -> None:
    from rich.console import Console  # noqa: PLC0415 - by need
    from rich.live import Live  # noqa: PLC0415

    console = Console()
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                fleet.look(asked, shown=min(LOOKED_AT_MAX, console.height))
                fleet.fault = ""
            except AlcoveError as error:
                if not fleet.found:
                    raise
                fleet.fault = str(error)
            until = time.monotonic() + interval_s
            while True:
                live.update(picture(fleet, asked, console.width, console.height), refresh=True)
                key = pressed(until - time.monotonic())
                if key is None:
                    break
                if key in {"q", "\x1b", "\x03"}:
                    return
                asked = turned(asked, key)


def turned(asked: Asked, key: str) -> Asked:
    """What a key makes of it; the same key again turns the order round."""
    sort = _KEYS.get(key.lower())
    if key.lower() != "r" and sort is None:
        return asked
    same = sort is None or sort is asked.sort
    return Asked(
        asked.owner,
        asked.template,
        asked.phase,
        asked.labels,
        sort or asked.sort,
        reverse=not asked.reverse if same else False,
    )


def picture(fleet: Fleet, asked: Asked, width: int, height: int) -> "RenderableType":
    """One screen: the sum, as many lines as fit, what the keys do."""
    from rich.console import Group  # noqa: PLC0415 - by need
    from rich.text import Text  # noqa: PLC0415

    cells = fleet.cells(asked)
    room = max(1, height - HEAD_LINES - (1 if fleet.fault else 0))
    left = len(cells) - room
    parts: list[RenderableType] = [
        Text(screen.clean(fleet.summary()), style="bold", no_wrap=True, overflow="ellipsis")
    ]
    if fleet.fault:
        fault = Text(screen.clean(fleet.fault), style="yellow", no_wrap=True, overflow="ellipsis")
        parts.append(fault)
    parts.append(screen.table(COLUMNS, cells[:room], width))
    more = f"{left} more · " if left > 0 else ""
    order = f"by {asked.sort}{' (turned round)' if asked.reverse else ''}"
    keys = f"{more}{order} · c m d n p a u sort · r turn · q end"
    parts += [Text(""), Text(keys, style="dim", no_wrap=True, overflow="ellipsis")]
    return Group(*parts)


@contextmanager
def _keys() -> "Generator[Callable[[float], str | None]]":
    """Keys as they are pressed: what is yielded waits so many seconds for one."""
    import termios  # noqa: PLC0415 - not on every system
    import tty  # noqa: PLC0415

    def pressed(timeout_s: float) -> str | None:
        ready, _, _ = select([0], [], [], max(0.0, timeout_s))
        if not ready:
            return None
        return os.read(0, 16).decode(errors="replace")[:1] or "q"

    before = termios.tcgetattr(0)
    try:
        tty.setcbreak(0)
        yield pressed
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
