"""`stop`, `destroy`, the teardown, and what is left of a workspace that ended by itself.

One rule: a record is forgotten after the last thing that it tells of is gone.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from alcove.drivers.base import Removal
from alcove.host import memory
from alcove.host.parts import Parts
from alcove.host.runtime import exit_status, kernel_boot
from alcove.host.state import Record, Stage
from alcove.model.errors import AlcoveError, DriverError
from alcove.model.workspace import WorkspaceId

log: Final = logging.getLogger(__name__)
_TEARDOWN_GRACE_S: Final = 5


class Ending:
    """The verbs that end workspaces, and burials in a thread of their own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._burials = ThreadPoolExecutor(max_workers=1, thread_name_prefix="burial")

    def close(self) -> None:
        self._burials.shutdown(cancel_futures=True)

    def stop(self, workspace: WorkspaceId, *, grace_s: float) -> None:
        with self._parts.turns.of(workspace):
            record = self._parts.records.get(workspace)
            if record is None:
                return
            left = self._clear("stop", workspace, record, grace_s=grace_s)
            if left:
                raise DriverError(f"{workspace} left {', '.join(left)}", retry=True)
            with self._parts.crash.step("stop", "keep"):
                self._parts.records.change(
                    workspace, stage=Stage.STOPPED, process=None, approved=False, detail=""
                )

    def destroy(self, workspace: WorkspaceId) -> Removal:
        """Remove everything of it; what cannot be removed is named, not raised."""
        with self._parts.turns.of(workspace):
            record = self._parts.records.get(workspace)
            left = self._clear("destroy", workspace, record, grace_s=0)
            if left:
                return Removal(tuple(left))
            try:
                with self._parts.crash.step("destroy", "volume"):
                    self._parts.ground.volumes.remove(workspace)
                with self._parts.crash.step("destroy", "forget"):
                    self._parts.ground.remove_directory(workspace)
            except OSError as error:
                return Removal((str(error),))
            self._parts.records.forget(workspace)
        return Removal()

    def end_orderly(self, workspace: WorkspaceId) -> list[str]:
        """For the teardown: end it, and note that it was we who did; answers what stayed."""
        with self._parts.turns.of(workspace):
            record = self._parts.records.get(workspace)
            if record is not None and record.stage is Stage.ASLEEP:
                return []  # nothing of it is there but what it is to be woken from
            left = self._clear("stop", workspace, record, grace_s=_TEARDOWN_GRACE_S)
            if record is not None and record.stage is not Stage.ENDED:
                self._parts.records.change(
                    workspace, stage=Stage.STOPPED, process=None, approved=False, detail=""
                )
        return left

    def bury(self, workspace: WorkspaceId, record: Record) -> str:
        """Note why it ended, and have what it left removed without keeping the caller waiting."""
        if self._parts.turns.taken(workspace):
            return "ending"
        detail = self._cause(workspace, record)
        with self._parts.turns.of(workspace):
            if self._parts.records.get(workspace) is not record:
                return detail
            self._parts.records.change(
                workspace, stage=Stage.ENDED, process=None, approved=False, detail=detail
            )
        self._burials.submit(self._remove_remains, workspace)
        return detail

    def _clear(
        self, verb: str, workspace: WorkspaceId, record: Record | None, *, grace_s: float
    ) -> list[str]:
        ground, step = self._parts.ground, self._parts.crash.step
        process = record.process if record else None
        # Whatever sleeps there is not woken any more.
        memory.drop(ground.directory(workspace))
        try:
            with step(verb, "terminate"):
                if record is not None and record.stage is Stage.PAUSED:
                    ground.cgroups.thaw(workspace)
                if process is not None:
                    ground.terminate(process, grace_s=grace_s)
            with step(verb, "kill"):
                left = ground.kill(workspace, process)
            with step(verb, "network"):
                self._parts.network.detach(workspace)
            with step(verb, "runtime"):
                ground.forget_containers(workspace)
                left += ground.remove_cgroup(workspace)
            with step(verb, "unmount"):
                left += ground.unmount(workspace)
            with step(verb, "listener"):
                ground.sockets.remove(workspace)
        except (AlcoveError, OSError) as error:
            return [str(error)]
        return left

    def _remove_remains(self, workspace: WorkspaceId) -> None:
        with self._parts.turns.of(workspace):
            record = self._parts.records.get(workspace)
            if record is None or record.stage is not Stage.ENDED:
                return
            try:
                self._parts.network.detach(workspace)
                self._parts.ground.clear(workspace, None)
            except (AlcoveError, OSError):
                log.exception("could not remove what %s left when it ended", workspace)

    def _cause(self, workspace: WorkspaceId, record: Record) -> str:
        if record.process and record.process.kernel != kernel_boot():
            return "the host was restarted"
        status = exit_status(record.process) if record.process else None
        if status == 0:
            return "shut down from inside"
        if self._parts.ground.cgroups.use(workspace).oom_kills:
            return "out of memory"
        if status is None:
            return "the agent ended"
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return f"the agent was killed by signal {-code}"
        words = self._parts.ground.last_words(workspace)
        return f"the agent failed with exit code {code}" + (f": {words}" if words else "")
