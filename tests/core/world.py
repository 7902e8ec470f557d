"""A small world for stories: a store, a fake driver, two people, a template, a moved clock."""

import itertools
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alcove.config import DATA_DIR, Settings
from alcove.core import reconciler
from alcove.core import workspaces as verbs
from alcove.core.app import Core
from alcove.drivers.fake import FakeDriver
from alcove.model.access import Actor, Role
from alcove.model.event import Event
from alcove.model.identity import User
from alcove.model.template import TemplateVersion
from alcove.model.workspace import UserId, Workspace, WorkspaceId
from alcove.recipes.native import read
from alcove.store import events, templates, users, workspaces
from alcove.store.db import Database
from alcove.wire.workspaces import NewWorkspace
from tests.conftest import T0, MovedClock

ADA = Actor(id=UserId("u-ada"), name="ada", role=Role.MEMBER)
BOB = Actor(id=UserId("u-bob"), name="bob", role=Role.MEMBER)
ROOT = Actor(id=UserId("u-root"), name="root", role=Role.OWNER)
SECRET = b"0" * 32

PYTHON = b"""
name: python
description: Python for people
image: {debian: bookworm, packages: [git]}
ceilings: {cpu: 8, ttl: 30d}
parameters:
  - {name: cpu, type: number, default: 2, min: 1, max: 8, mutable: true, description: cores}
  - name: flavor
    type: choice
    default: plain
    options: [plain, rich]
    mutable: false
    description: taste
"""
AGENT = b"""
name: agent
description: A sandbox
kind: agent
image: {debian: bookworm, packages: [git]}
"""


@dataclass
class World:
    core: Core
    clock: MovedClock
    driver: FakeDriver = field(default_factory=FakeDriver)

    async def run(self, times: int = 1, **between: float) -> None:
        """Reconcile, moving the clock after each time (by 6 minutes unless told)."""
        for _ in range(times):
            await reconciler.run_once(self.core)
            self.clock.now += timedelta(**(between or {"minutes": 6}))

    async def settle(self) -> None:
        """Reconcile what is due now until nothing is."""
        while await reconciler.run_once(self.core):
            pass

    async def revise(self, made: Workspace, **spec: Any) -> Workspace:
        """Change the spec as no template could."""
        async with self.core.db.transaction() as tx:
            revision = workspaces.Revision(
                name=made.name,
                labels=made.labels,
                template_version=made.template_version,
                spec=replace(made.spec, **spec),
                parameters=made.parameters,
                repo=None,
                branch=None,
                lifetime=made.lifetime,
                expires_at=made.expires_at,
                reason=made.reason,
                request="{}",
            )
            row = await workspaces.revise(
                tx, made.id, revision, generation=made.generation, now=self.clock()
            )
        assert row is not None
        return row

    async def create(self, actor: Actor = ADA, **asked: Any) -> Workspace:
        body = {"template": "python", **asked}
        return await verbs.create(
            self.core, actor, NewWorkspace.model_validate_json(json.dumps(body))
        )

    async def row(self, id: WorkspaceId) -> Workspace:
        async with self.core.db.read() as tx:
            found = await workspaces.get(tx, id)
        assert found is not None
        return found

    async def events(self, subject: str | None = None) -> list[Event]:
        async with self.core.db.read() as tx:
            filters = events.EventFilters(subject=subject)
            return list(await events.read(tx, after=0, filters=filters, limit=10_000))

    async def phases(self, id: WorkspaceId) -> list[str]:
        """The chain of phases that the events tell of; it must have no holes."""
        changes = [e.detail for e in await self.events(id) if e.kind == "workspace.phase_changed"]
        for before, after in itertools.pairwise(changes):
            assert before["to"] == after["from"]
        return [str(change["to"]) for change in changes]


@asynccontextmanager
async def open_world(
    db: Database,
    clock: MovedClock,
    *,
    settings: Settings | None = None,
    driver: FakeDriver | None = None,
) -> AsyncGenerator[World]:
    """The people and templates are added; the database is empty before."""
    driver = driver or FakeDriver()
    with apart(settings or Settings()) as kept:
        core = Core.build(settings=kept, driver=driver, secret=SECRET, db=db, clock=clock)
        await populate(db)
        yield World(core, clock, driver)
        await core.agents.aclose()


@contextmanager
def apart(settings: Settings) -> Generator[Settings]:
    """With a data directory that is nobody else's, unless it has one: no test may touch what a
    server on this machine keeps."""
    with TemporaryDirectory(prefix="alcove-world-") as name:
        if settings.data_dir == DATA_DIR:
            settings = replace(settings, data_dir=Path(name))
            settings.server_dir.mkdir()
        yield settings


async def populate(db: Database) -> None:
    async with db.transaction() as tx:
        for actor in (ADA, BOB, ROOT):
            user = User(
                id=actor.id,
                name=actor.name,
                display_name=actor.name.title(),
                email=f"{actor.name}@example.com",
                role=actor.role,
                service=False,
                disabled=False,
                created_at=T0,
            )
            await users.add(tx, user, password_hash=None)
        for text in (PYTHON, AGENT):
            await add_template(tx, text)


async def add_template(tx: Any, text: bytes) -> TemplateVersion:
    reading = read({"template.yaml": text}, "unnamed")
    assert reading.recipe is not None, [str(problem) for problem in reading.problems]
    recipe = reading.recipe
    known = await templates.get(tx, recipe.name)
    if known is None:
        await templates.add(tx, recipe.name, now=T0)
    version = TemplateVersion(
        template=recipe.name,
        number=1 if known is None else known.latest + 1,
        recipe=recipe,
        digest="sha256:0",
        message="",
        created_at=T0,
        created_by=ROOT.id,
    )
    await templates.add_version(tx, version, {"template.yaml": text})
    await templates.promote(tx, recipe.name, version.number, now=T0)
    return version
