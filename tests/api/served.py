"""The API over a small world: clients for any user, with any kind of token."""

import shutil
import socket
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
from starlette.types import ASGIApp

from alcove.api.app import create_app
from alcove.config import Settings
from alcove.core.app import Core
from alcove.core.proofs import Secret, SecretKind, new_secret
from alcove.drivers.fake import FakeDriver
from alcove.http.addresses import link_url
from alcove.http.listener import HttpServer, http_server
from alcove.mcp import endpoint as mcp
from alcove.model.access import Actor, Permission, Role
from alcove.model.identity import Token, User
from alcove.model.workspace import UserId, Workspace, WorkspaceId
from alcove.store import tokens, users
from alcove.store.db import Database
from alcove.web.routes import PAGES
from tests.conftest import T0, MovedClock
from tests.core.world import ADA, BOB, ROOT, SECRET, World, apart, populate

MAX = Actor(id=UserId("u-max"), name="max", role=Role.ADMIN)
EVE = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)
BOT = Actor(id=UserId("u-bot"), name="bot", role=Role.MEMBER, service=True)
BASE = "http://127.0.0.1:7080"


@dataclass
class Served:
    """A world with its API. `client` is for anybody; it costs a token."""

    world: World
    app: ASGIApp
    clients: list[httpx.AsyncClient] = field(default_factory=list[httpx.AsyncClient])

    @property
    def core(self) -> Core:
        return self.world.core

    async def client(self, actor: Actor = ADA, **limits: Any) -> httpx.AsyncClient:
        """Someone with a token; `scopes`, `workspace` and `expires_at` limit it."""
        secret = await self.token(actor, **limits)
        return self.bare(authorization=f"Bearer {secret.text}")

    def bare(self, address: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
        """Someone without a credential, unless it is among the headers."""
        transport = httpx.ASGITransport(self.app, client=(address, 4321))
        client = httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)
        self.clients.append(client)
        return client

    async def token(
        self,
        actor: Actor = ADA,
        *,
        scopes: Collection[Permission] | None = None,
        workspace: WorkspaceId | None = None,
        expires_at: datetime | None = None,
    ) -> Secret:
        secret = new_secret(SecretKind.TOKEN)
        token = Token(
            id=secret.id,
            user=actor.id,
            name="test",
            scopes=None if scopes is None else frozenset(scopes),
            workspace=workspace,
            created_at=T0,
            expires_at=expires_at,
            last_used_at=None,
        )
        async with self.core.db.transaction() as tx:
            await tokens.add(tx, token, secret_sha256=secret.sha256)
        return secret

    async def workspace(self, owner: Actor, **asked: Any) -> Workspace:
        """One of this owner's, whatever the owner's role may do by itself."""
        return await self.world.create(ROOT, owner=owner.name, **asked)


@asynccontextmanager
async def served(
    db: Database,
    clock: MovedClock,
    *,
    driver: FakeDriver | None = None,
    settings: Settings | None = None,
) -> AsyncGenerator[Served]:
    """A world with six people, behind the whole app as the server runs it."""
    made = driver or FakeDriver()
    with apart(settings or Settings(driver="fake")) as kept:
        core = Core.build(settings=kept, driver=made, secret=SECRET, db=db, clock=clock)
        await populate(db)
        async with db.transaction() as tx:
            for actor in (MAX, EVE, BOT):
                await users.add(tx, user_of(actor), password_hash=None)
        pages = (*PAGES, mcp.routes(link_url=link_url))
        found = Served(World(core, clock, made), create_app(core, pages=pages))
        try:
            yield found
        finally:
            for client in found.clients:
                await client.aclose()
            await core.agents.aclose()


@asynccontextmanager
async def listening(app: ASGIApp, *, port: int = 0) -> AsyncGenerator[str]:
    """The app under the real listener on loopback; answers its URL. A `port` of 0 is any."""
    server: HttpServer = http_server(app)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        async with _serving(server, listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def _serving(server: HttpServer, listener: socket.socket) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await anyio.sleep(0.005)
        try:
            yield
        finally:
            server.should_exit = True
            server.force_exit = True


def user_of(actor: Actor) -> User:
    return User(
        id=actor.id,
        name=actor.name,
        display_name=actor.name.title(),
        email=f"{actor.name}@example.com",
        role=actor.role,
        service=actor.service,
        disabled=False,
        created_at=T0,
    )


def copied(source: Path, target: Path) -> str:
    """A migrated database's file is quicker copied than made."""
    shutil.copy(source, target)
    return f"sqlite:///{target}"


__all__ = ["ADA", "BOB", "BOT", "EVE", "MAX", "ROOT", "Served", "listening", "served"]
