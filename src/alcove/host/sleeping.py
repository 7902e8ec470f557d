"""Pausing without a process: where processes and memory can be kept on disk.

A paused workspace of such a tier holds no memory of the host and outlives its restart. The record
says ASLEEP only after all of it is on disk; until then, whatever ends this process, the workspace
goes on. One rule: while it sleeps its files stay as they are.
"""

from alcove.host import memory
from alcove.host.parts import Parts
from alcove.host.state import Record, Stage
from alcove.model.errors import AlcoveError, DriverError
from alcove.model.workspace import WorkspaceId


def fall_asleep(parts: Parts, workspace: WorkspaceId, record: Record) -> None:
    """The caller has the workspace's turn. Raises DriverError; it runs on then."""
    ground, step = parts.ground, parts.crash.step
    runtime, directory = ground.runtime(record.isolation), ground.directory(workspace)
    ground.sockets.hide(workspace)
    stands = False
    try:
        half = memory.begin(directory)
        with step("sleep", "checkpoint"):
            runtime.checkpoint(workspace, half, timeout_s=memory.CHECKPOINT_TIMEOUT_S)
            stands = True
        with step("sleep", "sum"):
            memory.finish(directory)
        with step("sleep", "keep"):
            parts.records.change(workspace, stage=Stage.ASLEEP, process=None)
    except (AlcoveError, OSError) as error:
        memory.drop(directory)
        if stands:
            runtime.resume(workspace)
        ground.sockets.show(workspace)
        if isinstance(error, OSError):
            raise DriverError(f"cannot pause {workspace}: {error}", retry=True) from error
        raise
    with step("sleep", "kill"):
        if record.process is not None:
            ground.kill(workspace, record.process)
    with step("sleep", "clear"):
        tuck_in(parts, workspace)


def tuck_in(parts: Parts, workspace: WorkspaceId) -> None:
    """Remove what a sleeping workspace has no use for: what runs, its network, its mounts."""
    parts.network.detach(workspace)
    left = parts.ground.clear(workspace, None)
    parts.ground.sockets.mark_paused(workspace)
    if left:
        raise DriverError(f"{workspace} is paused, but left {', '.join(left)}", retry=True)


def settle_sleep(parts: Parts, workspace: WorkspaceId, record: Record) -> bool:
    """At start: whether it sleeps; what a pause or a resume left in between is undone."""
    directory = parts.ground.directory(workspace)
    if record.stage is Stage.ASLEEP:
        tuck_in(parts, workspace)
        return True
    if memory.interrupted(directory):
        memory.drop(directory)
        if record.stage is Stage.RUNNING:
            parts.ground.runtime(record.isolation).resume(workspace)
    return False
