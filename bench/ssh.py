"""The SSH gateway beside a real sshd on the same machine, in the same run.

Both are spoken to by the stock OpenSSH client on loopback, with an ed25519 key and the same
cipher; the gateway's end is a workspace on the installation, sshd's is this machine.
"""

import getpass
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import Client
from bench.figures import Figure, median, timed_ms
from bench.transfers import process_of, rss_mib
from bench.workspaces import running_workspace
from demo.instance import Instance

_RUNS, _BULK_MIB, _BULK_RUNS, _KEYS, _IDLE, _AT_ONCE = 30, 256, 5, 200, 500, 100
_TYPING_S = 0.02
"""Between two keys: whoever types faster is pasting, which is recorded in larger pieces."""
_SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True, slots=True)
class Door:
    """Where to knock, and as whom."""

    words: tuple[str, ...]

    def command(self, *more: str, options: Sequence[str] = ()) -> list[str]:
        return [*self.words[:-1], *options, self.words[-1], *more]

    def run(self, *more: str) -> None:
        subprocess.run(self.command(*more), check=True, stdin=subprocess.DEVNULL)


def ssh(instance: Instance) -> list[Figure]:
    """Connections, bulk, keystrokes, and many connections."""
    directory = Path(tempfile.mkdtemp(prefix="bench-ssh-"))
    try:
        with (
            Client(instance.url, instance.token) as client,
            running_workspace(client) as workspace,
            _sshd(directory) as sshd,
        ):
            _key(directory, "me")
            public = (directory / "me.pub").read_text()
            made = client.call(
                "POST", "/users/me/ssh-keys", {"name": "bench", "public_key": public}
            )
            try:
                gateway = _door(directory, instance.ssh_port, workspace)
                return [
                    *_connections(gateway, sshd),
                    *_bulk(gateway, sshd),
                    *_keystrokes(gateway, sshd),
                    *_many(instance, gateway),
                ]
            finally:
                client.call("DELETE", f"/users/me/ssh-keys/{made['id']}")
    finally:
        shutil.rmtree(directory)


def _connections(gateway: Door, sshd: Door) -> list[Figure]:
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(_RUNS + 2):
        ours.append(timed_ms(lambda: gateway.run("true")))
        theirs.append(timed_ms(lambda: sshd.run("true")))
    ours, theirs = ours[2:], theirs[2:]
    met = median(ours) <= 150 and median(ours) < median(theirs)
    goal = f"p50 ≤ 150, < sshd ({median(theirs):.0f})"
    return [Figure("ssh host true", "ms", ours, goal, met, {"sshd": theirs})]


def _bulk(gateway: Door, sshd: Door) -> list[Figure]:
    size = _BULK_MIB << 20
    figures: list[Figure] = []
    for cipher in ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"):
        ours = [_download(gateway, size, cipher) for _ in range(_BULK_RUNS)]
        theirs = [_download(sshd, size, cipher) for _ in range(_BULK_RUNS)]
        met = median(ours) >= 0.7 * median(theirs)
        goal = f"≥ 0.7 × sshd ({0.7 * median(theirs):.0f})"
        name = f"download, {cipher.partition('@')[0]}"
        figures.append(Figure(name, "MiB/s", ours, goal, met, {"sshd": theirs}))
        ours = [_upload(gateway, size, cipher) for _ in range(_BULK_RUNS)]
        theirs = [_upload(sshd, size, cipher) for _ in range(_BULK_RUNS)]
        met = median(ours) >= 0.7 * median(theirs)
        goal = f"≥ 0.7 × sshd ({0.7 * median(theirs):.0f})"
        name = f"upload, {cipher.partition('@')[0]}"
        figures.append(Figure(name, "MiB/s", ours, goal, met, {"sshd": theirs}))
    return figures


def _download(door: Door, size: int, cipher: str) -> float:
    command = door.command(f"head -c {size} /dev/zero", options=("-c", cipher))
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        got = 0
        while piece := os.read(process.stdout.fileno(), 1 << 20):
            got += len(piece)
    assert got == size, f"{got} of {size} bytes"
    return size / (1 << 20) / (time.perf_counter() - started)


def _upload(door: Door, size: int, cipher: str) -> float:
    command = door.command("cat >/dev/null", options=("-c", cipher))
    piece = bytes(1 << 20)
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for _ in range(size >> 20):
            process.stdin.write(piece)
        process.stdin.close()
    assert process.returncode == 0
    return size / (1 << 20) / (time.perf_counter() - started)


