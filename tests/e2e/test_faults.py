"""kill -9 of what serves: workspaces live on, and afterwards the world matches the record."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alcove import Alcove
from alcove.sdk import AlcoveError, NotFound
from bench.transfers import process_of
from demo import leftovers
from demo.instance import Instance

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAMS = ("server", "host")
ROUNDS = 6


def _kill(installation: Instance, program: str) -> None:
    """Once it runs (the supervisor pauses between starts), end it as nothing can be handled."""
    _eventually(lambda: _runs(installation, program))
    os.kill(process_of(installation, program), signal.SIGKILL)


def _runs(installation: Instance, program: str) -> bool:
    try:
        return process_of(installation, program) > 0
    except RuntimeError:
        return False


def _eventually(claim: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _answers(alcove: Alcove) -> bool:
    try:
        return alcove.server.info().version != ""
    except AlcoveError:
        return False


def _gone(alcove: Alcove, workspace: str) -> bool:
    try:
        return alcove.workspaces.get(workspace).phase == "deleted"
    except NotFound:
        return True
    except AlcoveError:
        return False


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_workspace_and_its_processes_outlive_what_serves(
    alcove: Alcove, installation: Instance, program: str
) -> None:
    with alcove.workspaces.create(template="base") as workspace:
        workspace.exec("nohup sleep 4321 >/dev/null 2>&1 & echo $! > pid")
        _kill(installation, program)
        _eventually(lambda: _answers(alcove))
        _eventually(lambda: workspace.refresh().phase == "running")
        alive = workspace.exec("kill -0 $(cat pid)")
        assert alive.ok


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_creation_that_was_cut_off_is_finished(
    alcove: Alcove, installation: Instance, program: str
) -> None:
    made = list[str]()
    for n in range(ROUNDS):
        workspace = alcove.workspaces.create(template="base", wait=False)
        made.append(workspace.id)
        # Somewhere between the acceptance and the end, a little later in each round.
        time.sleep(n * 0.05)
        _kill(installation, program)
        _eventually(lambda: _answers(alcove))
    for id in made:
        workspace = alcove.workspaces.get(id).wait(timeout_s=120)
        assert workspace.exec("echo well").stdout == "well\n"
        workspace.delete()
    for id in made:
        _eventually(lambda id=id: _gone(alcove, id))
    assert leftovers.of_workspaces(installation, made) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_deletion_that_was_cut_off_is_finished(
    alcove: Alcove, installation: Instance, program: str
) -> None:
    made = [alcove.workspaces.create(template="base") for _ in range(ROUNDS)]
    for n, workspace in enumerate(made):
        workspace.delete()
        time.sleep(n * 0.04)
        _kill(installation, program)
        _eventually(lambda: _answers(alcove))
    for workspace in made:
        _eventually(lambda id=workspace.id: _gone(alcove, id))
    assert leftovers.of_workspaces(installation, [w.id for w in made]) == []


def test_the_record_of_events_has_no_gap(alcove: Alcove) -> None:
    numbers = [event.seq for event in alcove.events.list()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_the_server_is_nobody_special(installation: Instance) -> None:
    status = Path(f"/proc/{process_of(installation, 'server')}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] != "0"
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert fields["Groups"].strip() in ("", fields["Gid"].split()[0])
