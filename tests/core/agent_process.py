"""The real agent as an ordinary process on a Unix socket."""

import hashlib
import os
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from alcove.drivers.base import ByteStream
from alcove.drivers.fake import FakeDriver
from alcove.model.errors import DriverError
from alcove.model.workspace import Handle, Spec, WorkspaceId
from tests.ports import listens

BINARY: Final = Path(__file__).parents[2] / "src/alcove/bin/alcove-agent"


@dataclass
class AgentProcess(FakeDriver):
    """A driver whose every workspace is one agent on this machine."""

    binary: Path = BINARY
    directory: Path = Path()
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        return self.directory / "agent.sock"

    async def create(self, workspace: WorkspaceId, spec: Spec, *, control_key: str) -> Handle:
        handle = await super().create(workspace, spec, control_key=control_key)
        self.boot(control_key)
        await self.answering()
        return handle

    def boot(self, key: str) -> None:
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            # A claim sets the host name where it may: not that of this machine.
            ["unshare", "--uts", str(self.binary)],
            cwd=self.directory,
            env={
                "ALCOVE_LISTEN": f"unix:{self.socket}",
                "ALCOVE_CONTROL_SHA256": hashlib.sha256(key.encode()).hexdigest(),
                "ALCOVE_USER": "root",
                "ALCOVE_ROOT": "contained",
                "PATH": "/usr/local/bin:/usr/bin:/bin",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def answering(self) -> None:
        with anyio.fail_after(20):
            while not listens(self.socket):
                assert self.process is not None
                assert self.process.poll() is None, "the agent ended at once"
                await anyio.sleep(0.01)

    def kill(self) -> None:
        """With all that it started: it is no PID 1 here, whose end would be theirs."""
        if self.process is not None:
            started = _descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
            for pid in started:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    @asynccontextmanager
    async def connect(
        self, workspace: WorkspaceId, handle: Handle, *, port: int
    ) -> AsyncGenerator[ByteStream]:
        try:
            stream = await anyio.connect_unix(self.socket)
        except OSError as error:
            raise DriverError(f"no agent: {error}", retry=True) from error
        try:
            yield stream
        finally:
            await stream.aclose()


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]
