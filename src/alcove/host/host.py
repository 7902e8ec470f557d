"""The verbs of the privileged process, for one workspace at a time.

Every verb may be repeated after it was cut off anywhere. The way there is always the same: what is
half-made is found by its name and removed, and then made anew; only the volume is kept. One rule:
the record is written before the first effect and forgotten after the last.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alcove.drivers.base import Capabilities, ImageStatus, Leftover, Removal, Taken, Usage
from alcove.host import memory
from alcove.host.adopting import adopt
from alcove.host.capabilities import capabilities
from alcove.host.crashpoints import CrashPoints
from alcove.host.ending import Ending
from alcove.host.ground import Ground
from alcove.host.leftovers import leftovers
from alcove.host.parts import Parts
from alcove.host.pausing import pause, resume, settle
from alcove.host.ports import Images, Network
from alcove.host.protocol import Look, Started
from alcove.host.settings import HostSettings
from alcove.host.shelf import MEMORY, Shelf
from alcove.host.snapshotting import Snapshotting
from alcove.host.starting import Starting
from alcove.host.state import Record, Records, Stage, alive
from alcove.model.image import Image
from alcove.model.workspace import (
    Handle,
    NetworkMode,
    Observation,
    Observed,
    SnapshotId,
    Spec,
    WorkspaceId,
)

log: Final = logging.getLogger(__name__)
HANDLE_VERSION: Final = 1


class Host:
    """All workspaces of this machine. Called from many threads."""

    def __init__(
        self, settings: HostSettings, *, images: Images, network: Network, ground: Ground
    ) -> None:
        self._parts = Parts(
            settings,
            images,
            network,
            ground,
            Records(ground.workspaces),
            Shelf(settings.host_dir / "snapshots"),
            CrashPoints(settings.crash_file),
        )
        self._starting = Starting(self._parts)
        self._ending = Ending(self._parts)
        self._snapshotting = Snapshotting(self._parts)

    def tidy(self) -> None:
        """At start: finish or undo what was cut off, and remove what nobody can need any more."""
        settle(self._parts)
        self._parts.shelf.tidy()
        records = [self._parts.records.get(w) for w in self._parts.records.ids()]
        if not any(r is not None and r.process is not None for r in records):
            directory, shelf = self._parts.ground.directory, self._parts.shelf
            images = [memory.image(directory(w)) for w in self._parts.records.ids()]
            images += [shelf.path(kept.snapshot) / MEMORY for kept in shelf.all()]
            self._parts.ground.remove_former_agents(images)

    def open_network(self) -> None:
        """Set up mode `open`. Where that fails the host serves mode `none` alone, says why, and
        tries again when a workspace asks for it."""
        self._parts.open_network()
        if problem := self._parts.openness.problem:
            log.warning("mode open is not available: %s", problem)

    def close(self) -> None:
        self._ending.close()

    def capabilities(self) -> Capabilities:
        return capabilities(self._parts.ground, network_problem=self._parts.openness.problem)

    def observe(self, workspace: WorkspaceId) -> Look:
        """What is there, from the record and the process table alone."""
        record = self._parts.records.get(workspace)
        if record is None:
            half = self._parts.records.directory(workspace).exists()
            state = Observed.EXITED if half else Observed.ABSENT
            return Look(_seen(workspace if half else None, state), approved=False)
        match record.stage:
            case Stage.RUNNING | Stage.PAUSED if record.process is not None:
                if alive(record):
                    still = record.stage is Stage.PAUSED
                    state = Observed.PAUSED if still else Observed.READY
                    seen = _seen(workspace, state, boot=record.boot)
                    return Look(seen, approved=record.approved)
                detail = self._ending.bury(workspace, record)
                return Look(_seen(workspace, Observed.EXITED, detail=detail), approved=False)
            case Stage.ASLEEP:
                seen = _seen(workspace, Observed.PAUSED, boot=record.boot)
                return Look(seen, approved=record.approved)
            case Stage.WAITING:
                return Look(self._waiting(workspace, record), approved=False)
            case Stage.MAKING if self._parts.turns.taken(workspace):
                detail = "making the workspace"
                return Look(_seen(workspace, Observed.CREATING, detail=detail), approved=False)
            case Stage.STOPPED:
                seen = _seen(workspace, Observed.EXITED, detail="stopped", orderly=True)
                return Look(seen, approved=False)
            case Stage.ENDED:
                seen = _seen(workspace, Observed.EXITED, detail=record.detail)
                return Look(seen, approved=False)
            case _:
                detail = "its start was cut off"
                return Look(_seen(workspace, Observed.EXITED, detail=detail), approved=False)

    def up(self, verb: str, workspace: WorkspaceId, spec: Spec, control_sha256: str) -> Started:
        return self._starting.up(verb, workspace, spec, control_sha256)

    def approve(self, workspace: WorkspaceId, boot: str) -> None:
        self._starting.approve(workspace, boot)

    def stop(self, workspace: WorkspaceId, *, grace_s: float) -> None:
        self._ending.stop(workspace, grace_s=grace_s)

    def destroy(self, workspace: WorkspaceId) -> Removal:
        return self._ending.destroy(workspace)

    def adopt(self, workspace: WorkspaceId, spec: Spec) -> None:
        adopt(self._parts, workspace, spec)

    def pause(self, workspace: WorkspaceId) -> None:
        pause(self._parts, workspace)

    def resume(self, workspace: WorkspaceId) -> None:
        if not self._starting.wake(workspace):
            resume(self._parts, workspace)

    def take_snapshot(self, workspace: WorkspaceId, snapshot: SnapshotId) -> Taken:
        return self._snapshotting.take(workspace, snapshot)

    def snapshots(self) -> tuple[Taken, ...]:
        return tuple(kept.taken for kept in self._parts.shelf.all())

    def drop_snapshot(self, snapshot: SnapshotId) -> None:
        self._snapshotting.drop(snapshot)

    def usage(self, workspaces: Sequence[WorkspaceId]) -> dict[WorkspaceId, Usage]:
        found: dict[WorkspaceId, Usage] = {}
        for workspace in workspaces:
            record = self._parts.records.get(workspace)
            if record is None or record.stage not in (Stage.RUNNING, Stage.PAUSED):
                continue
            sent = self._network_bytes(workspace, record)
            if (used := self._parts.ground.usage(workspace, network_bytes=sent)) is not None:
                found[workspace] = used
        return found

    def inventory(self) -> tuple[Leftover, ...]:
        recorded, networked = self._parts.records.ids(), self._parts.network.inventory()
        return leftovers(self._parts.ground, recorded, networked)

    def pin(self, reference: str) -> tuple[str, str]:
        return self._parts.images.pin(reference)

    def prepare_image(self, image: Image) -> ImageStatus:
        return self._parts.images.prepare(image)

    def images(self) -> tuple[ImageStatus, ...]:
        return tuple(self._parts.images.statuses())

    def collect_images(self, keep: Sequence[str]) -> tuple[str, ...]:
        records = [self._parts.records.get(w) for w in self._parts.records.ids()]
        in_use = [record.image for record in records if record is not None]
        in_use += [kept.origin.image for kept in self._parts.shelf.all()]
        return tuple(self._parts.images.collect(keep, in_use))

    def image_log(self, key: str) -> str:
        return self._parts.images.log(key)

    def teardown(self) -> list[str]:
        """Stop everything and remove all but volumes and images; answers what stayed."""
        left: list[str] = []
        for leftover in self.inventory():
            left += self._ending.end_orderly(leftover.workspace)
        self._parts.network.teardown()
        self._parts.ground.cgroups.remove_parents()
        return left

    def _network_bytes(self, workspace: WorkspaceId, record: Record) -> int:
        if record.network != NetworkMode.OPEN:
            return 0
        counted = Path("/sys/class/net") / self._parts.settings.interface(workspace)
        try:
            return sum(
                int((counted / "statistics" / name).read_text())
                for name in ("rx_bytes", "tx_bytes")
            )
        except OSError:
            return 0

    def _waiting(self, workspace: WorkspaceId, record: Record) -> Observation:
        status = next((s for s in self._parts.images.statuses() if s.key == record.image), None)
        if status is None:
            why = "the making of its image was cut off"
        elif status.state == "ready":
            why = "its image is ready"
        elif status.state == "failed":
            why = f"its image could not be made: {status.detail}"[:500]
        else:
            under_way = f"image: {status.detail or status.state}"
            return _seen(workspace, Observed.CREATING, detail=under_way)
        return _seen(workspace, Observed.EXITED, detail=why)


def _seen(
    workspace: WorkspaceId | None,
    state: Observed,
    *,
    boot: str | None = None,
    detail: str = "",
    orderly: bool = False,
) -> Observation:
    handle = None if workspace is None else Handle("local", HANDLE_VERSION, workspace)
    return Observation(state, handle, boot, detail, orderly)
