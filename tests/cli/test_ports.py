"""Ports from the command line, with a server that runs beside the agent."""

import http.server
import json
import re
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import typer

from alcove.cli.ports import read_ports
from tests.cli.conftest import ALCOVE, CommandLine

pytestmark = pytest.mark.root


@pytest.fixture
def port(tmp_path: Path) -> Generator[int]:
    """Where something listens that the workspace's agent sees."""

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_port_is_shared_listed_and_private_again(
    alcove: CommandLine, workspace: str, port: int
) -> None:
    done = alcove("port", "share", workspace, str(port), "--level", "public", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["level"] == "public"
    listed = json.loads(alcove("port", "list", workspace, "--json").stdout)["items"]
    mine = next(one for one in listed if one["port"] == port)
    assert (mine["level"], mine["listening"]) == ("public", True)
    assert alcove("port", "unshare", workspace, str(port)).returncode == 0
    printed = alcove("open", workspace, str(port), "--print").stdout.decode().strip()
    assert printed == mine["url"]


def test_a_port_of_this_machine_leads_there(
    alcove: CommandLine, workspace: str, port: int
) -> None:
    running = subprocess.Popen(
        [ALCOVE, "port-forward", workspace, f"0:{port}"],
        env=alcove.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stderr is not None
        said = running.stderr.readline()
        local = said.split(" ")[0]
        with urlopen(f"http://{local}/", timeout=20) as answer:
            assert answer.read() == b"hello"
    finally:
        running.terminate()
        running.communicate()


def test_a_forwarded_port_has_a_name_of_its_own_for_browsers(
    alcove: CommandLine, workspace: str, port: int
) -> None:
    running = subprocess.Popen(
        [ALCOVE, "port-forward", workspace, f"0:{port}", "--open"],
        env=alcove.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert running.stdout is not None
        url = running.stdout.readline().strip()
        found = re.fullmatch(rf"http://({port}--{workspace}--\w+)\.localhost:(\d+)/", url)
        assert found is not None, url
        asked = Request(f"http://127.0.0.1:{found[2]}/", headers={"Host": f"{found[1]}.localhost"})
        with urlopen(asked, timeout=20) as answer:
            assert answer.read() == b"hello"
    finally:
        running.terminate()
        running.communicate()


def test_a_browser_that_waits_for_its_page_gets_it(
    alcove: CommandLine, workspace: str, port: int, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    # What looks the name up here need not know that those below localhost are this machine.
    get = 'curl -sS --connect-to "::127.0.0.1:" -o "$0.page" "$1"'
    browser.write_text(f"#!/bin/sh\n{get}\n")
    browser.chmod(0o755)
    running = subprocess.Popen(
        [ALCOVE, "port-forward", workspace, f"0:{port}", "--open"],
        env={**alcove.environment, "BROWSER": f"{browser} %s"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    page = tmp_path / "browser.page"
    try:
        deadline = time.monotonic() + 20
        while not (page.exists() and page.read_bytes() == b"hello"):
            assert time.monotonic() < deadline, "the browser waits"
            time.sleep(0.05)
    finally:
        running.kill()
        running.communicate()


def test_names_for_browsers_are_for_this_machine_alone(
    alcove: CommandLine, workspace: str
) -> None:
    done = alcove("port-forward", workspace, "0:80", "--open", "--address", "0.0.0.0")
    assert done.returncode == 2
    assert b"for 127.0.0.1 alone" in done.stderr


@pytest.mark.parametrize(
    ("text", "found"), [("8000", (8000, 8000)), ("9000:80", (9000, 80)), ("0:80", (0, 80))]
)
def test_ports_are_written_local_first(text: str, found: tuple[int, int]) -> None:
    assert read_ports(text) == found


@pytest.mark.parametrize("text", ["", "x", "1:2:3", "80:0", "70000", "1:70000", "-1"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_ports(text)
