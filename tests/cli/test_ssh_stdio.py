"""`alcove ssh --stdio` against a WebSocket server that is not ours: bytes, ends and refusals."""

import hashlib
import http
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from alcove.cli.ssh_stdio import alias_of, proxy_for, remember_host_keys, workspace_of
from alcove.sdk.errors import Unavailable
from alcove.sdk.raw_socket import frame, head_of
from tests.cli.conftest import ALCOVE
from tests.cli.test_startup import HEAVY

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfs8esIqwORZibTz3zqFbSuwy5N77dz6tyf9JayUU7X"
TOKEN = "alc_" + "a" * 16 + "_" + "b" * 43
Handler = Callable[[ServerConnection], None]


@contextmanager
def far_side(
    handler: Handler, *, refuse: Response | None = None, seen: list[Request] | None = None
) -> Generator[str]:
    """A server whose connections end when the handler returns; answers its URL."""

    def look(_: ServerConnection, request: Request) -> Response | None:
        if seen is not None:
            seen.append(request)
        return refuse

    def name_key(_: ServerConnection, _request: Request, response: Response) -> Response:
        response.headers["Alcove-Host-Key"] = KEY
        return response

    with serve(
        handler,
        "127.0.0.1",
        0,
        process_request=look,
        process_response=name_key,
        compression=None,
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def start(url: str, home: Path, *argv: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [ALCOVE, "ssh", "--stdio", *argv, "api"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"ALCOVE_URL": url, "ALCOVE_TOKEN": TOKEN, "HOME": str(home)},
    )


def echo(connection: ServerConnection) -> None:
    while data := connection.recv():
        connection.send(data)


def test_bytes_pass_both_ways_and_the_end_of_one_leaves_the_other(tmp_path: Path) -> None:
    def after_the_end(connection: ServerConnection) -> None:
        digest = hashlib.sha256()
        while data := connection.recv():
            assert isinstance(data, bytes)
            digest.update(data)
        connection.send(digest.digest())

    sent = os.urandom(3 << 20)
    with far_side(after_the_end) as url:
        done = start(url, tmp_path)
        out, err = done.communicate(sent, timeout=60)
    assert (done.returncode, out) == (0, hashlib.sha256(sent).digest()), err


def test_a_lot_passes_both_ways_at_once(tmp_path: Path) -> None:
    """More than all buffers on the way hold, so that a side that waits for the other hangs."""
    sent = os.urandom(1 << 20) * 24
    with far_side(echo) as url:
        done = start(url, tmp_path)
        out, err = done.communicate(sent, timeout=60)
    assert done.returncode == 0, err
    assert out == sent


def test_who_does_not_read_is_not_written_to(tmp_path: Path) -> None:
    """The far side can send no more than what buffers hold while nobody takes it."""
    passed = threading.Semaphore(0)

    def pour(connection: ServerConnection) -> None:
        try:
            for _ in range(1024):
                connection.send(bytes(65536))
                passed.release()
        except ConnectionClosed:
            return

    with far_side(pour) as url:
        process = start(url, tmp_path)
        count = 0
        while passed.acquire(timeout=1.0):
            count += 1
        assert count < 400
        resident = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
        assert int(resident) * os.sysconf("SC_PAGESIZE") < 64 << 20
        process.kill()
        process.communicate()


def test_it_ends_at_once_when_the_far_side_ends(tmp_path: Path) -> None:
    def goodbye(connection: ServerConnection) -> None:
        connection.send(b"last words")

    with far_side(goodbye) as url:
        process = start(url, tmp_path)
        assert process.stdout is not None
        assert process.stdout.read() == b"last words"
        since = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - since < 1.0
        process.communicate()


def test_a_connection_that_breaks_is_an_error(tmp_path: Path) -> None:
    def break_off(connection: ServerConnection) -> None:
        connection.send(b"x")
        connection.socket.close()

    with far_side(break_off) as url:
        process = start(url, tmp_path)
        assert process.stdin is not None
        _, err = process.communicate(timeout=20)
    assert process.returncode in {0, 6}, err


def test_a_refusal_is_said_with_its_code(tmp_path: Path) -> None:
    body = json.dumps({"status": 404, "code": "not_found", "detail": "no workspace 'api'"})
    headers = Headers({"Content-Length": str(len(body))})
    answer = Response(http.HTTPStatus.NOT_FOUND, "Not Found", headers, body.encode())
    with far_side(echo, refuse=answer) as url:
        process = start(url, tmp_path)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert b"no workspace 'api'" in err
    assert out == b""


def test_a_refusal_after_the_upgrade_is_said_too(tmp_path: Path) -> None:
    def refuse(connection: ServerConnection) -> None:
        connection.send(json.dumps({"status": 403, "code": "denied", "detail": "not yours"}))

    with far_side(refuse) as url:
        process = start(url, tmp_path)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 4
    assert b"not yours" in err


def test_it_answers_pings(tmp_path: Path) -> None:
    def ping(connection: ServerConnection) -> None:
        answered = connection.ping(b"there?").wait(10)
        connection.send(b"yes" if answered else b"no")

    with far_side(ping) as url:
        process = start(url, tmp_path)
        assert process.stdout is not None
        assert process.stdout.read() == b"yes"
        process.communicate()


def test_the_workspace_and_the_token_are_said_and_the_host_key_kept(tmp_path: Path) -> None:
    seen: list[Request] = []
    with far_side(lambda c: None, seen=seen) as url:
        process = start(url, tmp_path, "--suffix", ".alcove")
        process.communicate(timeout=20)
        known = tmp_path / ".config/alcove/ssh/known_hosts"
        assert known.read_text() == f"{alias_of(url)} {KEY}\n"
    assert known.stat().st_mode & 0o777 == 0o600
    assert seen[0].path == "/api/v2/ssh?workspace=api"
    assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_it_loads_neither_asyncio_nor_a_library_for_http(tmp_path: Path) -> None:
    program = (
        "import sys; from alcove.cli.main import main; code = main(sys.argv[1:]); "
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    with far_side(lambda c: None) as url:
        done = subprocess.run(
            [ALCOVE.with_name("python"), "-I", "-c", program, "ssh", "--stdio", "api"],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            env={"ALCOVE_URL": url, "ALCOVE_TOKEN": TOKEN, "HOME": str(tmp_path)},
        )
    loaded = set(done.stderr.rpartition("\n")[2].split())
    assert not loaded & (HEAVY | {"ssl", "http.client", "email", "tomllib"})


@pytest.mark.parametrize(
    ("host", "workspace"),
    [
        ("api.alcove", "api"),
        ("API.Alcove", "api"),
        ("api.ada.alcove", "ada/api"),
        ("ada/api", "ada/api"),
        ("ws-aaaaaaaaaaaaaaaa.alcove", "ws-aaaaaaaaaaaaaaaa"),
    ],
)
def test_a_host_s_name_says_which_workspace_is_meant(host: str, workspace: str) -> None:
    assert workspace_of(host, ".alcove") == workspace


def test_other_servers_keys_stay_and_old_ones_of_this_go(tmp_path: Path) -> None:
    remember_host_keys(tmp_path, "https://a.example", [KEY])
    remember_host_keys(tmp_path, "https://b.example", [KEY])
    remember_host_keys(tmp_path, "https://a.example", [KEY.replace("Afs8", "Bfs8")])
    lines = (tmp_path / "ssh/known_hosts").read_text().splitlines()
    assert lines == [
        f"alcove--b.example {KEY}",
        f"alcove--a.example {KEY.replace('Afs8', 'Bfs8')}",
    ]


@pytest.mark.parametrize("key", ["", "x", "ssh-ed25519 a b", "ssh-ed25519 a\nevil.example *", "*"])
def test_what_is_no_key_is_not_written_down(tmp_path: Path, key: str) -> None:
    remember_host_keys(tmp_path, "https://a.example", [key])
    assert not (tmp_path / "ssh/known_hosts").exists()


@pytest.mark.parametrize(
    ("url", "proxies", "proxy"),
    [
        ("https://a.example", {}, None),
        ("https://a.example", {"https": "http://p:3128"}, "http://p:3128"),
        ("http://a.example", {"https": "http://p:3128"}, None),
        ("https://a.example", {"all": "http://p:3128"}, "http://p:3128"),
        ("https://a.example", {"all": "http://p:3128", "no": "b.example, a.example"}, None),
        ("https://x.a.example", {"all": "http://p:3128", "no": ".a.example"}, None),
        ("https://xa.example", {"all": "http://p:3128", "no": "a.example"}, "http://p:3128"),
        ("https://a.example", {"all": "http://p:3128", "no": "*"}, None),
    ],
)
def test_a_proxy_is_for_whom_the_environment_says(
    url: str, proxies: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, proxies) == proxy


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65535, 65536, 70001])
def test_a_message_is_masked_and_its_length_told(size: int) -> None:
    payload = os.urandom(size)
    made = frame(2, payload, b"\1\2\3\4")
    plain = bytes([made[0], made[1] & 0x7F]) + made[2:]
    found = head_of(plain)
    assert found is not None
    opcode, head, length = found
    assert (opcode, length) == (2, size)
    body = made[head + 4 :]
    assert bytes(b ^ (1, 2, 3, 4)[n % 4] for n, b in enumerate(body)) == payload


def test_a_masked_answer_is_no_server_s() -> None:
    with pytest.raises(Unavailable):
        head_of(frame(2, b"x", b"\1\2\3\4"))
