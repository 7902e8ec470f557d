"""How much of each package of `alcove` the tests reach: lines and branches, in one table.

Arguments are pytest's; without any it runs all tests but those whose Alcove is another process
(in a browser, or on the machine), which therefore cannot be seen from here, and those that bound
a time, which being measured makes longer.
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
APART: Final = ("tests/browser", "tests/e2e", "tests/host")
# The store's transactions run in greenlets, password hashes and files in threads; to follow
# greenlets makes everything slower, so that only this asks for it.
SETTINGS: Final = """\
[run]
branch = true
source = alcove
concurrency = greenlet,thread
data_file = {directory}/data
"""
EVERYTHING: Final = (
    "--numprocesses=2",
    "-m",
    "not timed",
    *(f"--ignore={name}" for name in APART),
)


@dataclass(slots=True)
class Reached:
    """Of one package. A branch is one way on from a line that has several."""

    lines: int = 0
    lines_of: int = 0
    branches: int = 0
    branches_of: int = 0

    def add(self, summary: Mapping[str, int]) -> None:
        self.lines += summary["covered_lines"]
        self.lines_of += summary["num_statements"]
        self.branches += summary["covered_branches"]
        self.branches_of += summary["num_branches"]

    def row(self, name: str) -> str:
        both = _percent(self.lines + self.branches, self.lines_of + self.branches_of)
        lines = _percent(self.lines, self.lines_of)
        branches = _percent(self.branches, self.branches_of)
        return (
            f"{name:<12}{self.lines_of:>8}{lines:>9}{self.branches_of:>10}{branches:>9}{both:>9}"
        )


def main() -> int:
    """Returns pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="alcove-coverage-") as directory:
        report, settings = Path(directory) / "report.json", Path(directory) / "settings"
        settings.write_text(SETTINGS.format(directory=directory))
        asked = sys.argv[1:] or EVERYTHING
        measure = ("--cov", f"--cov-config={settings}", f"--cov-report=json:{report}")
        done = subprocess.run([sys.executable, "-m", "pytest", *measure, *asked], cwd=ROOT)
        if not report.exists():
            return done.returncode or 1
        sys.stdout.write(table(json.loads(report.read_text())))
    return done.returncode


def table(report: Mapping[str, Any]) -> str:
    """From coverage's report in JSON: a row for each package, and one for all."""
    packages, whole = defaultdict[str, Reached](Reached), Reached()
    for name, found in report["files"].items():
        path = Path(name).relative_to("src/alcove")
        package = path.parts[0] if len(path.parts) > 1 else "(top)"
        packages[package].add(found["summary"])
        whole.add(found["summary"])
    head = f"{'package':<12}{'lines':>8}{'reached':>9}{'branches':>10}{'reached':>9}{'both':>9}"
    rows = [packages[name].row(name) for name in sorted(packages)]
    return "\n".join([head, *rows, whole.row("alcove")]) + "\n"


def _percent(part: int, whole: int) -> str:
    """Rounded down: only all of it is 100 %."""
    return f"{part * 1000 // whole / 10:.1f} %" if whole else "–"


if __name__ == "__main__":
    sys.exit(main())
