"""A real server with a real agent, and the protocol's own client library in front of it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from alcove.core import reconciler
from alcove.model.access import Actor
from alcove.model.workspace import Workspace
from alcove.store.db import Database
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.api.conftest import migrated, sqlite
from tests.api.served import ADA, Served, listening, served
from tests.conftest import MovedClock

__all__ = ["migrated", "sqlite"]
MODES = ("legacy", "2026-07-28")


@dataclass
class Place:
    """A server that listens, with one running sandbox of ADA's."""

    api: Served
    url: str
    token: str
    sandbox: Workspace
    driver: AgentDriver
    mode: str = "2026-07-28"

    @property
    def home(self) -> Path:
        return self.driver.home(self.sandbox.id)

    @asynccontextmanager
    async def client(
        self, token: str | None = None, *, mode: str | None = None, **more: Any
    ) -> AsyncGenerator[Client]:
        head = {"authorization": f"Bearer {token or self.token}"}
        async with httpx2.AsyncClient(headers=head, timeout=30) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode or self.mode, **more) as client:
                yield client

    async def call(self, tool: str, token: str | None = None, **arguments: Any) -> CallToolResult:
        """One call by a client of its own; on the sandbox unless told."""
        arguments.setdefault("sandbox", self.sandbox.name)
        async with self.client(token) as client:
            return await client.call_tool(tool, arguments)

    async def answer(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        """The structured answer of a call that must do well."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, text_of(result)
        found: Mapping[str, Any] = result.structured_content
        return found

    async def error(self, tool: str, token: str | None = None, **arguments: Any) -> str:
        """The words of a call that must not."""
        result = await self.call(tool, token, **arguments)
        assert result.is_error, text_of(result)
        return text_of(result)

    async def token_of(self, actor: Actor, **limits: Any) -> str:
        return (await self.api.token(actor, **limits)).text


def text_of(result: CallToolResult) -> str:
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


@pytest.fixture
async def place(sqlite: Database, clock: MovedClock, tmp_path: Path) -> AsyncGenerator[Place]:
    driver = AgentDriver()
    try:
        async with served(sqlite, clock, driver=driver) as api:
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
            # The agent runs as whoever runs the tests, whose home is to stay as it is.
            env = {"XDG_STATE_HOME": str(tmp_path / "state")}
            sandbox = await api.workspace(ADA, template="plain", name="box", env=env)
            await api.world.settle()
            secret = await api.token(ADA)
            async with listening(api.app) as url:
                yield Place(api, url, secret.text, sandbox, driver)
    finally:
        driver.close()


@pytest.fixture
async def reconciled(place: Place) -> AsyncGenerator[None]:
    """The server makes true what is asked for, as it does beside HTTP."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reconciler.run, place.api.core)
        yield
        tasks.cancel_scope.cancel()
