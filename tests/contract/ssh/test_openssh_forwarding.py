"""OpenSSH's forwarding: into a workspace, and out of it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute

from tests.contract.ssh.stage import Stage
from tests.ports import free_port

SERVER = """
import os, socket
s = socket.socket(socket.{family})
s.bind({address!r})
s.listen()
print("up")
while True:
    c, _ = s.accept()
    data = b""
    while piece := c.recv(65536):
        data += piece
    c.sendall(data[::-1])
    c.close()
"""
"""Answers with what it was sent, backwards, once all of it has come."""


def reverser(host: str, port: int) -> str:
    family = "AF_INET6" if ":" in host else "AF_INET"
    return SERVER.format(family=family, address=(host, port))


def reverser_at(path: str) -> str:
    return SERVER.format(family="AF_UNIX", address=path)


async def eventually(check: Callable[[], bool]) -> None:
    """What is waited for is the work of other processes."""
    with anyio.fail_after(20):
        while not check():  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def exchange(port: int, sent: bytes) -> bytes:
    """What comes back through a port of this machine, once all was sent."""
    with anyio.fail_after(60):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            return await _exchanged(stream, sent)


async def exchange_at(path: Path, sent: bytes) -> bytes:
    with anyio.fail_after(60):
        async with await anyio.connect_unix(path) as stream:
            return await _exchanged(stream, sent)


async def _exchanged(
    stream: anyio.abc.SocketStream | anyio.abc.UNIXSocketStream, sent: bytes
) -> bytes:
    got = b""

    async def read() -> None:
        nonlocal got
        try:
            while True:
                got += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        try:
            await stream.send(sent)
            await stream.send_eof()
        except (anyio.BrokenResourceError, OSError):
            pass
    return got


async def test_a_port_inside_is_reached_and_each_direction_ends_by_itself(stage: Stage) -> None:
    await stage.workspace("api")
    port, sent = free_port(), os.urandom(3 << 20)
    async with (
        stage.inside("api", reverser("127.0.0.1", 8123)),
        stage.forwarding("api", "-L", f"{port}:localhost:8123"),
    ):
        assert await exchange(port, sent) == sent[::-1]
        assert await exchange(port, b"abc") == b"cba"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1"])
async def test_all_of_the_loopback_is_the_workspaces_own(stage: Stage, host: str) -> None:
    await stage.workspace("api")
    port = free_port()
    async with (
        stage.inside("api", reverser(host, 8123)),
        stage.forwarding("api", "-L", f"{port}:[{host}]:8123"),
    ):
        assert await exchange(port, b"abc") == b"cba"


async def test_a_workspaces_own_name_is_itself(stage: Stage) -> None:
    await stage.workspace("api")
    port = free_port()
    async with (
        stage.inside("api", reverser("127.0.0.1", 8123)),
        stage.forwarding("api", "-L", f"{port}:api:8123"),
    ):
        assert await exchange(port, b"abc") == b"cba"


@pytest.mark.parametrize(
    "host",
    [
        "other",
        "169.254.169.254",
        "10.0.0.1",
        "0.0.0.0",
        "example.com",
        "[::ffff:10.0.0.1]",
        "[::]",
    ],
)
async def test_nothing_but_the_workspace_itself_is_reached(stage: Stage, host: str) -> None:
    await stage.workspace("api")
    await stage.workspace("other")
    port = free_port()
    async with (
        stage.inside("other", reverser("127.0.0.1", 8123)),
        stage.forwarding("api", "-L", f"{port}:{host}:8123"),
    ):
        assert await exchange(port, b"abc") == b""
        assert await exchange(port, b"abc") == b""
    (refused,) = await stage.told("channel.refused")
    assert refused.detail["kind"] == "forward"
    assert refused.detail["host"] == host.strip("[]")
    assert "only workspace api itself" in str(refused.detail["why"])


async def test_a_port_of_this_machine_is_not_one_of_the_workspace(stage: Stage) -> None:
    await stage.workspace("api")
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as outside:
        outside.settimeout(0)
        to = outside.getsockname()[1]
        async with stage.forwarding("api", "-L", f"{port}:127.0.0.1:{to}"):
            assert await exchange(port, b"abc") == b""
        with pytest.raises(BlockingIOError):
            outside.accept()


async def test_a_target_is_told_of_once_an_hour_and_not_for_each_connection(stage: Stage) -> None:
    await stage.workspace("api")
    port = free_port()
    async with (
        stage.inside("api", reverser("127.0.0.1", 8123)),
        stage.forwarding("api", "-L", f"{port}:localhost:8123"),
    ):
        for _ in range(5):
            assert await exchange(port, b"abc") == b"cba"
    told = [e for e in await stage.told("channel.opened") if e.detail["kind"] == "forward"]
    assert [(e.detail["host"], e.detail["port"]) for e in told] == [("localhost", 8123)]


async def test_through_socks_only_the_workspace_is_reached(stage: Stage) -> None:
    await stage.workspace("api")
    port = free_port()
    async with (
        stage.inside("api", reverser("127.0.0.1", 8123)),
        stage.forwarding("api", "-D", str(port)),
    ):
        assert await socks(port, "localhost", 8123) == b"cba"
        with pytest.raises(ConnectionRefusedError):
            await socks(port, "169.254.169.254", 80)


async def socks(port: int, host: str, to: int) -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"\x05\x01\x00")
        await stream.receive(2)
        name = host.encode()
        asked = b"\x05\x01\x00\x03" + bytes([len(name)]) + name + to.to_bytes(2)
        await stream.send(asked)
        try:
            answer = await stream.receive(64)
        except anyio.EndOfStream as error:
            raise ConnectionRefusedError from error  # OpenSSH's client says no more
        assert answer[1] == 0
        return await _exchanged(stream, b"abc")


async def test_a_unix_socket_inside_is_reached(stage: Stage) -> None:
    home = stage.home(await stage.workspace("api"))
    path = f"{home}/s.sock"
    local = stage.client / "local.sock"
    async with (
        stage.inside("api", reverser_at(path)),
        stage.forwarding("api", "-L", f"{local}:{path}"),
    ):
        assert await exchange_at(local, b"abc") == b"cba"


async def test_a_socket_that_the_user_may_not_open_stays_shut(stage: Stage) -> None:
    home = stage.home(await stage.workspace("api"))
    theirs = stage.driver.directory / "theirs.sock"
    local = stage.client / "local.sock"
    async with await anyio.create_unix_listener(theirs, mode=0o600) as listener:
        assert listener.extra(SocketAttribute.local_address)
        (home / "innocent.sock").symlink_to(theirs)
        async with stage.forwarding("api", "-L", f"{local}:{home}/innocent.sock"):
            assert await exchange_at(local, b"abc") == b""
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await listener.accept()


async def test_a_port_inside_leads_out_to_the_client(stage: Stage) -> None:
    await stage.workspace("api")
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = server.getsockname()[1]
        async with stage.forwarding("api", "-R", f"9123:127.0.0.1:{to}"):
            assert await answered(stage, server, ask("('127.0.0.1', 9123)")) == b"yes hello"
    (told,) = [e for e in await stage.told("channel.opened") if e.detail["kind"] == "listen"]
    assert told.detail["port"] == 9123


async def answered(stage: Stage, server: socket.socket, line: str) -> bytes:
    """What a command in the workspace prints, which connects to this server of the client's."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            said = b""
            while piece := connection.recv(100):
                said += piece
            connection.sendall(b"yes " + said)

    printed: list[bytes] = []

    async def run() -> None:
        printed.append((await stage.ssh("api", line)).stdout)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, serve)
        tasks.start_soon(run)
    return printed[0]


