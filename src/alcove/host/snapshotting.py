"""`take_snapshot` and `drop_snapshot`: the state of a workspace as files on the shelf.

While the files are copied the workspace stands still; it is let go whatever becomes of the copy,
and where this process ends in between, by its next start (`pausing.settle`).
"""

import errno
import logging
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from alcove.drivers.base import Taken
from alcove.host import memory
from alcove.host.copying import copy
from alcove.host.parts import Parts
from alcove.host.pausing import FREEZE_TIMEOUT_S
from alcove.host.shelf import MEMORY, VOLUME, Kept, Origin
from alcove.host.state import Record, Stage, alive
from alcove.host.turns import Turns
from alcove.model.errors import AlcoveError, DriverError, Unsupported
from alcove.model.workspace import SnapshotId, Spec, WorkspaceId

log: Final = logging.getLogger(__name__)
_VERB: Final = "take_snapshot"
_KEEPABLE: Final = (
    Stage.RUNNING, Stage.PAUSED, Stage.ASLEEP, Stage.STOPPED, Stage.ENDED
)  # fmt: skip


def suits(kept: Kept, spec: Spec) -> None:
    """Raises Unsupported, naming the field, where `spec` cannot go on from the snapshot. Pure."""
    origin = kept.origin
    differs = {
        "image": origin.image != spec.image.key,
        "isolation": origin.isolation is not spec.isolation,
        "root": origin.root != spec.root,
        "user": origin.user != spec.user,
        "disk_mib": origin.disk_mib > spec.resources.disk_mib,
    }
    for name, other in differs.items():
        if other:
            has: object = getattr(origin, name)
            raise Unsupported(
                f"{name}: cannot begin from snapshot {kept.snapshot}, which was taken with {has}"
            )


class Snapshotting:
    """The verbs on the shelf; one at a time for each snapshot."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns: Turns[SnapshotId] = Turns()

    def take(self, workspace: WorkspaceId, snapshot: SnapshotId) -> Taken:
        """Raises DriverError, nothing being left of it then, and the workspace going on."""
        shelf = self._parts.shelf
        with self._turns.of(snapshot), self._parts.turns.of(workspace):
            if shelf.has(snapshot):
                return shelf.get(snapshot).taken
            record = self._parts.records.get(workspace)
            origin = self._origin(workspace, record)
            assert record is not None
            try:
                kept = self._keep(workspace, record, snapshot, origin)
            except BaseException as error:
                shelf.remove(snapshot)
                if isinstance(error, OSError):
                    raise _failed(workspace, error) from error
                raise
        return kept.taken

    def drop(self, snapshot: SnapshotId) -> None:
        with self._turns.of(snapshot):
            with self._parts.crash.step("drop_snapshot", "hide"):
                self._parts.shelf.hide(snapshot)
            with self._parts.crash.step("drop_snapshot", "remove"):
                self._parts.shelf.remove(snapshot)

    def _origin(self, workspace: WorkspaceId, record: Record | None) -> Origin:
        if record is None or not self._parts.ground.volumes.exists(workspace):
            raise DriverError(f"there is nothing of {workspace} to keep", retry=False)
        if record.stage not in _KEEPABLE:
            raise DriverError(f"{workspace} is only being made; wait until it runs", retry=True)
        if record.resources is None or record.restoring is not None:
            raise DriverError(f"{workspace} has to be started anew before it is kept", retry=False)
        return Origin(
            record.image, record.isolation, record.root, record.user, record.resources.disk_mib
        )

    def _keep(
        self, workspace: WorkspaceId, record: Record, snapshot: SnapshotId, origin: Origin
    ) -> Kept:
        shelf, step = self._parts.shelf, self._parts.crash.step
        volume = self._parts.ground.volumes.path(workspace)
        with step(_VERB, "begin"):
            half = shelf.begin(snapshot, workspace)
            _need_room(workspace, volume, half)
        with self._still(workspace, record, half) as has_memory, step(_VERB, "copy"):
            copy(volume, half / VOLUME)
        with step(_VERB, "sum"):
            kept = shelf.describe(snapshot, half, origin, memory=has_memory)
        with step(_VERB, "keep"):
            shelf.finish(kept, half)
        return kept

    @contextmanager
    def _still(self, workspace: WorkspaceId, record: Record, half: Path) -> Generator[bool]:
        """The workspace stands still and all its files are in the volume's. Yields whether its
        processes and memory were kept as well."""
        ground, step = self._parts.ground, self._parts.crash.step
        runs = alive(record) is not None
        with ExitStack() as stack:
            with step(_VERB, "freeze"):
                has_memory = runs and self._stop_processes(stack, workspace, record, half)
                if record.stage is Stage.ASLEEP:
                    (half / MEMORY).mkdir(mode=0o700)
                    memory.copy_to(ground.directory(workspace), half / MEMORY)
                    has_memory = True
                stack.callback(ground.thaw_volume, workspace)
                ground.freeze_volume(workspace)
            yield has_memory
            with step(_VERB, "thaw"):
                stack.close()

    def _stop_processes(
        self, stack: ExitStack, workspace: WorkspaceId, record: Record, half: Path
    ) -> bool:
        """Have the processes stand still until `stack` is closed."""
        ground = self._parts.ground
        runtime = ground.runtime(record.isolation)
        paused = record.stage is Stage.PAUSED
        if runtime.checkpoints:
            if paused:
                # Who stands still cannot tell what it holds; it does so again afterwards.
                stack.callback(ground.cgroups.freeze, workspace, timeout_s=FREEZE_TIMEOUT_S)
                ground.cgroups.thaw(workspace)
            (half / MEMORY).mkdir(mode=0o700)
            runtime.checkpoint(workspace, half / MEMORY, timeout_s=memory.CHECKPOINT_TIMEOUT_S)
            stack.callback(runtime.resume, workspace)
            return True
        if not paused:
            stack.callback(ground.cgroups.thaw, workspace)
            ground.cgroups.freeze(workspace, timeout_s=FREEZE_TIMEOUT_S)
        return False


def _need_room(workspace: WorkspaceId, volume: Path, half: Path) -> None:
    """Early, so that nobody stands still for nothing; the copy itself may still run out."""
    needed = volume.stat().st_blocks * 512
    free = shutil.disk_usage(half).free
    if needed > free:
        raise DriverError(
            f"cannot keep {workspace}: its snapshot takes up to {needed >> 20} MiB and the host's"
            f" disk has {free >> 20}; delete snapshots or workspaces",
            retry=True,
        )


def _failed(workspace: WorkspaceId, error: OSError) -> AlcoveError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DriverError(
            f"cannot keep {workspace}: the host's disk is full; delete snapshots or workspaces",
            retry=True,
        )
    return DriverError(f"cannot keep {workspace}: {error}", retry=True)
