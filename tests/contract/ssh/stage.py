"""Workspaces that are reached over SSH: real agents, each in namespaces of its own, behind the
real gateway on a port of this machine."""

import hashlib
import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from anyio.abc import Process

from alcove.clock import system_clock
from alcove.config import Settings
from alcove.core import service, ssh_keys
from alcove.core import workspaces as verbs
from alcove.core.app import Core
from alcove.gateway.server import Gateway
from alcove.model.access import Actor
from alcove.model.event import Event
from alcove.model.identity import User
from alcove.model.template import TemplateVersion
from alcove.model.workspace import Phase, UserId, Workspace, WorkspaceId
from alcove.recipes.native import read
from alcove.store import templates, users
from alcove.store.db import Database, Tx
from tests.api.agent_process import BINARY, PLAIN, AgentDriver
from tests.api.served import EVE
from tests.conftest import T0, MovedClock
from tests.core.world import ADA, SECRET, World, populate
from tests.ports import listens

UID = 1000
TIMEOUT_S = 90
UP_S = 20
SPACES = ("--uts", "--net", "--ipc", "--mount", "--pid", "--fork", "--kill-child")
INSIDE = """
mount -t proc proc /proc
mount --bind passwd /etc/passwd
mount --bind group /etc/group
ip link set lo up
cd home
exec "$0"
"""


def _directory() -> Path:
    """Where the users inside may come to."""
    path = Path(tempfile.mkdtemp(prefix="ssh-agents-"))
    path.chmod(0o755)
    return path


@dataclass
class NamespacedDriver(AgentDriver):
    """Each agent is PID 1 with a loopback, a host name and users of its own; who works inside is
    `dev`, and there is no root."""

    directory: Path = field(default_factory=_directory)

    def _launch(self, workspace: WorkspaceId, control_key: str) -> None:
        home, base = self.home(workspace), self.directory / workspace
        home.mkdir(parents=True)
        home.chmod(0o755)
        os.chown(home, UID, UID)
        shell = f"dev:x:{UID}:{UID}::{home}:/bin/bash"
        (base / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{shell}\n")
        (base / "group").write_text(f"root:x:0:\ndev:x:{UID}:\n")
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ALCOVE_LISTEN": f"unix:{self._socket(workspace)}",
            "ALCOVE_CONTROL_SHA256": hashlib.sha256(control_key.encode()).hexdigest(),
            "ALCOVE_USER": "dev",
            "ALCOVE_ROOT": "none",
        }
        with (base / "log").open("wb") as log:
            self.processes[workspace] = subprocess.Popen(
                ["unshare", *SPACES, "sh", "-ec", INSIDE, BINARY],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=base,
            )
        deadline = time.monotonic() + UP_S
        while not listens(self._socket(workspace)):
            if time.monotonic() > deadline:
                raise TimeoutError((base / "log").read_text())
            time.sleep(0.005)


async def add_template(tx: Tx) -> None:
    """`plain`, whose user is the `dev` of `NamespacedDriver`."""
    recipe = read({"template.yaml": PLAIN}, "plain").recipe
    assert recipe is not None
    await templates.add(tx, "plain", now=T0)
    version = TemplateVersion(
        template="plain",
        number=1,
        recipe=replace(recipe, user="dev"),
        digest="sha256:0",
        message="",
        created_at=T0,
        created_by=UserId("system"),
    )
    await templates.add_version(tx, version, {"template.yaml": PLAIN})
    await templates.promote(tx, "plain", 1, now=T0)