def ask(address: str, family: str = "AF_INET") -> str:
    program = (
        f"import socket; s = socket.socket(socket.{family}); s.connect({address}); "
        "s.sendall(b'hello'); s.shutdown(1); print(s.makefile().read(), end='')"
    )
    return f'python3 -c "{program}"'


async def test_any_free_port_can_be_had_and_given_back(stage: Stage) -> None:
    await stage.workspace("api")
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = server.getsockname()[1]
        async with stage.forwarding("api") as control:
            spec = f"0:127.0.0.1:{to}"
            asked = await stage.run("ssh", "-S", control, "-O", "forward", "-R", spec, "x")
            port = int(asked.stdout)
            said = await answered(stage, server, ask(f"('::1', {port})", "AF_INET6"))
            assert said == b"yes hello"
            await stage.run("ssh", "-S", control, "-O", "cancel", "-R", spec, "x")
            done = await stage.ssh("api", ask(f"('127.0.0.1', {port})"), check=1)
            assert b"ConnectionRefusedError" in done.stderr


async def test_a_port_that_is_taken_is_refused(stage: Stage) -> None:
    await stage.workspace("api")
    async with (
        stage.inside("api", reverser("127.0.0.1", 9123)),
        stage.forwarding("api") as control,
    ):
        words = ["-S", control, "-O", "forward", "-R", "9123:127.0.0.1:9", "x"]
        done = await stage.run("ssh", *words, check=255)
        assert b"forwarding" in done.stderr


