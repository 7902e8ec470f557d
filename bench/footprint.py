"""What an idle server weighs, and how soon the command line is there."""

import subprocess
import sys
from pathlib import Path

from bench.figures import Figure, median, timed_ms
from bench.transfers import process_of, rss_mib
from demo.instance import Instance

_RUNS = 15


def footprint(instance: Instance) -> list[Figure]:
    """RSS of `alcove server`, and `alcove --version` beside the interpreter alone."""
    rss = rss_mib(process_of(instance, "server"))
    alcove = str(Path(sys.executable).with_name("alcove"))
    version = [timed_ms(lambda: _run(alcove, "--version")) for _ in range(_RUNS)]
    bare = [timed_ms(lambda: _run(sys.executable, "-c", "")) for _ in range(_RUNS)]
    return [
        Figure("idle server RSS", "MiB", [rss], "≤ 150", rss <= 150),
        Figure("alcove --version", "ms", version, "p50 ≤ 150", median(version) <= 150,
               {"python -c ''": bare}),
    ]  # fmt: skip


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
