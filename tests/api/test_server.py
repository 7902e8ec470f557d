"""The program itself: started, asked over its local socket, told to stop."""

import http.client
import json
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port, listens

ROOT = Path(__file__).parents[2]
START = "import sys; from alcove.server import main; raise SystemExit(main(sys.argv))"


@dataclass
class Running:
    process: "subprocess.Popen[bytes]"
    data: Path
    url: str

    def ask(self, path: str, body: object = None, method: str = "POST") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(str(self.data / "server/admin.sock"))
        connection.request(method, path, json.dumps(body or {}))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        return answer.status, said


def arguments(data: Path, port: int, *more: str) -> list[str]:
    return [
        *(sys.executable, "-c", START, "--driver", "fake", "--data-dir", str(data)),
        *("--http-address", f"127.0.0.1:{port}", "--ssh-address", "", "--log-format", "json"),
        *more,
    ]


def start(data: Path, *more: str) -> Running:
    port = free_port()
    command = arguments(data, port, *more)
    with (data.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={"PYTHONPATH": str(ROOT / "src")}, stderr=log, stdout=log, cwd="/"
        )
    found = Running(process, data, f"http://127.0.0.1:{port}")
    deadline = time.monotonic() + 60
    while True:
        try:
            ready = httpx.get(f"{found.url}/readyz").status_code == 200
            if ready and listens(data / "server/admin.sock"):
                return found
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError((data.parent / "server.log").read_text())
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path: Path) -> Generator[Running]:
    found = start(tmp_path / "data", "--allow-root")
    yield found
    found.process.kill()
    found.process.wait()


def test_root_on_the_machine_gets_a_token_that_works(server: Running) -> None:
    status, made = server.ask("/token", {"name": "cli"})
    assert status == 200
    head = {"authorization": f"Bearer {made['token']}"}
    me = httpx.get(f"{server.url}/api/v2/users/me", headers=head).json()
    assert (me["name"], me["role"]) == ("admin", "owner")


def test_root_on_the_machine_gets_a_link_that_signs_in_once(server: Running) -> None:
    _, made = server.ask("/sign-in-link")
    token = made["url"].partition("token=")[2]
    head = {"origin": server.url}
    first = httpx.post(f"{server.url}/sign-in/link", data={"token": token}, headers=head)
    again = httpx.post(f"{server.url}/sign-in/link", data={"token": token}, headers=head)
    assert (first.status_code, again.status_code) == (303, 401)


def test_the_local_socket_serves_nothing_else(server: Running) -> None:
    assert server.ask("/api/v2/users")[0] == 404
    assert server.ask("/token", method="GET")[0] == 405
    assert server.ask("/token", body=[1])[0] == 400


def test_only_the_servers_user_may_open_the_local_socket(server: Running) -> None:
    assert (server.data / "server/admin.sock").stat().st_mode & 0o777 == 0o600


def test_it_stops_in_order_when_told(server: Running) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert not (server.data / "server/admin.sock").exists()
    log = (server.data.parent / "server.log").read_text().splitlines()
    assert json.loads(log[-1])["event"] == "stopped"


def test_it_starts_again_over_what_a_killed_one_left(tmp_path: Path) -> None:
    for _ in range(2):
        running = start(tmp_path / "data", "--allow-root")
        assert running.ask("/token", {"name": "x"})[0] == 200
        running.process.kill()
        running.process.wait()


def test_its_secret_is_made_once_and_for_nobody_else(server: Running) -> None:
    secret = server.data / "server/secret.key"
    assert secret.stat().st_size == 32
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.root
def test_root_is_not_what_it_runs_as_unless_told(tmp_path: Path) -> None:
    done = subprocess.run(
        arguments(tmp_path, free_port()),
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--user" in done.stderr


@contextmanager
def as_nobody(tmp_path: Path, database_url: str) -> Generator[Running]:
    """Started as root, told to become `nobody`. SQLite's file is where the server has its own."""
    more = [] if database_url.startswith("sqlite") else ["--database-url", database_url]
    for parent in (tmp_path, *tmp_path.parents[:3]):
        if parent.owner() == "root" and parent != Path("/tmp"):
            parent.chmod(0o711)
    running = start(tmp_path / "data", "--user", "nobody", *more)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.root
def test_started_as_root_it_becomes_the_named_user(tmp_path: Path, database_url: str) -> None:
    with as_nobody(tmp_path, database_url) as running:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        uid = str(pwd.getpwnam("nobody").pw_uid)
        [line] = [line for line in status.splitlines() if line.startswith("Uid:")]
        assert line.split()[1:] == [uid] * 4
        assert running.ask("/token", {"name": "x"})[0] == 200


@pytest.mark.root
def test_what_speaks_to_postgresql_is_loaded_only_for_that(
    tmp_path: Path, database_url: str
) -> None:
    with as_nobody(tmp_path, database_url) as running:
        loaded = Path(f"/proc/{running.process.pid}/maps").read_text()
        assert ("psycopg" in loaded) is database_url.startswith("postgres")


@pytest.mark.parametrize(
    "flags", [["--http-address", "nonsense"], ["--driver", "none"], ["--config", "/nowhere"]]
)
def test_a_wrong_setting_is_named(tmp_path: Path, flags: list[str]) -> None:
    done = subprocess.run(
        [*arguments(tmp_path, free_port(), "--allow-root"), *flags],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert flags[1] in done.stderr or "not HOST:PORT" in done.stderr
