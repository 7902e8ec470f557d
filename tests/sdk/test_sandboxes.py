"""Sandboxes against a whole server with real agents."""

import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest

from alcove.sdk import Alcove, AsyncAlcove, CommandFailed, NotFound, Sandbox, WaitTimeout
from tests.ports import free_port
from tests.sdk.served import Served

pytestmark = pytest.mark.root
ENV = {"SHELL": "/bin/sh"}
SERVER = "exec python3 -m http.server --bind 127.0.0.1 --directory {path} {port}"


@pytest.fixture(scope="module")
def sandbox(client: Alcove) -> Sandbox:
    """One that runs; a test leaves it as it was, but for files and processes of its own."""
    return client.sandboxes.create("plain", env=ENV)


def test_a_sandbox_lives_as_long_as_its_block(client: Alcove) -> None:
    with client.sandbox("plain", ttl="1h", env={**ENV, "WHO": "me"}) as s:
        done = s.run("echo $WHO; echo oh >&2")
        assert (done.stdout, done.stderr, done.exit_code, done.ok) == ("me\n", "oh\n", 0, True)
        assert s.info.expires_at is not None
        assert s.id in repr(s)
        id = s.id
    assert client.workspaces.get(id).info.desired == "deleted"


def test_a_sandbox_is_deleted_when_its_block_fails(client: Alcove) -> None:
    block = client.sandbox("plain", env=ENV)
    made = block.__enter__()
    error = ZeroDivisionError()
    assert not block.__exit__(type(error), error, None), "it is not swallowed"
    assert client.workspaces.get(made.id).info.desired == "deleted"


def test_a_failure_is_raised_with_its_output_when_asked_for(sandbox: Sandbox) -> None:
    assert not sandbox.run("exit 3").ok
    with pytest.raises(CommandFailed) as caught:
        sandbox.run("echo what; echo why >&2; exit 3", check=True)
    assert "why" in str(caught.value)
    assert (caught.value.result.exit_code, caught.value.result.stdout) == (3, "what\n")


def test_output_is_handed_over_as_it_comes(sandbox: Sandbox) -> None:
    out: list[str] = []
    err: list[str] = []
    sandbox.run("echo a; echo b >&2", on_stdout=out.append, on_stderr=err.append)
    assert ("".join(out), "".join(err)) == ("a\n", "b\n")


def test_a_timeout_may_be_a_number(sandbox: Sandbox) -> None:
    assert sandbox.run("sleep 60", timeout=0.5).signal == "KILL"


