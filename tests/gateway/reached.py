"""A gateway on loopback before real agents, and the stock OpenSSH client at its door."""

import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from alcove.clock import system_clock
from alcove.config import Settings
from alcove.core import identity, service, ssh_ca, ssh_keys
from alcove.core import workspaces as verbs
from alcove.core.app import Core
from alcove.core.proofs import SecretKind, new_secret
from alcove.gateway.server import Gateway
from alcove.model.access import Actor, Permission
from alcove.model.event import Event
from alcove.model.identity import Token
from alcove.model.workspace import Phase, Workspace, WorkspaceId
from alcove.store import templates, tokens
from alcove.store.db import Database
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.conftest import T0
from tests.core.world import ADA, SECRET, World, populate

WAIT_S = 60.0


@dataclass
class ShiftedClock:
    """The system's, put forward or back by a test."""

    by: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return system_clock() + self.by


@dataclass(frozen=True)
class Said:
    """How a client ended."""

    code: int
    out: bytes
    err: str


@dataclass
class Reached:
    """The gateway, its core, and the files of a client: `key` is ADA's."""

    core: Core
    gateway: Gateway
    world: World
    driver: AgentDriver
    clock: ShiftedClock
    port: int
    home: Path
    tasks: anyio.abc.TaskGroup
    options: list[str] = field(default_factory=list[str])

    async def key(
        self, name: str = "key", *, owner: Actor | None = ADA, kind: str = "ed25519"
    ) -> Path:
        """A key pair; its public half is the owner's in Alcove, if there is one."""
        path = self.home / name
        await run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path))
        if owner is not None:
            await ssh_keys.add(self.core, owner, name=name, public_key=public(path))
        return path

    async def certify(self, path: Path, actor: Actor, *, workspace: str | None = None) -> str:
        """Put a certificate of ours beside the key."""
        made = await ssh_ca.issue(self.core, actor, public(path), workspace=workspace)
        write(Path(f"{path}-cert.pub"), made.text + "\n")
        return made.text

    async def workspace(self, name: str = "api", actor: Actor = ADA, **asked: Any) -> Workspace:
        """One with a real agent, running."""
        made = await self.world.create(actor, template="plain", name=name, **asked)
        return await self.until(made.id, Phase.RUNNING)

    async def until(self, id: WorkspaceId, phase: Phase) -> Workspace:
        with anyio.fail_after(WAIT_S):
            while True:
                row = await self.world.row(id)
                if row.phase is phase:
                    return row
                await anyio.sleep(0.02)

    async def token(
        self,
        actor: Actor = ADA,
        *,
        workspace: WorkspaceId | None = None,
        scopes: frozenset[Permission] | None = None,
    ) -> tuple[Actor, str]:
        """What a bearer of a fresh token is, and the token's id."""
        secret = new_secret(SecretKind.TOKEN)
        token = Token(secret.id, actor.id, "test", scopes, workspace, self.clock(), None, None)
        async with self.core.db.transaction() as tx:
            await tokens.add(tx, token, secret_sha256=secret.sha256)
        return await identity.authenticate_bearer(self.core, secret.text), secret.id

    def command(self, *words: str, key: Path | None = None) -> list[str]:
        """`ssh` with nothing of this machine's user in it."""
        return [
            *("ssh", "-F", "none", "-p", str(self.port), "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={self.home}/known_hosts", "-o", "IdentityAgent=none"),
            *("-o", "IdentitiesOnly=yes", "-o", "PasswordAuthentication=yes"),
            *("-o", "NumberOfPasswordPrompts=0", "-i", str(key or self.home / "key")),
            *self.options,
            *words,
        ]

    async def ssh(self, *words: str, key: Path | None = None, input: bytes = b"") -> Said:
        return await run(*self.command(*words, key=key), input=input, check=False)

    @asynccontextmanager
    async def client(
        self, *words: str, key: Path | None = None
    ) -> AsyncGenerator[anyio.abc.Process]:
        """One that goes on, and is killed at the end of the block."""
        process = await anyio.open_process(self.command(*words, key=key), stderr=subprocess.PIPE)
        async with process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.kill()

    async def events(self, *kinds: str) -> list[Event]:
        await self.core.journal.flush(self.core)
        return [event for event in await self.world.events() if event.kind in kinds]

    async def told(self, kind: str, count: int = 1) -> list[Event]:
        """The events of this kind, as soon as there are so many."""
        with anyio.fail_after(WAIT_S):
            while True:
                found = await self.events(kind)
                if len(found) >= count:
                    return found
                await anyio.sleep(0.05)


async def run(*words: str, input: bytes = b"", check: bool = True) -> Said:
    with anyio.fail_after(WAIT_S):
        done = await anyio.run_process(words, input=input, check=False)
    said = Said(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
    assert not check or said.code == 0, said
    return said


async def at_a_terminal(command: str) -> str:
    """What this shows at a terminal whose user types nothing.

    Its input stays open: at the end of that `script` types the terminal's end-of-file character.
    """
    process = await anyio.open_process(["script", "-qec", command, "/dev/null"])
    async with process:
        assert process.stdout is not None
        with anyio.fail_after(WAIT_S):
            shown = b"".join([chunk async for chunk in process.stdout])
            assert await process.wait() == 0, shown
    return shown.decode()


def write(path: Path, text: str) -> None:
    path.write_text(text)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def public(path: Path) -> str:
    return Path(f"{path}.pub").read_text()


async def eventually(check: Callable[[], Awaitable[bool]], within_s: float = WAIT_S) -> None:
    with anyio.fail_after(within_s):
        while True:
            if await check():
                return
            await anyio.sleep(0.02)


async def read_until(process: anyio.abc.Process, mark: bytes) -> bytes:
    """What it writes, until this is in it."""
    assert process.stdout is not None
    read = b""
    with anyio.fail_after(WAIT_S):
        while mark not in read:
            read += await process.stdout.receive()
    return read


@asynccontextmanager
async def reached(db: Database, directory: Path) -> AsyncGenerator[Reached]:
    clock = ShiftedClock()
    driver = AgentDriver(directory=Path(tempfile.mkdtemp(prefix="ssh-agents-")))
    core = Core.build(
        settings=Settings(driver="fake", data_dir=directory / "data"),
        driver=driver,
        secret=SECRET,
        db=db,
        clock=clock,
    )
    await populate(db)
    home = directory / "home"
    home.mkdir()
    async with db.transaction() as tx:
        await add_plain_template(tx)
        # A home that brings no start-up files of this machine into the shells.
        plain = await templates.version(tx, "plain", 1)
        assert plain is not None
        recipe = replace(plain.recipe, env={**plain.recipe.env, "HOME": str(home)})
        await templates.add_version(tx, replace(plain, number=2, recipe=recipe), {})
        await templates.promote(tx, "plain", 2, now=T0)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    (directory / "known_hosts").write_text(
        f"[127.0.0.1]:{port} {ssh_ca.host_public_key(SECRET)}\n"
    )
    gateway = Gateway(core)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.run, core)
            tasks.start_soon(gateway.serve, listener)
            world = World(core, clock, driver)  # pyright: ignore[reportArgumentType]
            yield Reached(core, gateway, world, driver, clock, port, directory, tasks)
            tasks.cancel_scope.cancel()
    finally:
        listener.close()
        driver.close()
        await core.agents.aclose()


async def stopped(found: Reached, made: Workspace) -> Workspace:
    await verbs.stop(found.core, ADA, made.id)
    return await found.until(made.id, Phase.STOPPED)
