"""VS Code's own server, installed, started and spoken to over SSH as Remote-SSH does it.

The server is the one that code-server brings along, so nothing is fetched; the client is the stock
OpenSSH one, and then VS Code's remote protocol from the wire.
"""

import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from alcove import Alcove
from alcove.sdk import Workspace
from demo.instance import Instance
from tests.e2e.vscode_client import Window
from tests.ports import free_port

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]
STARTED_S = 60
FORWARDED_S = 20
ENVIRONMENT = "remoteextensionsenvironment"
INSTALL = """
uname -sm
getent passwd "$(id -un)" | cut -d: -f7
server=$(readlink -f "$(command -v code-server)")
server=${server%/out/node/entry.js}/lib/vscode
data=$HOME/.vscode-server
umask 077
mkdir -p "$data" && touch "$data/.writable" && rm "$data/.writable" || exit 1
cd "$data" || exit 1
head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' > token
nohup node "$server/out/server-main.js" --start-server --host=127.0.0.1 @where@ \\
  --connection-token-file "$data/token" --server-data-dir "$data" \\
  --accept-server-license-terms --enable-remote-auto-shutdown --telemetry-level off \\
  > log 2>&1 < /dev/null &
echo "pid==$!=="
for _ in $(seq 300); do
  at=$(sed -n 's/^Extension host agent listening on //p' log)
  [ -n "$at" ] && break
  sleep 0.1
done
[ -n "$at" ] || { cat log >&2; exit 1; }
echo "listeningOn==$at=="
echo "token==$(cat token)=="
echo "commit==$(node -p 'require(process.argv[1]).commit' "$server/product.json")=="
"""
"""What Remote-SSH feeds to `bash`, in short: look round, start, say where and with what token."""


@dataclass(frozen=True)
class Client:
    """OpenSSH, with nothing of this machine's user in it."""

    directory: Path
    port: int
    workspace: str

    def command(self, *words: str) -> list[str]:
        options = {
            "Port": self.port,
            "IdentityFile": self.directory / "key",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.directory / "known_hosts",
            "StrictHostKeyChecking": "accept-new",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        chosen = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", *chosen, *words]

    def run(self, *words: str, script: str = "") -> str:
        done = subprocess.run(
            self.command("-T", f"{self.workspace}@127.0.0.1", *words),
            input=script,
            capture_output=True,
            text=True,
            timeout=STARTED_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, where: str) -> dict[str, str]:
        said = self.run("bash", script=INSTALL.replace("@where@", where))
        assert said.startswith("Linux x86_64\n/bin/bash\n")
        return dict(re.findall(r"^(\w+)==(\S*)==$", said, re.MULTILINE))

    @contextmanager
    def forwarding(self, *words: str, until: Path | int) -> Generator[None]:
        """A connection that only forwards, up as soon as its end here takes connections."""
        more = ["-N", "-o", "ExitOnForwardFailure=yes", *words]
        process = subprocess.Popen(self.command(*more, f"{self.workspace}@127.0.0.1"))
        try:
            deadline = time.monotonic() + FORWARDED_S
            while not _takes(until):
                assert process.poll() is None, "ssh ended"
                assert time.monotonic() < deadline, "ssh does not listen"
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def pid_is_there(self, pid: str) -> bool:
        return self.run(f"kill -0 {shlex.quote(pid)} && echo there || true") == "there\n"


def _takes(where: Path | int) -> bool:
    try:
        reach(where).close()
    except OSError:
        return False
    return True


def reach(where: Path | int) -> socket.socket:
    if isinstance(where, int):
        return socket.create_connection(("127.0.0.1", where))
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.connect(str(where))
    except OSError:
        stream.close()
        raise
    return stream


@pytest.fixture(scope="module")
def workspace(installation: Instance) -> Generator[Workspace]:
    with (
        Alcove(installation.url, installation.token) as client,
        client.workspaces.create(
            template="code-server", network={"mode": "none"}, timeout_s=1500
        ) as made,
    ):
        yield made


@pytest.fixture
def client(
    installation: Instance, alcove: Alcove, workspace: Workspace, tmp_path: Path
) -> Generator[Client]:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    added = alcove.ssh.add_key("editor", key.with_suffix(".pub").read_text())
    yield Client(tmp_path, installation.ssh_port, workspace.id)
    alcove.ssh.remove_key(added.id)


def environment(window: Window, number: int) -> dict[str, object]:
    """What the server says of the machine it runs on."""
    asked = {"remoteAuthority": "ssh-remote+api.alcove"}
    return window.call(number, ENVIRONMENT, "getEnvironmentData", asked)


def test_a_window_of_vs_code_opens_over_ssh_and_comes_back_after_the_connection_is_lost(
    client: Client,
) -> None:
    said = client.install("--port=0")
    port = free_port()
    to = ["-L", f"{port}:127.0.0.1:{said['listeningOn']}"]
    window = Window(said["token"], said["commit"])
    with client.forwarding(*to, until=port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=20) as answer:
            assert answer.read().decode() == said["commit"]
        with reach(port) as stream:
            assert window.connect(stream, again=False)["type"] == "ok"
            window.hello()
            first = environment(window, 0)
    assert str(first["pid"]) == said["pid"]
    assert client.pid_is_there(said["pid"]), "the server ended with the connection"
    with client.forwarding(*to, until=port), reach(port) as stream:
        assert window.connect(stream, again=True)["type"] == "ok"
        assert environment(window, 1)["pid"] == first["pid"]
        with reach(port) as another:
            refused = Window(said["token"], said["commit"]).connect(another, again=True)
            assert refused["type"] == "error", "a window that never was came back"


def test_a_server_on_a_socket_is_reached_and_refuses_a_wrong_token(
    client: Client, tmp_path: Path
) -> None:
    """`remote.SSH.remoteServerListenOnSocket`."""
    path = client.run("echo $HOME/.vscode-server/code.sock").strip()
    said = client.install(f"--socket-path={path}")
    assert said["listeningOn"] == path
    local = tmp_path / "code.sock"
    with client.forwarding("-L", f"{local}:{path}", until=local):
        with reach(local) as stream:
            window = Window(said["token"], said["commit"])
            assert window.connect(stream, again=False)["type"] == "ok"
            window.hello()
            assert str(environment(window, 0)["pid"]) == said["pid"]
        with reach(local) as stream, pytest.raises(AssertionError, match="auth mismatch"):
            Window("0" * 32, said["commit"]).connect(stream, again=False)
