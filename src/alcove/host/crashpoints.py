"""Where tests kill the host process: before and after each step of each verb, `sleep`
and `wake` being what `pause` and `resume` are where memory is kept on disk.

One rule: the steps are named here, in their order, so that a test can walk all of them and a step
that is not listed cannot be taken.
"""

import os
import signal
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_UP: Final = (
    "record", "clean", "volume", "mount", "layer", "root", "listen", "container", "network", "go",
    "keep",
)  # fmt: skip
_DOWN: Final = ("terminate", "kill", "network", "runtime", "unmount", "listener")

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "create": _UP,
    "start": _UP,
    "stop": (*_DOWN, "keep"),
    "destroy": (*_DOWN, "volume", "forget"),
    "adopt": ("limits", "name", "network", "keep"),
    "pause": ("note", "hide", "freeze"),
    "sleep": ("checkpoint", "sum", "keep", "kill", "clear"),
    "wake": (*_UP[1:], "show"),
    "resume": ("note", "thaw", "show"),
    "take_snapshot": ("begin", "freeze", "copy", "thaw", "sum", "keep"),
    "drop_snapshot": ("hide", "remove"),
}


class CrashPoints:
    """`file` names the point, as `verb:step:before` or `verb:step:after`; None for never."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    @contextmanager
    def step(self, verb: str, name: str) -> Generator[None]:
        if name not in STEPS[verb]:
            raise AssertionError(f"{verb} has no step {name}")
        self._reach(f"{verb}:{name}:before")
        yield
        self._reach(f"{verb}:{name}:after")

    def _reach(self, point: str) -> None:
        if self._file is not None and self._file.exists() and self._file.read_text() == point:
            os.kill(os.getpid(), signal.SIGKILL)


def every_point() -> Iterator[str]:
    for verb, steps in STEPS.items():
        for step in steps:
            yield f"{verb}:{step}:before"
            yield f"{verb}:{step}:after"