def test_a_process_is_found_again_after_its_client_died(served: Served, tmp_path: Path) -> None:
    code = """
from alcove import Alcove
import os
s = Alcove().sandboxes.create("plain", env={"SHELL": "/bin/sh"})
p = s.start("echo started; read line; echo got $line; exit 7", tag="job", stdin=True)
print(s.id, p.pid, flush=True)
os._exit(9)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=served.environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    id, pid = done.stdout.split()
    with Alcove(served.url, served.token) as other, other.sandboxes.connect(id) as s:
        assert [p.tag for p in s.processes.list()] == ["job"]
        assert s.process(int(pid)).tag == "job"
        job = s.process("job")
        with pytest.raises(WaitTimeout):
            job.wait(timeout_s=0.2)
        job.send("on\n")
        ended = job.wait(timeout_s=30)
        assert (ended.exit_code, ended.output) == (7, "started\ngot on\n")
        assert "exited 7" in repr(job)
        with pytest.raises(CommandFailed, match="exited with 7: started"):
            job.wait(check=True)
        again = s.process("job")
        assert "".join(again.logs()) == "started\ngot on\n"
        assert again.wait().exit_code == 7
        with pytest.raises(NotFound):
            s.process("never")


def test_logs_are_followed_to_the_end(sandbox: Sandbox) -> None:
    job = sandbox.start("for i in 1 2 3; do echo line $i; sleep 0.05; done", tag="lines")
    assert "".join(job.logs(follow=True)) == "line 1\nline 2\nline 3\n"
    assert job.state == "exited"


def test_a_process_is_signalled_and_killed(sandbox: Sandbox) -> None:
    job = sandbox.start("trap 'echo bye; exit 5' USR1; echo up; while :; do sleep 0.05; done")
    seen = ""
    while "up" not in seen:
        seen = job.look(after=0, wait="10s").output
    job.signal("USR1")
    assert job.wait(timeout_s=30).exit_code == 5
    endless = sandbox.start("trap '' TERM; while :; do sleep 0.05; done")
    endless.kill(grace="1s")
    assert endless.wait(timeout_s=30).exit_code is None


def test_a_terminal_is_one(sandbox: Sandbox) -> None:
    with sandbox.pty(100, 30, command="tput cols; tput lines; test -t 0 && echo yes") as live:
        text = b"".join(output.data for output in live).decode()
    assert text.split() == ["100", "30", "yes"]


def test_files_are_watched(sandbox: Sandbox) -> None:
    sandbox.run("mkdir -p watched/deep")
    seen: set[tuple[str, str]] = set()
    for change in sandbox.files.watch("watched", recursive=True):
        if change is None:
            sandbox.files.write("watched/deep/a.txt", "x")
            continue
        seen.add((change.change, change.path))
        if change.path == "deep/a.txt":
            break
    assert any(path == "deep/a.txt" for _, path in seen)


def test_a_server_in_it_is_reached_by_its_address_and_by_link(
    sandbox: Sandbox, served: Served
) -> None:
    port = free_port()
    sandbox.files.write("site/index.html", "hello from inside")
    server = sandbox.start(SERVER.format(port=port, path="site"))
    sandbox.wait_for_port(port, timeout_s=30)
    try:
        url = httpx.URL(sandbox.url(port))
        assert url.host.startswith(f"{port}--")
        head = {"host": url.netloc.decode(), "authorization": f"Bearer {served.token}"}
        got = httpx.get(served.url, headers=head, trust_env=False)
        assert got.text == "hello from inside"
        assert httpx.get(served.url, headers=head | {"authorization": ""}).status_code == 401
        sandbox.ports.share(port, "public", ttl="1h")
        assert httpx.get(served.url, headers={"host": head["host"]}).status_code == 200
        sandbox.ports.unshare(port)
        link = httpx.URL(sandbox.url(port, ttl=60))
        got = httpx.get(
            httpx.URL(served.url).copy_with(raw_path=link.raw_path),
            headers={"host": link.netloc.decode()},
        )
        assert got.text == "hello from inside"
    finally:
        server.kill()


def test_bytes_pass_through_a_tunnel(sandbox: Sandbox) -> None:
    port = free_port()
    sandbox.files.write("tunnel/index.html", "through")
    server = sandbox.start(SERVER.format(port=port, path="tunnel"))
    sandbox.wait_for_port(port, timeout_s=30)
    with sandbox.ports.connect(port) as connection:
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while piece := connection.receive():
            data += piece
    server.kill()
    assert data.endswith(b"through")


def test_it_is_kept_alive_for_longer(sandbox: Sandbox) -> None:
    before = sandbox.info.expires_at
    sandbox.keep_alive("6h")
    after = sandbox.refresh().info.expires_at
    assert before is not None
    assert after is not None
    assert after > before


async def test_the_asynchronous_twin_does_the_same(served: Served) -> None:
    async with (
        AsyncAlcove(served.url, served.token) as alcove,
        alcove.sandbox("plain", env=ENV) as s,
    ):
        done = await s.run("echo hello", check=True)
        assert done.stdout == "hello\n"
        job = await s.start("echo $$; exit 2")
        with anyio.fail_after(30):
            assert (await job.wait()).exit_code == 2
        assert [p async for p in job.logs()]
