"""When a server that was started counts as ready."""

import socket
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from alcove.ops import admin
from alcove.ops.steps import StepFailed


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Generator[str]:
    """Of a server that says it is ready."""
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_is_not_ready_before_its_local_socket_is(address: str, tmp_path: Path) -> None:
    left_behind = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left_behind))
    with pytest.raises(StepFailed, match="Connection refused"):
        _wait(address, left_behind, timeout_s=0.2)


def test_it_is_ready_with_both(address: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "admin.sock"))
        listening.listen()
        _wait(address, tmp_path / "admin.sock", timeout_s=10)


def _wait(address: str, admin_socket: Path, *, timeout_s: float) -> None:
    log = admin_socket.with_name("server.log")
    admin.wait_until_ready(address, timeout_s=timeout_s, log=log, admin_socket=admin_socket)
