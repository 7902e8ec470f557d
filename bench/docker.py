"""`docker run --rm` beside which ours is measured, under a daemon of the bench's own.

The daemon has its own directories, socket, cgroup, and namespaces of mounts and processes, so that
it meets no other one and nothing of it stays.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

IMAGE: Final = "alcove-bench"
_READY_S: Final = 30.0
_GONE_S: Final = 30.0
_CGROUPS: Final = Path("/sys/fs/cgroup")
_APART: Final = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
)
# What the daemon and its shims keep below /run is seen by them alone.
_OWN_RUN: Final = 'mount -t tmpfs alcove-bench /run && exec "$0" "$@"'


@dataclass(frozen=True, slots=True)
class Docker:
    """`run` runs `echo` in a container of the image and checks its output; None where that cannot
    be had, and then `why_not` says why."""

    run: Callable[[], None] | None
    why_not: str = ""


@contextmanager
def docker(rootfs: Path) -> Generator[Docker]:
    """A daemon whose one image has the files of `rootfs`. Never an error for want of Docker."""
    for program in ("dockerd", "docker"):
        if shutil.which(program) is None:
            yield Docker(None, f"not measured: {program} is not installed")
            return
    # Not /tmp: layers cannot be mounted on every kind of file system.
    place = Path(tempfile.mkdtemp(prefix="bench-docker-", dir="/var/tmp"))
    try:
        with _daemon(place) as daemon:
            why_not = _not_ready(place, daemon) or _not_imported(place, rootfs)
            if why_not:
                yield Docker(None, f"not measured: {why_not}")
            else:
                yield Docker(lambda: _run(place))
    finally:
        shutil.rmtree(place)


@contextmanager
def _daemon(place: Path) -> Generator["subprocess.Popen[bytes]"]:
    (place / "daemon.json").write_text("{}")
    own = ("sh", "-c", _OWN_RUN, "dockerd", "--config-file", str(place / "daemon.json"))
    flags = (
        *("--data-root", str(place / "data"), "--exec-root", str(place / "exec")),
        *("--pidfile", str(place / "pid"), "--host", f"unix://{place / 'socket'}"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false"),
        *("--ip-forward=false", "--ip-masq=false"),
        *("--exec-opt", "native.cgroupdriver=cgroupfs", f"--cgroup-parent=/{place.name}"),
    )
    with (place / "log").open("wb") as log:
        outer = subprocess.Popen([*_APART, *own, *flags], stdout=log, stderr=log)
    try:
        yield outer
    finally:
        _stop(outer)
        _remove_cgroups(place.name)


def _stop(outer: "subprocess.Popen[bytes]") -> None:
    """The daemon is the one child of `unshare`; with it end all processes of its namespace."""
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    with suppress(OSError):
        for pid in children.read_text().split():
            os.kill(int(pid), signal.SIGTERM)
    try:
        outer.wait(_GONE_S)
    except subprocess.TimeoutExpired:
        outer.kill()
        outer.wait()


def _remove_cgroups(name: str) -> None:
    """Empty ones, of either version of the interface."""
    for top in (_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")):
        for found in sorted((top, *top.rglob("*")), reverse=True):
            if found.is_dir():
                found.rmdir()


def _not_ready(place: Path, daemon: "subprocess.Popen[bytes]") -> str:
    """Why the daemon does not answer; "" once it does."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and daemon.poll() is None:
        if _client(place, "version").returncode == 0:
            return ""
        time.sleep(0.1)
    said = (place / "log").read_text(errors="replace").splitlines()
    return f"dockerd does not start: {said[-1][:200] if said else 'it says nothing'}"


def _not_imported(place: Path, rootfs: Path) -> str:
    tar = ["tar", "-C", str(rootfs), "-c", "."]
    with subprocess.Popen(tar, stdout=subprocess.PIPE) as packed:
        done = _client(place, "import", "-", IMAGE, stdin=packed.stdout)
    return f"docker import: {done.stderr.decode()[:200]}" if done.returncode else ""


def _run(place: Path) -> None:
    done = _client(place, "run", "--rm", "--network", "none", IMAGE, "echo", "hi")
    assert done.stdout == b"hi\n", done


def _client(
    place: Path, *words: str, stdin: IO[bytes] | int | None = subprocess.DEVNULL
) -> "subprocess.CompletedProcess[bytes]":
    """The client with nobody's settings."""
    command = ["docker", "--config", str(place), "--host", f"unix://{place}/socket", *words]
    return subprocess.run(command, stdin=stdin, capture_output=True, check=False, timeout=300)
