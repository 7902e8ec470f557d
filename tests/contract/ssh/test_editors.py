"""What editors do over SSH, channel by channel, by the stock client and a program.

The sequences are those of the editors' own logs; what they install is a small stand-in, since
each fetches a server of its own from its maker.
"""

import base64
import hashlib
import os
import re

import anyio
import pytest

from tests.contract.ssh.stage import Stage
from tests.ports import free_port

SERVER = """
import base64, hashlib, os, socket, sys
where = sys.argv[1]
if where.startswith("/"):
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
else:
    server = socket.create_server(("127.0.0.1", 0))
server.listen()
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(where if where.startswith("/") else server.getsockname()[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
while True:
    conn, _ = server.accept()
    if os.fork():
        conn.close()
        continue
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        head += conn.recv(1)
    if b"Upgrade: websocket" not in head:
        conn.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\n\\r\\nversion")
        os._exit(0)
    key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\\r\\n")[0]
    mark = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key + mark).digest())
    conn.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\n"
        b"Connection: Upgrade\\r\\nSec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
    while data := conn.recv(65536):
        conn.sendall(data)
    os._exit(0)
"""
"""Version over HTTP, and an upgrade that gives back what it gets, without frames of WebSockets."""

INSTALL = """
uname -sm
getent passwd "$(id -un)" | cut -d: -f7
command -v bash >/dev/null && echo "bash: ${BASH_VERSION%%.*}"
mkdir -p "$HOME/.vscode-server/bin" && cd "$HOME/.vscode-server" || exit 1
umask 077
base64 -d > server.py <<'END'
@program@
END
nohup python3 server.py @where@ "$PWD/port" > server.log 2>&1 < /dev/null &
while [ ! -e port ]; do sleep 0.05; done
echo "SSH_AUTH_SOCK==${SSH_AUTH_SOCK}=="
echo "listeningOn==$(cat port)=="
"""


def install(where: str) -> bytes:
    program = base64.b64encode(SERVER.encode()).decode()
    return INSTALL.replace("@program@", program).replace("@where@", where).encode()


async def through_socks(port: int, to: int) -> anyio.abc.SocketStream:
    stream = await anyio.connect_tcp("127.0.0.1", port)
    await stream.send(b"\x05\x01\x00")
    await stream.receive(2)
    await stream.send(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + to.to_bytes(2))
    assert (await stream.receive(64))[1] == 0
    return stream


Stream = anyio.abc.SocketStream | anyio.abc.UNIXSocketStream


async def get(stream: Stream) -> bytes:
    await stream.send(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got = b""
    while not got.endswith(b"version"):
        got += await stream.receive()
    return got


async def websocket(stream: Stream) -> None:
    """Upgrade, and have a long message come back."""
    key = base64.b64encode(os.urandom(16))
    head = b"GET /?skipWebSocketFrames=true HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    await stream.send(head + b"Sec-WebSocket-Key: " + key + b"\r\n\r\n")
    got = b""
    while b"\r\n\r\n" not in got:
        got += await stream.receive()
    mark = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    assert base64.b64encode(hashlib.sha1(key + mark).digest()) in got
    sent = os.urandom(300_000)
    back = got.partition(b"\r\n\r\n")[2]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, sent)
        while len(back) < len(sent):
            back += await stream.receive()
    assert back == sent


async def told(process: anyio.abc.Process, ending: bytes) -> str:
    assert process.stdout is not None
    got = b""
    with anyio.fail_after(30):
        while not re.search(ending, got):
            got += await process.stdout.receive()
    return got.decode()


async def test_vs_code_and_cursor_install_and_reach_a_server_by_socks(stage: Stage) -> None:
    """`ssh -T -D PORT HOST bash`, with the script on its input; all that follows goes by SOCKS
    over the connection of that one command, which stays open."""
    await stage.workspace("api")
    await stage.key()
    port = free_port()
    words = ["-T", "-D", str(port), *stage.options(), "api@127.0.0.1", "bash"]
    async with stage.running("ssh", *words) as process:
        assert process.stdin is not None
        await process.stdin.send(install("port"))
        said = await told(process, rb"listeningOn==\d+==\n")
        assert said.startswith("Linux x86_64\n/bin/bash\nbash: 5\n")
        found = re.search(r"listeningOn==(\d+)==", said)
        assert found is not None
        to = int(found[1])
        with anyio.fail_after(60):
            async with await through_socks(port, to) as stream:
                assert b"200 OK" in await get(stream)
            async with (
                await through_socks(port, to) as management,
                await through_socks(port, to) as extensions,
            ):
                await websocket(management)
                await websocket(extensions)
        await process.stdin.send(b"echo still; exit\n")
        assert "still" in await told(process, b"still\n")


async def test_vs_code_reaches_a_server_that_listens_on_a_socket(stage: Stage) -> None:
    """The setting `remote.SSH.remoteServerListenOnSocket`: `direct-streamlocal` channels."""
    home = stage.home(await stage.workspace("api"))
    path = f"{home}/code.sock"
    done = await stage.ssh("api", "bash", input=install(path))
    assert f"listeningOn=={path}==" in done.stdout.decode()
    local = stage.client / "local.sock"
    async with stage.forwarding("api", "-L", f"{local}:{path}"):
        with anyio.fail_after(60):
            async with await anyio.connect_unix(local) as stream:
                assert b"200 OK" in await get(stream)
            async with await anyio.connect_unix(local) as stream:
                await websocket(stream)


async def test_zed_uploads_its_server_and_speaks_to_it_over_one_connection(stage: Stage) -> None:
    """A master connection, `uname`, the server by sftp, then a proxy on standard input and
    output for as long as the window is open; all as channels of the master."""
    home = stage.home(await stage.workspace("api"))
    (stage.client / "server").write_bytes(b"#!/bin/sh\nwhile read line; do echo got $line; done\n")
    async with stage.forwarding("api") as control:
        over = ["-S", str(control), "-F", "none"]
        done = await stage.run("ssh", *over, "x", "uname -sm")
        assert done.stdout == b"Linux x86_64\n"
        await stage.run("ssh", *over, "x", "mkdir -p ~/.zed_server")
        batch = b"put server .zed_server/server.part\n"
        upload = ["-o", f"ControlPath={control}", "-F", "none", "-q", "-b", "-", "x"]
        await stage.run("sftp", *upload, input=batch)
        move = "cd ~/.zed_server && chmod 755 server.part && mv server.part server"
        await stage.run("ssh", *over, "x", move)
        assert (home / ".zed_server/server").stat().st_mode & 0o777 == 0o755
        async with stage.running("ssh", *over, "-T", "x", "exec ~/.zed_server/server") as proxy:
            assert proxy.stdin is not None
            for word in (b"one", b"two"):
                await proxy.stdin.send(word + b"\n")
                await told(proxy, b"got " + word)


@pytest.mark.parametrize(
    "line",
    [
        "uname -sm",
        "getent passwd $(id -u)",
        "echo $HOME; cd ~ && touch .writable && rm .writable",
        'bash -lic "env" < /dev/null',
        "sh -c 'test -t 0 || echo no terminal'",
        "cat /etc/os-release",
        "ps -ef | head -1",
        "df -Pk ~ | tail -1",
    ],
)
async def test_what_editors_ask_a_host_first_is_answered(stage: Stage, line: str) -> None:
    await stage.workspace("api")
    assert (await stage.ssh("api", line)).stdout
