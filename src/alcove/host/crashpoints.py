"""Where tests kill the host process: before and after each step of each verb.

One rule: the steps are named here, in their order, so that a test can walk all of them and a step
that is not listed cannot be taken.
"""

import os
import signal
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_UP: Final = ("record", "clean", "volume", "mount", "layer", "root", "listen", "run", "keep")
_DOWN: Final = ("terminate", "kill", "network", "runtime", "unmount", "listener")

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "create": _UP,
    "start": _UP,
    "stop": (*_DOWN, "keep"),
    "destroy": (*_DOWN, "volume", "forget"),
}


class CrashPoints:
    """`at` is `verb:step:before` or `verb:step:after`; empty for never."""

    def __init__(self, at: str = "") -> None:
        if at and at not in set(every_point()):
            raise ValueError(f"{at!r} is not a crash point; they are: {', '.join(every_point())}")
        self._at = at

    @contextmanager
    def step(self, verb: str, name: str) -> Generator[None]:
        if name not in STEPS[verb]:
            raise AssertionError(f"{verb} has no step {name}")
        self._reach(f"{verb}:{name}:before")
        yield
        self._reach(f"{verb}:{name}:after")

    def _reach(self, point: str) -> None:
        if point == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def every_point() -> Iterator[str]:
    for verb, steps in STEPS.items():
        for step in steps:
            yield f"{verb}:{step}:before"
            yield f"{verb}:{step}:after"
