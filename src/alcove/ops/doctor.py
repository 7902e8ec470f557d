"""`alcove doctor`: what this machine has and lacks, what each gap costs, how to close it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table

from alcove import config
from alcove.ops import machine, runtimes
from alcove.ops.findings import Finding, State

_MARK: Final = {
    State.OK: "[green]✓[/]",
    State.NOTE: "[dim]·[/]",
    State.WEAK: "[yellow]▲[/]",
    State.MISSING: "[red]✗[/]",
}


def run(*, as_json: bool) -> int:
    """Returns 1 when something is missing that workspaces cannot run without."""
    settings = config.load()
    found = [*runtimes.examine(), *machine.examine(settings)]
    bad = any(f.state is State.MISSING for f in found)
    if as_json:
        document = {"ok": not bad, "findings": [asdict(f) for f in found]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _show(found)
    return int(bad)


def _show(found: Sequence[Finding]) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in found:
        table.add_row(_MARK[finding.state], finding.area, finding.title, finding.value)
    console.print(table)
    for finding in (f for f in found if f.state in (State.WEAK, State.MISSING)):
        console.print(f"\n{_MARK[finding.state]} [bold]{finding.title}[/]: {finding.cost}.")
        if finding.remedy:
            console.print(f"  → {finding.remedy}", highlight=False, soft_wrap=True)
    worst = [f for f in found if f.state is State.MISSING]
    console.print()
    console.print(
        f"{len(worst)} missing: workspaces cannot run yet."
        if worst
        else "Workspaces can run on this machine.",
        highlight=False,
    )
