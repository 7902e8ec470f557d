"""`alcove down`: stop the server and all that runs on this machine for it; keep the data."""

from pathlib import Path

from rich.console import Console

from alcove import config
from alcove.ops import supervise
from alcove.ops.commands import run as command
from alcove.ops.layout import Layout
from alcove.ops.steps import StepFailed, Steps, need_root
from alcove.ops.up import stop_supervisor


def run(*, data_dir: Path | None = None) -> int:
    """Returns 0 when nothing of ours is left running, also if nothing was."""
    steps = Steps(Console())
    layout = Layout(data_dir or config.load().data_dir)
    try:
        need_root("alcove down")
        with steps.step("Stop the server") as progress:
            pid = supervise.running(layout)
            if pid is None:
                progress.already("not running")
            else:
                stop_supervisor(pid, layout)
        with steps.step("Stop the workspaces; remove mounts, networks and cgroups") as progress:
            program = layout.current / "bin/alcove"
            if not program.exists():
                progress.already("never started here")
            else:
                environment = {
                    "ALCOVE_CONFIG": str(layout.config),
                    "ALCOVE_DATA_DIR": str(layout.data_dir),
                }
                command([program, "host", "--teardown"], env=environment, timeout_s=300)
    except StepFailed:
        return 1
    return 0
