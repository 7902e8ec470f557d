"""Showing how a workspace comes up: a tree that changes in a terminal, lines elsewhere.

The log is followed by a thread of its own, which ends with the program and never disturbs it.
"""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from alcove.cli import screen
from alcove.cli.tree import State, Tree

if TYPE_CHECKING:
    from alcove.sdk import Goal, Workspace

EVENTS_LOOKED_AT: Final = 50
HEALTH_CHANGED: Final = "workspace.health_changed"


def watch(one: "Workspace", goal: "Goal", *, quiet: bool) -> Tree:
    """Wait for the goal; answers the steps on the way. `quiet`: show nothing of them.

    Raises what `changes` raises.
    """
    tree, lock = Tree(), threading.Lock()
    with _shown(one.name, tree, lock, quiet=quiet) as follow:
        if follow:
            thread = threading.Thread(target=_read, args=(one, tree, lock), daemon=True)
            thread.start()
        for info in one.changes(goal):
            with lock:
                tree.saw(info, time.monotonic())
        told = _told(one) if follow else ()
        with lock:
            tree.saw(one.info, time.monotonic())
            tree.finish(told, time.monotonic())
    return tree


@contextmanager
def _shown(name: str, tree: Tree, lock: threading.Lock, *, quiet: bool) -> Generator[bool]:
    """Yields whether anybody sees it."""
    if quiet:
        yield False
        return
    with screen.changing(lambda: _lines(name, tree, lock)) as seen:
        yield seen
    if not seen:
        for step in tree.steps:
            screen.say(f"{name}: {step.line(time.monotonic())}")


def _lines(name: str, tree: Tree, lock: threading.Lock) -> list[tuple[str, str]]:
    now = time.monotonic()
    with lock:
        styles = {State.RUNNING: "", State.DONE: "green", State.FAILED: "bold red"}
        return [(name, "bold"), *((f"  {s.line(now)}", styles[s.state]) for s in tree.steps)]


def _read(one: "Workspace", tree: Tree, lock: threading.Lock) -> None:
    # Whatever happens to the log, also that the connection is closed under it at the end of the
    # wait, is nothing to bother anybody with here.
    with suppress(Exception):
        for line in one.logs(follow=True):
            with lock:
                tree.read(line.source, line.line, time.monotonic())


def _told(one: "Workspace") -> list[object]:
    """What the start-up's end was said to be, step by step."""
    found: list[object] = []
    # It runs; that nobody can tell how long each step took is no failure.
    with suppress(Exception):
        for count, event in enumerate(one.events()):
            steps = event.detail.get("steps")
            if event.type == HEALTH_CHANGED and isinstance(steps, list):
                found = steps  # pyright: ignore[reportUnknownVariableType]
            if count >= EVENTS_LOOKED_AT:
                break
    return found  # pyright: ignore[reportUnknownVariableType]
