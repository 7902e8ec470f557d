"""`python -m bench [NAME …]`: run all measurements or those named; a table, and JSON beside it."""

import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import control_plane, operators
from bench.figures import Figure, save, show
from bench.footprint import footprint
from bench.gvisor import gvisor
from bench.pages import pages
from bench.pools import pools
from bench.recordings import recordings
from bench.ssh import ssh
from bench.terminal import terminal
from bench.transfers import transfers
from bench.workspaces import cold, execs, prepare
from demo.instance import Instance, running

WITH_INSTANCE: Final[dict[str, Callable[[Instance], list[Figure]]]] = {
    "footprint": footprint,
    "cold": cold,
    "execs": execs,
    "gvisor": gvisor,
    "pools": pools,
    "ssh": ssh,
    "transfers": transfers,
}
ALONE: Final[dict[str, Callable[[], list[Figure]]]] = {
    "control-plane": control_plane.measure,
    "pages": pages,
    "recordings": recordings,
    "terminal": terminal,
    "operators": operators.measure,
}
RESULTS: Final = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    """Returns 1 when a goal was missed: a bench that says so is doing its work."""
    console = Console(width=150 if not sys.stdout.isatty() else None)
    known = [*WITH_INSTANCE, *ALONE]
    if unknown := [name for name in names if name not in known]:
        console.print(f"unknown: {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    # What was mounted and started is undone on the way out.
    signal.signal(signal.SIGTERM, _end)
    wanted = names or known
    figures: list[Figure] = []
    for name, measure in ALONE.items():
        if name in wanted:
            figures += _measured(name, measure, console)
    if any(name in WITH_INSTANCE for name in wanted):
        with running() as instance:
            prepare(instance)
            for name, measured in WITH_INSTANCE.items():
                if name in wanted:
                    figures += _measured(name, partial(measured, instance), console)
    show(figures, console)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")  # noqa: TID251 - names a file
    save(figures, RESULTS / f"{stamp}.json")
    return int(any(f.met is False for f in figures))


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _measured(name: str, measure: Callable[[], list[Figure]], console: Console) -> list[Figure]:
    """What one part measured; one that falls is a figure that was missed, and takes no other
    part's with it."""
    console.print(f"[dim]{name} …[/]")
    began = time.monotonic()
    try:
        return measure()
    except Exception as error:
        console.print_exception()
        said = f"not measured: {type(error).__name__}: {error}"
        return [Figure(name, "", [], "", met=False, note=said)]
    finally:
        console.print(f"[dim]{name}: {time.monotonic() - began:.0f} s[/]")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
