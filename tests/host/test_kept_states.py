"""Snapshots, forks, pauses and new limits, with the whole core over a real host: what a user
has inside is there again, and nothing is left behind."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from alcove.config import Settings
from alcove.core import execs, service, snapshots, workspaces
from alcove.core.agent import Call
from alcove.core.app import Core
from alcove.core.bus import workspace_topic
from alcove.core.pages import PageRequest
from alcove.model.snapshot import SnapshotState
from alcove.model.workspace import Observed, Phase, StartedFrom, Workspace
from alcove.store.db import Database
from alcove.store.workspaces import WorkspaceFilters
from alcove.wire.snapshots import Fork
from alcove.wire.workspaces import NewWorkspace, WorkspaceChange
from tests.core.world import ADA, SECRET, add_template, populate
from tests.host.installation import Installation

pytestmark = [pytest.mark.root]

TEMPLATE = b"""
name: kept
image: {debian: bookworm, packages: [sudo]}
network: {mode: none}
resources: {cpu: 1, memory: 512Mi, disk: 256Mi, pids: 128}
scripts:
  - {name: started, run: "echo started >> ~/starts"}
"""


@dataclass
class Whole:
    core: Core
    host: Installation

    async def create(self, **asked: Any) -> Workspace:
        body = asked if "snapshot" in asked else {"template": "kept", **asked}
        made = await workspaces.create(self.core, ADA, NewWorkspace.model_validate(body))
        return await self.ran(made)

    async def ran(self, of: Workspace) -> Workspace:
        found = await workspaces.wait(self.core, ADA, of.id, timeout_s=60)
        assert found.phase is Phase.RUNNING, found.reason
        with anyio.fail_after(20):
            with self.core.bus.subscribe(workspace_topic(of.id)) as changes:
                while (await workspaces.get(self.core, ADA, of.id)).health == "starting":
                    await changes.wait(1)
        return found

    async def says(self, of: Workspace, line: str) -> str:
        done = await execs.run(self.core, ADA, of.id, Call(execs.shell(line)))
        assert done.exit_code == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    async def nothing_is_kept(self) -> None:
        """Until the host has no snapshot any more."""
        with anyio.fail_after(30):
            while await self.host.driver.snapshots():  # noqa: ASYNC110 - another process's
                await anyio.sleep(0.1)


@pytest.fixture
async def whole(installation: Installation, file_url: str) -> AsyncGenerator[Whole]:
    async with _whole(installation, file_url) as found:
        yield found


@asynccontextmanager
async def _whole(installation: Installation, url: str) -> AsyncGenerator[Whole]:
    db = Database(url)
    core = Core.build(settings=Settings(), driver=installation.driver, secret=SECRET, db=db)
    await populate(db)
    async with db.transaction() as tx:
        await add_template(tx, TEMPLATE)
    async with anyio.create_task_group() as group:
        group.start_soon(service.run, core)
        found = Whole(core, installation)
        try:
            yield found
        finally:
            await _cleaned(found)
            group.cancel_scope.cancel()
    await core.aclose()


async def _cleaned(whole: Whole) -> None:
    """Delete all; afterwards there is nothing."""
    core = whole.core
    found = await workspaces.find(core, ADA, WorkspaceFilters(), PageRequest(500))
    for one in found.items:
        await workspaces.delete(core, ADA, one.id)
    for one in found.items:
        gone = await workspaces.wait(core, ADA, one.id, timeout_s=30)
        assert gone.phase is Phase.DELETED
    for one in (await snapshots.find(core, ADA, PageRequest(500))).items:
        await snapshots.delete(core, ADA, one.id)
    await whole.nothing_is_kept()


async def test_a_workspace_made_of_a_snapshot_has_its_files_and_its_own_name(
    whole: Whole,
) -> None:
    api = await whole.create(name="api")
    await whole.says(api, "echo kept > ~/x; sudo sh -c 'echo changed > /etc/changed'")
    pid = await whole.says(api, "sleep 4321 >/dev/null 2>&1 & echo $!")
    taken = await snapshots.take(whole.core, ADA, api.id)
    ready = await snapshots.wait(whole.core, ADA, taken.id, timeout_s=60)
    assert (ready.state, ready.memory) == (SnapshotState.READY, False), ready.detail
    assert ready.size_mib > 0
    assert await whole.says(api, f"kill -0 {pid} && echo alive") == "alive"
    copy = await whole.create(name="copy", snapshot=ready.name)
    assert copy.started is StartedFrom.SNAPSHOT
    assert await whole.says(copy, "cat ~/x /etc/changed; hostname") == "kept\nchanged\ncopy"
    assert await whole.says(copy, "cat ~/starts") == "started\nstarted"
    await whole.says(copy, "echo other > ~/x")
    assert await whole.says(api, "cat ~/x") == "kept"


async def test_forks_are_apart_and_leave_no_snapshot(whole: Whole) -> None:
    api = await whole.create(name="api")
    await whole.says(api, "echo kept > ~/x")
    forks = await snapshots.fork(whole.core, ADA, api.id, Fork(count=3, name="try"))
    ids = set[str]()
    for fork in forks:
        await whole.ran(fork)
        assert await whole.says(fork, "cat ~/x; hostname") == f"kept\n{fork.name}"
        ids.add(
            await whole.says(fork, "cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1")
        )
    assert len(ids) == 3
    await whole.nothing_is_kept()


async def test_a_command_wakes_a_paused_workspace_with_its_processes(whole: Whole) -> None:
    api = await whole.create(auto_resume=True)
    pid = await whole.says(api, "sleep 4321 >/dev/null 2>&1 & echo $!")
    await workspaces.pause(whole.core, ADA, api.id)
    paused = await workspaces.wait(whole.core, ADA, api.id, timeout_s=30)
    assert paused.phase is Phase.PAUSED
    seen = await whole.host.driver.observe(api.id, paused.handle)
    assert seen.state is Observed.PAUSED
    assert await whole.says(api, f"kill -0 {pid} && echo alive") == "alive"
    assert (await workspaces.get(whole.core, ADA, api.id)).boot == api.boot


async def test_limits_hold_at_once(whole: Whole) -> None:
    api = await whole.create()
    change = WorkspaceChange.model_validate({"resources": {"memory": "256Mi", "pids": 64}})
    changed = await workspaces.update(whole.core, ADA, api.id, change)
    assert changed.reason == ""
    used = (await whole.host.driver.usage([api.id]))[api.id]
    assert used.memory_limit_mib == 256
    line = "for i in $(seq 100); do sleep 5 & done; wait"
    done = await execs.run(whole.core, ADA, api.id, Call(execs.shell(line)))
    assert b"Resource temporarily unavailable" in done.stderr
