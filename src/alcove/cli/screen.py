"""What people see: tables, sentences, progress. What programs see: JSON.

Answers go to stdout, everything else to stderr. What the server sent is never printed raw:
control characters in it would be commands to the terminal.
"""

import json
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

from alcove.clock import system_clock

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH_UNBOUNDED: Final = 1_000_000
SPINNER_WIDTH: Final = 3
_STYLES: Final = {
    "running": "green",
    "failed": "bold red",
    "unreachable": "red",
    "stopped": "dim",
    "paused": "cyan",
    "deleted": "dim",
    "error": "bold red",
    "warning": "yellow",
    "missing": "bold red",
    "ok": "green",
}
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Column:
    """`importance` 0 always stays; on a narrow terminal the highest number goes first."""

    title: str
    importance: int = 0
    right: bool = False


def print_json(document: "BaseModel | Mapping[str, object]") -> None:
    """One document, indented for a terminal and on one line for a program."""
    text = json.dumps(plain(document), indent=2 if sys.stdout.isatty() else None, default=str)
    sys.stdout.write(text + "\n")


def print_json_line(document: "BaseModel | Mapping[str, object]") -> None:
    """One line, out at once, for what streams."""
    sys.stdout.write(json.dumps(plain(document), default=str) + "\n")
    sys.stdout.flush()


