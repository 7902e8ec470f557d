"""A real server with real agents, and the official clients run against it as programs."""

import os
import shutil
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anyio
import httpx
import pytest

from alcove.clock import system_clock
from alcove.config import Settings
from alcove.core import service
from alcove.http.listener import http_server
from alcove.store.db import Database
from tests.api.agent_process import add_plain_template
from tests.api.conftest import migrated, sqlite
from tests.api.served import ADA, BOB, Served, served
from tests.conftest import MovedClock
from tests.contract.daytona import clients
from tests.contract.e2b.sandboxes import SandboxDriver

__all__ = ["migrated", "sqlite"]
PROGRAM_S = 240


class Ticking(MovedClock):
    """The clients sign with the time that is."""

    def __call__(self) -> datetime:
        return system_clock()


@dataclass
class Place:
    """A server that listens; `token` is ADA's, `foreign` is BOB's."""

    api: Served
    url: str
    token: str
    foreign: str
    directory: Path

    @property
    def home_of(self) -> Path:
        assert isinstance(self.api.world.driver, SandboxDriver)
        return self.api.world.driver.directory

    def http(self, token: str | None = None) -> httpx.AsyncClient:
        head = {"authorization": f"Bearer {self.token if token is None else token}"}
        return httpx.AsyncClient(base_url=self.url, headers=head, timeout=30)

    async def run(self, *command: str | Path, **more: str) -> str:
        """A program, to its end; its output. It must succeed."""
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.directory),
            "DAYTONA_API_KEY": self.token,
            "DAYTONA_API_URL": f"{self.url}/daytona/api",
            "FOREIGN_KEY": self.foreign,
            "SERVER_URL": self.url,
            "PYTHONPATH": str(clients.PROGRAMS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONFAULTHANDLER": "1",
            **more,
        }
        # A program that hangs is ended from outside, so that what it said is not lost.
        words = ["timeout", "--signal=ABRT", str(PROGRAM_S), *(str(word) for word in command)]
        ended = await anyio.run_process(words, env=environment, cwd=self.directory, check=False)
        said = ended.stdout.decode() + ended.stderr.decode()
        assert ended.returncode == 0, said[-6000:]
        return said

    async def python(self, program: str, *words: str, client: str = "newest") -> str:
        interpreter = await anyio.to_thread.run_sync(clients.python, client)
        file = clients.PROGRAMS / f"{program}.py"
        return await self.run(interpreter, "-W", "ignore", file, *words)

    async def node(self, program: str) -> str:
        place = await anyio.to_thread.run_sync(clients.node_modules)
        copy = place / f"{program}-{os.getpid()}.mjs"
        shutil.copy(clients.HERE / "js" / f"{program}.mjs", copy)
        try:
            return await self.run(shutil.which("node") or "node", copy)
        finally:
            copy.unlink()


@pytest.fixture
async def place(sqlite: Database, tmp_path: Path) -> AsyncGenerator[Place]:
    driver = SandboxDriver()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(
        driver="fake",
        external_url=url,
        daytona_snapshot="plain",
        data_dir=tmp_path / "data",
        recording="require",
    )
    settings.server_dir.mkdir(parents=True)
    home = tmp_path / "home"
    home.mkdir()
    try:
        async with served(sqlite, Ticking(), driver=driver, settings=settings) as api:
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
            server = http_server(api.app)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(service.run, api.core)
                tasks.start_soon(lambda: server.serve(sockets=[listener]))
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await anyio.sleep(0.005)
                token = (await api.token(ADA)).text
                foreign = (await api.token(BOB)).text
                yield Place(api, url, token, foreign, home)
                server.should_exit = server.force_exit = True
                tasks.cancel_scope.cancel()
    finally:
        driver.close()
        listener.close()
