"""A whole server on loopback whose workspaces are real agents on this machine.

Run as a program it is that server; `Served.start` runs it as a process of its own, so that the
client under test shares nothing with it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx

from alcove import server
from alcove.config import Settings
from alcove.model.workspace import Handle, Spec, WorkspaceId
from alcove.store.db import Database
from alcove.store.migrate import migrate
from tests.api.agent_process import AgentDriver, add_plain_template

ROOT = Path(__file__).parents[2]
READY_S = 120.0
STOP_S = 20.0


@dataclass
class Served:
    """The process, and how to reach it."""

    process: "subprocess.Popen[bytes]"
    url: str
    token: str
    log: Path

    @classmethod
    def start(cls, directory: Path) -> "Served":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        url, log = f"http://127.0.0.1:{port}", directory / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.sdk.served", str(directory), str(port)],
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )
        served = cls(process, url, "", log)
        try:
            served._wait()
            served.token = served._ask_for_token(directory)
        except BaseException:
            served.stop()
            raise
        return served

    def environment(self, directory: Path) -> dict[str, str]:
        """What a command needs to speak to it, and nothing else of ours."""
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        return {
            "ALCOVE_URL": self.url,
            "ALCOVE_TOKEN": self.token,
            "HOME": str(directory),
            "PATH": path,
            "TERM": "xterm-256color",
        }

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the server did not come up: {self.log.read_text()[-4000:]}")

    def _ask_for_token(self, directory: Path) -> str:
        path = Settings(data_dir=directory).admin_socket
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            answer = client.post("http://local/token", json={"name": "tests"})
        return str(json.loads(answer.content)["token"])


class _Agents(AgentDriver):
    """The server lets nobody else into what it makes; these agents' user has to get in."""

    async def create(self, workspace: WorkspaceId, spec: Spec, *, control_key: str) -> Handle:
        mask = os.umask(0o022)
        try:
            return await super().create(workspace, spec, control_key=control_key)
        finally:
            os.umask(mask)


async def _prepare(url: str) -> None:
    db = Database(url)
    await migrate(db)
    async with db.transaction() as tx:
        await add_plain_template(tx)
    await db.aclose()


def main(argv: Sequence[str]) -> int:
    """Serve from a directory on a port until SIGTERM."""
    directory, port = Path(argv[0]), argv[1]
    settings = Settings(data_dir=directory)
    settings.server_dir.mkdir(parents=True, exist_ok=True)
    anyio.run(_prepare, settings.database)
    driver = _Agents()
    server.build_driver = lambda _: driver
    try:
        return server.main(
            [
                "server",
                *("--http-address", f"127.0.0.1:{port}", "--ssh-address", ""),
                *("--data-dir", str(directory)),
                # Several run beside each other; SSH comes through the other address.
                *("--ssh-address", ""),
                *(["--allow-root"] if os.geteuid() == 0 else []),
            ]
        )
    finally:
        driver.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
