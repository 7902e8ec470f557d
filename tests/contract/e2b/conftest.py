import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from alcove.api.app import create_app
from alcove.clock import system_clock
from alcove.config import Settings
from alcove.core import service
from alcove.core.app import Core
from alcove.model.access import Permission
from alcove.store.db import Database
from tests.api.served import BOB, Served, listening
from tests.conftest import MovedClock
from tests.contract.e2b.sandboxes import SandboxDriver, add_template
from tests.core.world import ADA, SECRET, World, populate


@dataclass
class E2bServer:
    """A whole server under the real listener, with one user's token."""

    url: str
    token: str
    other_token: str
    """Somebody else's."""
    core: Core
    driver: SandboxDriver
    api: Served

    @property
    def base(self) -> str:
        return f"{self.url}/e2b"

    async def limited(self, *scopes: Permission) -> str:
        """Another token of the user's, with these rights only."""
        return (await self.api.token(ADA, scopes=scopes)).text


@pytest.fixture
async def e2b(file_url: str, tmp_path: Path) -> AsyncGenerator[E2bServer]:
    db = Database(file_url)
    driver = SandboxDriver()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(
        driver="fake",
        e2b_aliases=("base=plain",),
        http_address=f"127.0.0.1:{port}",
        workspaces_max_per_user=500,
        data_dir=tmp_path / "data",
        recording="require",
    )
    settings.server_dir.mkdir(parents=True)
    core = Core.build(settings=settings, driver=driver, secret=SECRET, db=db, clock=system_clock)
    await populate(db)
    async with db.transaction() as tx:
        await add_template(tx)
    api = Served(World(core, MovedClock(), driver), create_app(core))
    tokens = [(await api.token(actor)).text for actor in (ADA, BOB)]
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.run, core)
            async with listening(api.app) as url:
                yield E2bServer(url, tokens[0], tokens[1], core, driver, api)
            tasks.cancel_scope.cancel()
    finally:
        driver.close()
        await core.agents.aclose()
        await db.aclose()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """For a client: nothing of this machine's user in it."""
    path = tmp_path / "home"
    path.mkdir()
    return path