def plain(document: object) -> object:
    """What `json` can write: models as the API writes them."""
    dump = getattr(document, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(document, Mapping):
        entries = cast("Mapping[str, object]", document)
        return {key: plain(value) for key, value in entries.items()}
    if isinstance(document, list | tuple):
        return [plain(item) for item in cast("Sequence[object]", document)]
    return document


def clean(text: str, *, lines: bool = False) -> str:
    """The text with control characters made visible; `lines` keeps newlines and tabs."""
    kept = "\n\t" if lines else ""
    return "".join(
        c if c.isprintable() or c in kept else ("\N{REPLACEMENT CHARACTER}" if c != "\n" else " ")
        for c in text
    )


def say(text: str) -> None:
    """A sentence beside the answer."""
    _console(stderr=True).print(clean(text, lines=True), markup=False, highlight=False)


def say_done(text: str) -> None:
    console = _console(stderr=True)
    console.print("[green]✓[/] ", end="")
    console.print(clean(text, lines=True), markup=False, highlight=False)


def say_warning(text: str) -> None:
    console = _console(stderr=True)
    console.print("[yellow]![/] ", end="")
    console.print(clean(text, lines=True), markup=False, highlight=False)


def answer(text: str) -> None:
    """A line on stdout, out at once."""
    sys.stdout.write(clean(text, lines=True) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Columns without content are left out, and those that do not fit, the least important first.

    `empty` is what to say when there are no rows.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        say(empty)
        return
    console = _console()
    _print_trimmed(console, table(columns, cells, console.width))


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> "Table":
    """For `print_table`, and for what is drawn again and again."""
    from rich.table import Table  # noqa: PLC0415

    cells = [[clean(cell) for cell in row] for row in rows]
    shown = _fitting(columns, cells, width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index in shown:
        column = columns[index]
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in cells:
        table.add_row(*(_styled(row[index]) for index in shown))
    return table


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names and values, one below the other; empty values are left out."""
    from rich.table import Table  # noqa: PLC0415

    console = _console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(name, _styled(clean(value, lines=True)))
    _print_trimmed(console, table)


class Progress:
    """A line that changes while one waits; silent where stderr is not a terminal."""

    def __init__(self, update: "_Updater | None") -> None:
        self._update = update

    @property
    def seen(self) -> bool:
        """Whether anybody sees it."""
        return self._update is not None

    def say(self, text: str) -> None:
        if self._update is not None:
            self._update.say(clean(text))


class _Updater:
    def __init__(self, console: "Console", text: str) -> None:
        self._console = console
        self._status = console.status(self._line(text), spinner="dots")

    def say(self, text: str) -> None:
        self._status.update(self._line(text))

    def _line(self, text: str) -> "Text":
        """Cut at the terminal's edge: a line that wraps would jump up and down."""
        from rich.text import Text  # noqa: PLC0415

        line = Text(text)
        line.truncate(max(10, self._console.width - SPINNER_WIDTH), overflow="ellipsis")
        return line

    def __enter__(self) -> "_Updater":
        self._status.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._status.stop()


@contextmanager
def progress(text: str) -> Generator[Progress]:
    """Show that something is under way, and what."""
    console = _console(stderr=True)
    if not console.is_terminal:
        yield Progress(None)
        return
    with _Updater(console, clean(text)) as updater:
        yield Progress(updater)


def seen() -> bool:
    """Whether somebody sees what goes to stderr and stdout as it comes."""
    return sys.stderr.isatty() and sys.stdout.isatty()


@contextmanager
def changing(lines: "Callable[[], Sequence[tuple[str, str]]]") -> Generator[bool]:
    """Lines with their styles that are asked for again several times a second, and stay as they
    were last; yields False, and shows nothing, where stderr is not a terminal."""
    console = _console(stderr=True)
    if not console.is_terminal:
        yield False
        return
    from rich.live import Live  # noqa: PLC0415 - by need
    from rich.text import Text  # noqa: PLC0415

    def drawn() -> "Text":
        text = Text(no_wrap=True, overflow="ellipsis")
        for number, (line, style) in enumerate(lines()):
            text.append("\n" if number else "")
            text.append(clean(line), style=style)
        return text

    with Live(get_renderable=drawn, console=console, refresh_per_second=10):
        yield True


@contextmanager
def byte_progress(text: str, total: int | None) -> Generator["ByteProgress"]:
    """A bar for bytes; silent where stderr is not a terminal."""
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TextColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415

    console = _console(stderr=True)
    if not console.is_terminal:
        yield ByteProgress(None)
        return
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=console,
        transient=True,
    )
    with bars:
        task = bars.add_task(clean(text), total=total)
        yield ByteProgress(lambda count: bars.advance(task, count))


class ByteProgress:
    """Call `add` with the number of bytes just moved."""

    def __init__(self, advance: "Callable[[int], None] | None") -> None:
        self._advance = advance

    def add(self, count: int) -> None:
        if self._advance is not None:
            self._advance(count)


def ago(moment: datetime | None, *, now: datetime | None = None) -> str:
    """`3 min ago`, `in 4 h`; programs get the exact time with --json."""
    if moment is None:
        return ""
    seconds = ((now or system_clock()) - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    span = duration(abs(seconds))
    return f"{span} ago" if seconds > 0 else f"in {span}"


def duration(seconds: float) -> str:
    """The largest unit that says enough: 90 min, 36 h, 5 d."""
    for size, unit in _UNITS:
        # Up to two of a larger unit the smaller one tells more.
        if seconds >= 2 * size or unit == "s":
            return f"{int(seconds // size)} {unit}"
    raise AssertionError("the last unit takes everything")


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit takes everything")


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=stderr, soft_wrap=False)
    if not console.is_terminal:
        # A pipe has no width: nothing is cut for a program that reads it.
        console.width = WIDTH_UNBOUNDED
    return console


def _fitting(columns: Sequence[Column], cells: list[list[str]], width: int) -> list[int]:
    from rich.cells import cell_len  # noqa: PLC0415

    widths = [
        max([cell_len(column.title), *(cell_len(row[i]) for row in cells)]) + 2
        for i, column in enumerate(columns)
    ]
    shown = [i for i, c in enumerate(columns) if not c.importance or any(row[i] for row in cells)]
    while sum(widths[i] for i in shown) - 2 > width:
        spare = max(shown, key=lambda i: (columns[i].importance, i))
        if columns[spare].importance == 0:
            break
        shown.remove(spare)
    return shown


def _styled(cell: str) -> "Text":
    from rich.text import Text  # noqa: PLC0415

    return Text(cell, style=_STYLES.get(cell.partition(":")[0], ""))


def _print_trimmed(console: "Console", table: object) -> None:
    """Without the blanks that rich adds at the ends of lines."""
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")
