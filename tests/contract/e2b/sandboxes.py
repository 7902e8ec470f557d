"""A driver whose sandboxes are real agents as ordinary processes, which can be paused, snapshotted
and begun from a snapshot; the clients of E2B are tried against it without a runtime."""

import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from alcove.drivers.base import Removal, Taken
from alcove.model.workspace import Handle, SnapshotId, Spec, WorkspaceId
from alcove.store import templates
from alcove.store.db import Tx
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.conftest import T0


@dataclass
class SandboxDriver(AgentDriver):
    """A snapshot is a copy of the home. Paused means stopped by a signal: nothing moves."""

    async def create(self, workspace: WorkspaceId, spec: Spec, *, control_key: str) -> Handle:
        fresh = workspace not in self.processes
        handle = await super().create(workspace, spec, control_key=control_key)
        if fresh and spec.snapshot is not None:
            shutil.copytree(
                self._kept_home(spec.snapshot), self.home(workspace), dirs_exist_ok=True
            )
        return handle

    async def pause(self, workspace: WorkspaceId, handle: Handle) -> None:
        await super().pause(workspace, handle)
        self.processes[workspace].send_signal(signal.SIGSTOP)

    async def resume(self, workspace: WorkspaceId, handle: Handle) -> None:
        self.processes[workspace].send_signal(signal.SIGCONT)
        await super().resume(workspace, handle)

    async def destroy(self, workspace: WorkspaceId, handle: Handle | None) -> Removal:
        removal = await super().destroy(workspace, handle)
        if (process := self.processes.pop(workspace, None)) is not None:
            process.kill()
            process.wait()
        return removal

    async def take_snapshot(
        self, workspace: WorkspaceId, handle: Handle, snapshot: SnapshotId
    ) -> Taken:
        home = self._kept_home(snapshot)
        if not home.exists():
            shutil.copytree(self.home(workspace), home)
        return await super().take_snapshot(workspace, handle, snapshot)

    def _kept_home(self, snapshot: SnapshotId) -> Path:
        return self.directory / "snapshots" / snapshot


async def add_template(tx: Tx) -> None:
    """The plain template under E2B's name for it, with a home that brings no start-up files of
    this machine into the shells."""
    await add_plain_template(tx)
    plain = await templates.version(tx, "plain", 1)
    assert plain is not None
    recipe = replace(plain.recipe, env={**plain.recipe.env, "HOME": "/var/empty"})
    await templates.add_version(tx, replace(plain, number=2, recipe=recipe), {})
    await templates.promote(tx, "plain", 2, now=T0)
