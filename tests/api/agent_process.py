"""A driver whose lifecycle is the fake one's, and whose agents are real processes.

So the API's streams, files and commands are tried against what runs inside workspaces, without
root and without a runtime.
"""

import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from alcove.drivers.base import ByteStream
from alcove.drivers.fake import FakeDriver
from alcove.model.template import TemplateVersion
from alcove.model.workspace import Handle, Spec, UserId, WorkspaceId
from alcove.recipes.native import read
from alcove.store import templates
from alcove.store.db import Tx
from tests.conftest import T0
from tests.ports import listens

BINARY = Path(__file__).parents[2] / "src/alcove/bin/alcove-agent"


@dataclass
class AgentDriver(FakeDriver):
    """Starts one agent for each workspace; `close` ends them."""

    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="agents-")))
    processes: dict[WorkspaceId, "subprocess.Popen[bytes]"] = field(
        default_factory=dict[WorkspaceId, "subprocess.Popen[bytes]"]
    )

    async def create(self, workspace: WorkspaceId, spec: Spec, *, control_key: str) -> Handle:
        if workspace not in self.processes:
            self._launch(workspace, control_key)
        return await super().create(workspace, spec, control_key=control_key)

    @asynccontextmanager
    async def connect(
        self, workspace: WorkspaceId, handle: Handle, *, port: int
    ) -> AsyncGenerator[ByteStream]:
        stream = await anyio.connect_unix(self._socket(workspace))
        try:
            yield stream
        finally:
            await stream.aclose()

    def home(self, workspace: WorkspaceId) -> Path:
        return self.directory / workspace / "home"

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _socket(self, workspace: WorkspaceId) -> Path:
        return self.directory / workspace / "agent.sock"

    def _launch(self, workspace: WorkspaceId, control_key: str) -> None:
        home = self.home(workspace)
        home.mkdir(parents=True)
        env: dict[str, Any] = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "ALCOVE_LISTEN": f"unix:{self._socket(workspace)}",
            "ALCOVE_CONTROL_SHA256": hashlib.sha256(control_key.encode()).hexdigest(),
            "ALCOVE_USER": "root",
            "ALCOVE_WORKDIR": str(home),
            "ALCOVE_ROOT": "contained",
        }
        with (self.directory / workspace / "log").open("wb") as log:
            self.processes[workspace] = subprocess.Popen(
                # A claim sets the host name where it may: not that of this machine.
                ["unshare", "--uts", BINARY],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home,
            )
        deadline = time.monotonic() + 10
        while not listens(self._socket(workspace)):
            if time.monotonic() > deadline:
                raise TimeoutError((self.directory / workspace / "log").read_text())
            time.sleep(0.005)


PLAIN = b"""
name: plain
description: Runs as whoever is on this machine
image: {debian: bookworm, packages: [git]}
"""


async def add_plain_template(tx: Tx) -> None:
    """A template whose user exists on this machine; a pushed one could not name such a user."""
    recipe = read({"template.yaml": PLAIN}, "plain").recipe
    assert recipe is not None
    await templates.add(tx, "plain", now=T0)
    version = TemplateVersion(
        template="plain",
        number=1,
        recipe=replace(recipe, user="root"),
        digest="sha256:0",
        message="",
        created_at=T0,
        created_by=UserId("system"),
    )
    await templates.add_version(tx, version, {"template.yaml": PLAIN})
    await templates.promote(tx, "plain", 1, now=T0)
