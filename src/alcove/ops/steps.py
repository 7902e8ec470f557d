"""A visible list of steps: what is being done, how long it took, what went wrong."""

import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

_DONE, _SKIPPED, _FAILED = "[green]✓[/]", "[dim]·[/]", "[red]✗[/]"
_SLOW_S: Final = 0.05


class StepFailed(Exception):
    """A step could not be done. The message says what happened and what to do about it."""


def need_root(command: str) -> None:
    """Raises StepFailed for anybody but root."""
    if os.geteuid() != 0:
        raise StepFailed(f"`{command}` needs root: run it with sudo")


class Progress:
    """Handed to a step, to say what it is at."""

    def __init__(self, update: Callable[[str], None]) -> None:
        self._update = update
        self.result = ""
        """What stands behind the finished step: a version, a path, "already there"."""
        self.skipped = False

    def say(self, text: str) -> None:
        self._update(text)

    def already(self, text: str = "already there") -> None:
        self.result, self.skipped = text, True


class Steps:
    """Prints one line per step; on a terminal the running one is animated."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str) -> Generator[Progress]:
        started = time.monotonic()
        with self._console.status(f"{title} …", spinner="dots") as status:
            progress = Progress(lambda text: status.update(f"{title} … [dim]{text}[/]"))
            try:
                yield progress
            except StepFailed as error:
                self._console.print(f"{_FAILED} {title}\n  {error}", highlight=False)
                raise
            except Exception:
                self._console.print(f"{_FAILED} {title}", highlight=False)
                raise
        took = time.monotonic() - started
        mark = _SKIPPED if progress.skipped else _DONE
        note = f" [dim]{progress.result}[/]" if progress.result else ""
        clock = f" [dim]{took:.1f}s[/]" if took > _SLOW_S else ""
        self._console.print(f"{mark} {title}{note}{clock}", highlight=False)