async def test_a_socket_inside_leads_out_and_is_gone_afterwards(stage: Stage) -> None:
    home = stage.home(await stage.workspace("api"))
    path = home / "out.sock"
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = server.getsockname()[1]
        async with stage.forwarding("api", "-R", f"{path}:127.0.0.1:{to}"):
            assert path.stat().st_uid == 1000
            assert path.stat().st_mode & 0o777 == 0o600
            assert await answered(stage, server, ask(f"'{path}'", "AF_UNIX")) == b"yes hello"
    await eventually(lambda: not path.exists())


async def test_the_clients_agent_can_be_asked_from_inside_while_it_is_connected(
    stage: Stage,
) -> None:
    await stage.workspace("api")
    key = await stage.key()
    sock = stage.client / "agent.sock"
    async with stage.running("ssh-agent", "-D", "-a", sock):
        await eventually(sock.exists)
        env = {"SSH_AUTH_SOCK": str(sock)}
        await stage.run("ssh-add", "-q", key, env=env)
        line = 'ssh-add -l; ls -ld $(dirname $SSH_AUTH_SOCK); echo "$SSH_AUTH_SOCK"'
        words = ["-A", *stage.options(), "api@127.0.0.1", line]
        done = await stage.run("ssh", *words, env=env)
    listed, directory, path = done.stdout.decode().splitlines()
    assert "ED25519" in listed
    assert directory.startswith("drwx------ 2 dev dev")
    await eventually(lambda: not Path(path).parent.exists())
    (told,) = [e for e in await stage.told("channel.opened") if e.detail["kind"] == "agent"]
    assert told.actor == "u-ada"


async def test_who_may_only_look_reaches_nothing_and_lets_nothing_out(stage: Stage) -> None:
    await stage.workspace("api")
    key = await stage.auditor()
    words = stage.options(IdentityFile=str(key), ExitOnForwardFailure="yes")
    out = await stage.run(
        "ssh", *words, "-N", "-R", "9123:127.0.0.1:9", "api.ada@127.0.0.1", check=255
    )
    assert b"remote port forwarding failed" in out.stderr
    into = ("-W", "localhost:8123", "api.ada@127.0.0.1")
    done = await stage.run("ssh", *words, *into, check=255)
    assert b"stdio forwarding failed" in done.stderr
    assert {e.detail["kind"] for e in await stage.told("channel.refused")} == {"forward", "listen"}


async def test_a_workspace_is_a_jump_host_to_itself_and_to_no_other(stage: Stage) -> None:
    """`ssh -J` through a workspace to a server of SSH that somebody runs in it."""
    home = stage.home(await stage.workspace("api"))
    await stage.workspace("other")
    public = (await stage.key()).with_suffix(".pub").read_text()
    setup = "umask 077; mkdir .ssh; cat > .ssh/authorized_keys; ssh-keygen -qt ed25519 -N '' -f hk"
    await stage.ssh("api", setup, input=public.encode())
    sshd = (
        "import subprocess, socket, time\n"
        f"subprocess.Popen(['/usr/sbin/sshd', '-D', '-f', '/dev/null', '-h', '{home}/hk', '-p',"
        " '2222', '-o', 'ListenAddress=127.0.0.1', '-o', 'PidFile=none', '-o',"
        " 'StrictModes=no'])\n"
        "while socket.socket().connect_ex(('127.0.0.1', 2222)): time.sleep(0.05)\n"
        "print('up'); time.sleep(600)"
    )
    proxy = " ".join(["ssh", *stage.options(), "-W", "%h:%p", "api@127.0.0.1"])
    words = stage.options(Port="2222", ProxyCommand=proxy)
    async with stage.inside("api", sshd):
        done = await stage.run("ssh", *words, "dev@localhost", "id -un")
        assert done.stdout == b"dev\n"
        await stage.run("ssh", *words, "dev@other", "true", check=255)
