"""The supervisor keeps two processes running, and ends with them when told to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from alcove.ops import supervise
from alcove.ops.layout import Layout

_PROGRAM = """#!/bin/sh
echo $$ >> {dir}/$1.pids
exec sleep 1000
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    for path in (layout.run_dir, layout.log_dir, layout.apps / "one/bin"):
        path.mkdir(parents=True)
    program = layout.apps / "one/bin/alcove"
    program.write_text(_PROGRAM.format(dir=tmp_path))
    program.chmod(0o755)
    layout.current.symlink_to(layout.apps / "one")
    return layout


@pytest.fixture
def supervisor(layout: Layout) -> Generator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "alcove.ops.supervise", str(layout.data_dir), "root"]
    source = str(Path(supervise.__file__).parents[2])
    with subprocess.Popen(command, env={"PYTHONPATH": source}) as process:
        yield process
        process.terminate()


def _pids(layout: Layout, name: str, count: int) -> list[int]:
    """The pids a program had so far, once there are that many."""
    file = layout.data_dir / f"{name}.pids"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = file.read_text().split() if file.exists() else []
        if len(found) >= count:
            return [int(pid) for pid in found]
        time.sleep(0.02)
    raise AssertionError(f"{name} was not started {count} times")


@pytest.mark.root
@pytest.mark.usefixtures("supervisor")
def test_a_process_that_falls_is_started_again(layout: Layout) -> None:
    [first] = _pids(layout, "server", 1)
    os.kill(first, signal.SIGKILL)
    assert len(_pids(layout, "server", 2)) == 2
    assert len(_pids(layout, "host", 1)) == 1


@pytest.mark.root
def test_both_end_with_the_supervisor(
    layout: Layout, supervisor: "subprocess.Popen[bytes]"
) -> None:
    pids = [*_pids(layout, "server", 1), *_pids(layout, "host", 1)]
    assert supervise.running(layout) == supervisor.pid
    supervisor.terminate()
    assert supervisor.wait(10) == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert supervise.running(layout) is None


@pytest.mark.root
@pytest.mark.usefixtures("supervisor")
def test_a_second_supervisor_leaves_the_first_alone(layout: Layout) -> None:
    _pids(layout, "server", 1)
    command = [sys.executable, "-m", "alcove.ops.supervise", str(layout.data_dir), "root"]
    source = str(Path(supervise.__file__).parents[2])
    second = subprocess.run(
        command, env={"PYTHONPATH": source}, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert "already" in second.stdout
