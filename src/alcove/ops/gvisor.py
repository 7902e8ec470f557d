"""Making runsc ready for the tier `gvisor`: on PATH if it is new enough, else built once.

The build takes minutes, so it goes on behind `alcove up`; the privileged process finds it when it
is done. One rule: nothing waits for it, and how far it is can always be seen.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from alcove.config import Settings
from alcove.host.runtime.runsc import OLDEST, find_runsc, release_of
from alcove.ops.findings import Finding, State, judge
from alcove.ops.layout import Layout, checkout
from alcove.ops.steps import Progress

_TOOLS: Final = ".tools"
_LOG: Final = "runsc.log"
_BUILD_TIMEOUT_S: Final = 3600


def make_ready(layout: Layout, settings: Settings, progress: Progress) -> None:
    """Begin what has to be done; never waits, never fails the rest."""
    tools, source = layout.data_dir / _TOOLS, checkout()
    tools.mkdir(mode=0o755, exist_ok=True)
    if found := find_runsc(tools):
        progress.already(f"runsc {found[1]}")
    elif source is not None and release_of(source / _TOOLS / "runsc") >= OLDEST:
        half = tools / "runsc.new"
        shutil.copyfile(source / _TOOLS / "runsc", half)
        half.chmod(0o755)
        half.rename(tools / "runsc")
        progress.result = "took the checkout's runsc"
    elif source is None:
        progress.already("no runsc on PATH, and no sources to build it from: see `alcove doctor`")
    else:
        _build_behind(layout, settings, source)
        progress.result = (
            f"runsc is being built behind this; {layout.log_dir / _LOG} tells how far"
        )


def examine(data_dir: Path) -> Finding:
    """For `alcove doctor`."""
    tools, log = data_dir / _TOOLS, data_dir / "log" / _LOG
    found = find_runsc(tools)
    if found is None and _being_built(tools):
        minutes = max(0, int(time.time() - log.stat().st_ctime)) // 60 if log.exists() else 0
        value, remedy = f"being built, for {minutes} min", f"wait; {log} tells how far"
    else:
        value = f"{found[1]} ({found[0]})" if found else "not installed, or too old"
        remedy = f"run `alcove up` in a checkout, which builds it (a failure is told in {log}),"
        remedy += f" or put a runsc of release-{OLDEST} or later on PATH"
    return judge(
        "runtime",
        "runsc (gVisor)",
        good=found is not None,
        value=value,
        cost="tier `gvisor` is refused",
        remedy=remedy,
        otherwise=State.NOTE,
    )


def _build_behind(layout: Layout, settings: Settings, source: Path) -> None:
    """Start this module as nobody's child; a second one finds the lock taken and ends."""
    command = [
        "setsid", "--fork", sys.executable, "-m", "alcove.ops.gvisor",
        str(layout.data_dir / _TOOLS), str(source), settings.goproxy,
    ]  # fmt: skip
    with (layout.log_dir / _LOG).open("wb") as log:
        subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
        )


def _being_built(tools: Path) -> bool:
    try:
        descriptor = os.open(tools / "runsc.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _build(tools: Path, source: Path, goproxy: str) -> int:
    descriptor = os.open(tools / "runsc.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    given = ["env", f"GOPROXY={goproxy}"] if goproxy else []
    command = [*given, str(source / "tools/build-runsc"), str(tools / "runsc")]
    return subprocess.run(command, check=False, timeout=_BUILD_TIMEOUT_S).returncode


if __name__ == "__main__":
    raise SystemExit(_build(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
