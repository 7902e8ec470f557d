"""`alcove up`: from a fresh machine to a running server, in visible steps that may be repeated."""

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from alcove import config
from alcove.config import Settings
from alcove.model.errors import Invalid
from alcove.ops import admin, defaults, gvisor, install, packages, supervise
from alcove.ops.first_use import FirstUse, first_use
from alcove.ops.layout import Layout
from alcove.ops.steps import Progress, StepFailed, Steps, need_root

_READY_S: Final = 60.0
_DOWN_S: Final = 45.0


def run(*, data_dir: Path | None = None) -> int:
    """Do every step that is not done yet. Returns the exit code."""
    console = Console()
    try:
        need_root("alcove up")
        _up(Steps(console), console, data_dir)
    except (StepFailed, Invalid) as error:
        if isinstance(error, Invalid):
            console.print(f"[red]✗[/] {error}", highlight=False)
        return 1
    return 0


def _up(steps: Steps, console: Console, data_dir: Path | None) -> None:
    layout = Layout(data_dir or config.load().data_dir)
    with steps.step("Packages of the distribution") as progress:
        _packages(progress)
    user = config.load().server_user
    with steps.step(f"User {user}, directories below {layout.data_dir}") as progress:
        install.ensure_user(user, progress)
        install.ensure_directories(layout, user)
    with steps.step("Configuration") as progress:
        settings = _configure(layout, progress)
    with steps.step("Server and agent") as progress:
        changed = install.install(layout, progress)
    with steps.step("gVisor") as progress:
        gvisor.make_ready(layout, settings, progress)
    with steps.step(f"Start on {settings.http_address}") as progress:
        _start(layout, settings, progress, changed=changed)
    with steps.step("First use") as progress:
        first = first_use(layout, settings, progress)
    _farewell(console, settings, first)


def _packages(progress: Progress) -> None:
    absent = packages.missing()
    if not absent:
        progress.already()
        return
    packages.install(absent, progress)
    progress.result = f"installed {', '.join(need.package for need in absent)}"


def _configure(layout: Layout, progress: Progress) -> Settings:
    """Write the file unless there is one; what it says is checked before anything starts."""
    if layout.config.exists():
        progress.already(str(layout.config))
    else:
        found = defaults.detect()
        gid = pwd.getpwnam(config.load().server_user).pw_gid
        fresh = layout.config.with_suffix(".new")
        fresh.write_text(defaults.as_toml(found))
        os.chown(fresh, 0, gid)
        fresh.chmod(0o640)
        fresh.rename(layout.config)
        took = ", ".join(f"{name} {value}" for name, value in found.items())
        progress.result = f"wrote {layout.config}" + (f" with {took}" if took else "")
    return config.load({"ALCOVE_CONFIG": str(layout.config)}, {"data_dir": str(layout.data_dir)})


def _start(layout: Layout, settings: Settings, progress: Progress, *, changed: bool) -> None:
    pid = supervise.running(layout)
    if pid is not None and not changed:
        progress.already(f"pid {pid}")
    else:
        if pid is not None:
            progress.say("restarting with the new version; workspaces live on")
            stop_supervisor(pid, layout)
        _spawn(layout, settings)
    progress.say("waiting until it is ready")
    admin.wait_until_ready(
        settings.http_address,
        timeout_s=_READY_S,
        log=layout.log_dir / "server.log",
        admin_socket=layout.admin_socket,
        tls=bool(settings.tls_certificate),
    )


def _spawn(layout: Layout, settings: Settings) -> None:
    """Start the supervisor as nobody's child."""
    program = [str(layout.current / "bin/python"), "-m", "alcove.ops.supervise"]
    command = ["setsid", "--fork", *program, str(layout.data_dir), settings.server_user]
    with (layout.log_dir / "supervisor.log").open("ab") as log:
        subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
        )


def stop_supervisor(pid: int, layout: Layout) -> None:
    """Ask it to end, and wait until its lock is free. Raises StepFailed if it does not."""
    os.kill(pid, 15)
    deadline = time.monotonic() + _DOWN_S
    while supervise.running(layout) is not None:
        if time.monotonic() > deadline:
            raise StepFailed(f"the supervisor (pid {pid}) does not stop; see {layout.log_dir}")
        time.sleep(0.05)


def _farewell(console: Console, settings: Settings, first: FirstUse) -> None:
    alcove = ".venv/bin/alcove" if Path(".venv/bin/alcove").exists() else Path(sys.argv[0]).name
    console.print()
    console.print(f"Alcove is running at [bold]{settings.url}[/]", highlight=False)
    console.print("Sign in (works once, for 10 minutes):", highlight=False)
    console.print(f"  {first.link}", highlight=False, soft_wrap=True)
    console.print("Try next:", highlight=False)
    for command in (
        f"{alcove} list",
        f"{alcove} exec hello -- uname -a",
        f"{alcove} create api -t python --repo https://github.com/pallets/markupsafe",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    if first.note:
        console.print(f"[dim]{first.note}[/]", highlight=False)