def _keystrokes(gateway: Door, sshd: Door) -> list[Figure]:
    ours, theirs = _echoes(gateway), _echoes(sshd)
    added = median(ours) - median(theirs)
    return [
        Figure("keystroke → echo", "ms", ours, f"p50 ≤ sshd + 2 ({median(theirs) + 2:.1f})",
               added <= 2, {"sshd": theirs}),
    ]  # fmt: skip


def _echoes(door: Door) -> list[float]:
    """A key into a terminal of ours, until it is on the screen: echoed by the far terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = door.command("exec cat", options=("-tt",))
        os.execvp(command[0], command)
    try:
        samples: list[float] = []
        _until_quiet(terminal)
        for _ in range(_KEYS):
            time.sleep(_TYPING_S)
            started = time.perf_counter()
            os.write(terminal, b"k")
            while b"k" not in os.read(terminal, 4096):
                pass
            samples.append((time.perf_counter() - started) * 1000)
        return samples
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _until_quiet(terminal: int) -> None:
    """Connected, when a first key has come back."""
    deadline = time.monotonic() + 30
    os.write(terminal, b"k")
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1)
        if ready and b"k" in os.read(terminal, 4096):
            time.sleep(0.5)
            while select.select([terminal], [], [], 0.2)[0]:
                os.read(terminal, 4096)
            return
    raise RuntimeError("the terminal does not answer")


def _many(instance: Instance, gateway: Door) -> list[Figure]:
    errors: list[str] = []
    burst = timed_ms(lambda: _at_once(gateway, errors))
    server = process_of(instance, "server")
    before = rss_mib(server)
    idle = [
        subprocess.Popen(
            gateway.command(options=("-N", "-o", "LogLevel=ERROR")), stdin=subprocess.DEVNULL
        )
        for _ in range(_IDLE)
    ]
    try:
        _until_connected(instance.ssh_port, _IDLE)
        more = rss_mib(server) - before
    finally:
        for one in idle:
            one.kill()
        for one in idle:
            one.wait()
    return [
        Figure(f"{_AT_ONCE} connections at once, all done", "ms", [burst], "no error", not errors),
        Figure(f"{_IDLE} idle connections", "MiB", [more], "≤ 150 more", more <= 150),
    ]


def _at_once(door: Door, errors: list[str]) -> None:
    def one() -> None:
        done = subprocess.run(
            door.command("true"), check=False, capture_output=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            errors.append(done.stderr.decode(errors="replace"))

    threads = [threading.Thread(target=one) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _until_connected(port: int, count: int) -> None:
    """All of them past the key exchange: the server has answered, and no more strangers wait."""
    deadline = time.monotonic() + 300
    words = ["ss", "-Htn", "state", "established", f"( sport = :{port} )"]
    while time.monotonic() < deadline:
        found = subprocess.run(words, check=True, capture_output=True).stdout.splitlines()
        if len(found) >= count:
            time.sleep(10)
            return
        time.sleep(0.5)
    raise RuntimeError(f"fewer than {count} connections came up")


@contextmanager
def _sshd(directory: Path) -> Generator[Door]:
    """A real one on a high port of loopback, with a configuration of its own."""
    Path("/run/sshd").mkdir(exist_ok=True)
    _key(directory, "host")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = directory / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\n"
        f"AuthorizedKeysFile {directory}/me.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 1000\nMaxSessions 1000\n"
    )
    command = [_SSHD, "-D", "-e", "-f", str(config)]
    with (directory / "sshd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((directory / "sshd.log").read_text())
            time.sleep(0.05)
        yield _door(directory, port, getpass.getuser())
    finally:
        process.terminate()
        process.wait()


def _door(directory: Path, port: int, login: str) -> Door:
    return Door(
        (
            *("ssh", "-F", "none", "-p", str(port), "-i", str(directory / "me")),
            *("-o", "StrictHostKeyChecking=no", "-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={directory}/known_hosts", "-o", "LogLevel=ERROR"),
            *("-o", "IdentityAgent=none", f"{login}@127.0.0.1"),
        )
    )


def _key(directory: Path, name: str) -> None:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / name)]
    subprocess.run(words, check=True)