@dataclass
class Stage:
    """A gateway, and a client's directory with a key that opens Ada's workspaces."""

    world: World
    driver: NamespacedDriver
    port: int
    client: Path

    @property
    def core(self) -> Core:
        return self.world.core

    async def workspace(self, name: str, actor: Actor = ADA) -> Workspace:
        """A running one."""
        made = await self.world.create(actor, template="plain", name=name)
        found = await verbs.wait(self.core, actor, made.id, timeout_s=UP_S)
        assert found.phase is Phase.RUNNING, f"{found.phase}: {found.reason}"
        return found

    async def key(self, actor: Actor = ADA, name: str = "id_ed25519") -> Path:
        """A key pair of the actor's; the file of its private half."""
        path = self.client / name
        if not path.exists():
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
            await anyio.run_process(make)
            public = path.with_suffix(".pub").read_text()
            await ssh_keys.add(self.core, actor, name=name, public_key=public)
        return path

    def home(self, workspace: Workspace) -> Path:
        return self.driver.home(workspace.id)

    async def run(
        self,
        *command: str | Path,
        input: bytes = b"",
        timeout_s: float = TIMEOUT_S,
        check: int | None = 0,
        env: dict[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[bytes]":
        """A client's program, with nothing of this machine's user in it."""
        own = {"HOME": str(self.client), "PATH": "/usr/local/bin:/usr/bin:/bin", **(env or {})}
        with anyio.fail_after(timeout_s):
            done = await anyio.run_process(
                [str(word) for word in command],
                input=input or None,
                # Not our own: clients before it may have left that in a mode it does not bear.
                stdin=None if input else subprocess.DEVNULL,
                check=False,
                env=own,
                cwd=self.client,
            )
        if check is not None:
            said = f"{command}: {done.returncode}\n{done.stdout!r}\n{done.stderr.decode()}"
            assert done.returncode == check, said
        return done

    def options(self, **more: str) -> list[str]:
        """For ssh, scp and sftp."""
        chosen = {
            "Port": str(self.port),
            "IdentityFile": str(self.client / "id_ed25519"),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.client / "known_hosts"),
            "StrictHostKeyChecking": "accept-new",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
            **more,
        }
        words = ["-F", "none"]
        for name, value in chosen.items():
            words += ["-o", f"{name}={value}"]
        return words

    async def ssh(
        self, where: str, *rest: str, check: int | None = 0, input: bytes = b"", **more: str
    ) -> "subprocess.CompletedProcess[bytes]":
        await self.key()
        to = [*self.options(**more), f"{where}@127.0.0.1", *rest]
        return await self.run("ssh", *to, check=check, input=input)

    async def auditor(self) -> Path:
        """The key of somebody who may read about all workspaces, and enter none."""
        user = User(
            id=EVE.id,
            name=EVE.name,
            display_name="Eve",
            email="eve@example.com",
            role=EVE.role,
            service=False,
            disabled=False,
            created_at=T0,
        )
        async with self.core.db.transaction() as tx:
            await users.add(tx, user, password_hash=None)
        return await self.key(EVE, "auditor")

    @asynccontextmanager
    async def running(self, *command: str | Path) -> AsyncGenerator[Process]:
        """A client's program that goes on."""
        env = {"HOME": str(self.client), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        words = [str(word) for word in command]
        async with await anyio.open_process(words, env=env, cwd=self.client) as process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.terminate()

    @asynccontextmanager
    async def inside(self, where: str, program: str) -> AsyncGenerator[None]:
        """A Python program in a workspace, which has printed its first line."""
        await self.key()
        line = f"exec python3 -uc {shlex.quote(program)}"
        to = [*self.options(), f"{where}@127.0.0.1", line]
        async with self.running("ssh", *to) as process:
            assert process.stdout is not None
            with anyio.fail_after(UP_S):
                await process.stdout.receive()
            yield

    @asynccontextmanager
    async def forwarding(self, where: str, *forwards: str) -> AsyncGenerator[Path]:
        """A client that only forwards; yields the socket by which it can be told more."""
        await self.key()
        control = self.client / "control"
        words = [*self.options(ExitOnForwardFailure="yes"), "-N", "-M", "-S", control]
        async with self.running("ssh", *words, f"{where}@127.0.0.1") as process:
            with anyio.fail_after(UP_S):
                while not await anyio.Path(control).exists():
                    assert process.returncode is None, "ssh ended"
                    await anyio.sleep(0.02)
            if forwards:
                await self.run("ssh", "-S", control, "-O", "forward", *forwards, "x")
            yield control

    async def told(self, kind: str) -> list[Event]:
        """Events of this kind, once what is under way has been written."""
        with anyio.fail_after(UP_S):
            while self.core.journal.waiting:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.02)
        return [event for event in await self.world.events() if event.kind == kind]


@asynccontextmanager
async def open_stage(file_url: str, client: Path) -> AsyncGenerator[Stage]:
    """With all loops of the server, under the real clock."""
    db = Database(file_url)
    driver = NamespacedDriver()
    core = Core.build(
        settings=Settings(driver="fake", data_dir=client.parent / "data"),
        driver=driver,
        secret=SECRET,
        db=db,
        clock=system_clock,
    )
    await populate(db)
    async with db.transaction() as tx:
        await add_template(tx)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    world = World(core, MovedClock(), driver)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.run, core)
            tasks.start_soon(Gateway(core).serve, listener)
            yield Stage(world, driver, listener.getsockname()[1], client)
            tasks.cancel_scope.cancel()
    finally:
        listener.close()
        driver.close()
        await core.agents.aclose()
        await db.aclose()
