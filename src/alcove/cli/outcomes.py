"""Waiting until a workspace is what was asked for, and saying what came of it."""

import time
from typing import TYPE_CHECKING

from alcove.cli import screen
from alcove.cli.coming_up import watch
from alcove.sdk.errors import WaitTimeout, WorkspaceFailed

if TYPE_CHECKING:
    from alcove.sdk import Goal, Workspace
    from alcove.wire.workspaces import Workspace as Info


def told(one: "Workspace", goal: "Goal | None", *, as_json: bool, verb: str) -> None:
    """Wait with a changing line, then say what came of it."""
    since = time.monotonic()
    if goal is not None:
        try:
            _wait(one, goal, quiet=as_json)
        except (WorkspaceFailed, WaitTimeout) as error:
            error.message += f"\nLook at `alcove logs {one.name}` and `alcove show {one.name}`."
            raise
    if as_json:
        screen.print_json(one.info)
    elif goal is None:
        screen.say_done(f"{one.name} is {one.phase}")
    else:
        screen.say_done(f"{one.name} {verb} ({time.monotonic() - since:.1f} s)")
        if one.health.startswith("degraded"):
            screen.say_warning(f"{one.health}; `alcove logs {one.name}` has more")


def _wait(one: "Workspace", goal: "Goal", *, quiet: bool) -> None:
    """Show how it comes up, step by step; of other ways phase and reason as they change."""
    if goal == "ready":
        watch(one, goal, quiet=quiet)
        return
    with screen.progress(progress_line(one.info)) as shown:
        for info in one.changes(goal):
            shown.say(progress_line(info))


def progress_line(info: "Info") -> str:
    told = info.reason if info.phase != "running" else f"start-up: {info.health}"
    return f"{info.name}: {info.phase}" + (f" · {told}" if told else "")


def goal_of(name: str) -> "Goal":
    from alcove.sdk import Goal  # noqa: PLC0415

    return Goal(name)
