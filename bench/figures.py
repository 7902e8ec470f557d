"""One figure: samples, what they are held against, and the goal."""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """`samples` in `unit`; `goal` is for people, `met` whether this run reached it.

    No samples: it was not measured, and `note` says why.
    """

    name: str
    unit: str
    samples: Sequence[float]
    goal: str
    met: bool | None
    floors: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    note: str = ""

    def quantile(self, share: float) -> float:
        return quantile(self.samples, share)


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample below which that share of all lies (nearest rank)."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def timed_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def show(figures: Sequence[Figure], console: Console) -> None:
    """One row per figure, its floors below it."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("figure", "p50", "p95", "p99", "unit", "n", "goal", ""):
        table.add_column(title, justify="right" if title in ("p50", "p95", "p99", "n") else "left")
    for figure in figures:
        mark = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[figure.met]
        mark = mark if figure.samples else "not measured"
        table.add_row(figure.name, *_row(figure.samples), figure.unit, _n(figure.samples),
                      figure.goal, mark)  # fmt: skip
        for name, samples in figure.floors.items():
            table.add_row(f"[dim]  {name}[/]", *_row(samples), figure.unit, _n(samples), "", "")
    console.print(table)
    for figure in figures:
        if figure.note:
            console.print(f"{figure.name}: {figure.note}", markup=False, highlight=False)


def save(figures: Sequence[Figure], path: Path) -> None:
    """All samples as JSON, for comparing runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = [
        {"name": f.name, "unit": f.unit, "goal": f.goal, "met": f.met,
         **({"p50": f.quantile(0.5), "p95": f.quantile(0.95), "p99": f.quantile(0.99)}
            if f.samples else {}),
         "samples": list(f.samples), "floors": {k: list(v) for k, v in f.floors.items()},
         "note": f.note}
        for f in figures
    ]  # fmt: skip
    path.write_text(json.dumps(document, indent=1) + "\n")


def _row(samples: Sequence[float]) -> list[str]:
    if not samples:
        return ["–"] * 3
    return [f"{quantile(samples, share):.4g}" for share in (0.5, 0.95, 0.99)]


def _n(samples: Sequence[float]) -> str:
    return str(len(samples))
