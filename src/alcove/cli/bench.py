"""`alcove bench`: how long one waits on this server, as a client of it sees it."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, connect
from alcove.cli.workspace_options import IsolationOption

if TYPE_CHECKING:
    from alcove.sdk import Alcove
    from alcove.sdk._sync.workspace import Workspace


def bench(
    template: Annotated[
        str, typer.Option("--template", "-t", help="What to make workspaces of.")
    ] = "ai-agent-sandbox",
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, max=1000)] = 10,
    isolation: Annotated[
        IsolationOption | None, typer.Option(help="Default: the template's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure create to first output, and a command in a running workspace.

    Makes as many ephemeral workspaces as there are rounds, one after the other, and deletes them.
    """
    with connect() as api:
        begun = [_created(api, template, isolation) for _ in range(rounds)]
        with _make(api, template, isolation) as workspace:
            execs = [_timed_ms(lambda: _echo(workspace)) for _ in range(rounds)]
    figures = {
        "create to first output": [ms for ms, _ in begun],
        "a command": execs,
    }
    started = sorted({how for _, how in begun})
    if as_json:
        told = {name: {"ms": [round(ms, 3) for ms in found]} for name, found in figures.items()}
        screen.print_json({"rounds": rounds, "started": started, "figures": told})
        return
    screen.print_table(
        [Column("FIGURE"), Column("P50"), Column("P95"), Column("SLOWEST")],
        [
            (name, *(f"{ms:.1f} ms" for ms in (statistics.median(found), _p95(found), max(found))))
            for name, found in figures.items()
        ],
        empty="",
    )
    screen.say(f"{rounds} workspaces of {template}, started from: {', '.join(started)}")


def _created(api: "Alcove", template: str, isolation: IsolationOption | None) -> tuple[float, str]:
    """Milliseconds, and what it was started from."""
    began = time.perf_counter()
    with _make(api, template, isolation) as workspace:
        _echo(workspace)
        took = (time.perf_counter() - began) * 1000
        return took, str(workspace.refresh().info.started)


def _make(api: "Alcove", template: str, isolation: IsolationOption | None) -> "Workspace":
    return api.workspaces.create(
        template=template,
        ephemeral=True,
        ttl="10m",
        isolation=isolation.value if isolation else None,
    )


def _echo(workspace: "Workspace") -> None:
    done = workspace.exec(["echo", "hi"])
    assert done.stdout == "hi\n", "echo says something else"


def _timed_ms(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _p95(found: Sequence[float]) -> float:
    return sorted(found)[min(len(found) - 1, round(0.95 * len(found)))]
