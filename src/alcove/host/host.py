"""The verbs of the privileged process, for one workspace at a time.

Every verb may be repeated after it was cut off anywhere. The way there is always the same: what is
half-made is found by its name and removed, and then made anew; only the volume is kept. One rule:
the record is written before the first effect and forgotten after the last.
"""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from alcove.drivers.base import Capabilities, ImageStatus, Leftover, Removal, Usage
from alcove.host.capabilities import capabilities
from alcove.host.crashpoints import CrashPoints
from alcove.host.ground import Ground
from alcove.host.inspection import outside_differences
from alcove.host.leftovers import leftovers
from alcove.host.ports import Images, Network
from alcove.host.protocol import Look, Started
from alcove.host.runtime import exit_status, find, kernel_boot, lives
from alcove.host.settings import HostSettings
from alcove.host.specs import check
from alcove.host.state import Record, Records, Stage
from alcove.host.turns import Turns
from alcove.model.errors import AlcoveError, DriverError
from alcove.model.image import Image
from alcove.model.workspace import (
    Handle,
    NetworkMode,
    Observation,
    Observed,
    RootMode,
    Spec,
    WorkspaceId,
)

log: Final = logging.getLogger(__name__)
HANDLE_VERSION: Final = 1
_AT_ONCE_MAX: Final = 8
"""Starts at the same time; the rest waits."""


class Host:
    """All workspaces of this machine. Called from many threads."""

    def __init__(
        self, settings: HostSettings, *, images: Images, network: Network, ground: Ground
    ) -> None:
        self._settings = settings
        self._images = images
        self._network = network
        self._ground = ground
        self._records = Records(ground.workspaces)
        self._crash = CrashPoints(settings.crash_file)
        self._turns = Turns()
        self._network_problem = ""
        self._at_once = threading.BoundedSemaphore(_AT_ONCE_MAX)
        self._burials = ThreadPoolExecutor(max_workers=1, thread_name_prefix="burial")

    def tidy(self) -> None:
        """At start: remove what no workspace can need any more."""
        records = [self._records.get(w) for w in self._records.ids()]
        if not any(r is not None and r.process is not None for r in records):
            self._ground.remove_former_agents()

    def open_network(self) -> None:
        """Set up mode `open`. Where that fails the host serves mode `none` alone, says why, and
        tries again when a workspace asks for it."""
        try:
            self._network.setup()
        except DriverError as error:
            log.warning("mode open is not available: %s", error)
            self._network_problem = str(error)
        else:
            self._network_problem = ""

    def close(self) -> None:
        self._burials.shutdown(cancel_futures=True)

    def capabilities(self) -> Capabilities:
        return capabilities(self._ground, network_problem=self._network_problem)

    def observe(self, workspace: WorkspaceId) -> Look:
        """What is there, from the record and the process table alone."""
        record = self._records.get(workspace)
        if record is None:
            half = self._records.directory(workspace).exists()
            state = Observed.EXITED if half else Observed.ABSENT
            return Look(_seen(workspace if half else None, state), approved=False)
        match record.stage:
            case Stage.RUNNING if record.process is not None:
                if lives(record.process):
                    seen = _seen(workspace, Observed.READY, boot=record.boot)
                    return Look(seen, approved=record.approved)
                detail = self._bury(workspace, record)
                return Look(_seen(workspace, Observed.EXITED, detail=detail), approved=False)
            case Stage.WAITING:
                return Look(self._waiting(workspace, record), approved=False)
            case Stage.MAKING if self._turns.taken(workspace):
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
        """`create` and `start`: make the workspace run as `spec` says, on the volume it has."""
        check(spec)
        with self._turns.of(workspace), self._at_once:
            record = self._records.get(workspace)
            if (
                record is not None
                and record.stage is Stage.RUNNING
                and record.process is not None
                and lives(record.process)
            ):
                return Started(record.boot, record.approved)
            if spec.network is NetworkMode.OPEN and self._network_problem:
                self.open_network()
                if self._network_problem:
                    raise DriverError(f"mode open: {self._network_problem}", retry=True)
            with self._crash.step(verb, "record"):
                layers = self._layers(workspace, spec)
                if layers is None:
                    return Started(None, approved=False)
                record = self._records.open(
                    workspace,
                    stage=Stage.MAKING,
                    image=spec.image.key,
                    boot=uuid.uuid4().hex,
                    process=None,
                    approved=False,
                    root=str(spec.root),
                    network=str(spec.network),
                    detail="",
                )
            try:
                return self._make(verb, workspace, spec, record, layers, control_sha256)
            except (AlcoveError, OSError) as error:
                self._give_up(workspace, error)
                raise

    def approve(self, workspace: WorkspaceId, boot: str) -> None:
        """Look at the started workspace from outside; raises DriverError on a difference."""
        with self._turns.of(workspace):
            record = self._records.get(workspace)
            if record is None or record.process is None or record.boot != boot:
                raise DriverError(f"{workspace} does not run boot {boot} any more", retry=True)
            root = RootMode(record.root)
            if found := outside_differences(
                record, root=root, ground=self._ground, workspace=workspace
            ):
                raise DriverError(
                    f"{workspace} is not confined as it must be: {'; '.join(found)}", retry=False
                )
            self._records.change(workspace, approved=True)

    def stop(self, workspace: WorkspaceId, *, grace_s: float) -> None:
        with self._turns.of(workspace):
            record = self._records.get(workspace)
            if record is None:
                return
            left = self._clear("stop", workspace, record, grace_s=grace_s)
            if left:
                raise DriverError(f"{workspace} left {', '.join(left)}", retry=True)
            with self._crash.step("stop", "keep"):
                self._records.change(
                    workspace, stage=Stage.STOPPED, process=None, approved=False, detail=""
                )

    def destroy(self, workspace: WorkspaceId) -> Removal:
        """Remove everything of it; what cannot be removed is named, not raised."""
        with self._turns.of(workspace):
            record = self._records.get(workspace)
            left = self._clear("destroy", workspace, record, grace_s=0)
            if left:
                return Removal(tuple(left))
            try:
                with self._crash.step("destroy", "volume"):
                    self._ground.volumes.remove(workspace)
                with self._crash.step("destroy", "forget"):
                    self._ground.remove_directory(workspace)
            except OSError as error:
                return Removal((str(error),))
            self._records.forget(workspace)
        return Removal()

    def usage(self, workspaces: Sequence[WorkspaceId]) -> dict[WorkspaceId, Usage]:
        found: dict[WorkspaceId, Usage] = {}
        for workspace in workspaces:
            record = self._records.get(workspace)
            if record is None or record.stage is not Stage.RUNNING:
                continue
            sent = self._network_bytes(workspace, record)
            if (used := self._ground.usage(workspace, network_bytes=sent)) is not None:
                found[workspace] = used
        return found

    def inventory(self) -> tuple[Leftover, ...]:
        return leftovers(self._ground, self._records.ids(), self._network.inventory())

    def pin(self, reference: str) -> tuple[str, str]:
        return self._images.pin(reference)

    def prepare_image(self, image: Image) -> ImageStatus:
        return self._images.prepare(image)

    def images(self) -> tuple[ImageStatus, ...]:
        return tuple(self._images.statuses())

    def collect_images(self, keep: Sequence[str]) -> tuple[str, ...]:
        in_use = [r.image for w in self._records.ids() if (r := self._records.get(w)) is not None]
        return tuple(self._images.collect(keep, in_use))

    def image_log(self, key: str) -> str:
        return self._images.log(key)

    def teardown(self) -> list[str]:
        """Stop everything and remove all but volumes and images; answers what stayed."""
        left: list[str] = []
        for leftover in self.inventory():
            workspace = leftover.workspace
            with self._turns.of(workspace):
                record = self._records.get(workspace)
                left += self._clear("stop", workspace, record, grace_s=5)
                if record is not None and record.stage is not Stage.ENDED:
                    self._records.change(
                        workspace, stage=Stage.STOPPED, process=None, approved=False, detail=""
                    )
        self._network.teardown()
        self._ground.cgroups.remove_parents()
        return left

    def _make(
        self,
        verb: str,
        workspace: WorkspaceId,
        spec: Spec,
        record: Record,
        layers: list[Path],
        control_sha256: str,
    ) -> Started:
        ground, step = self._ground, self._crash.step
        with step(verb, "clean"):
            if left := ground.clear(workspace, record.process):
                raise DriverError(f"{workspace} has left {', '.join(left)}", retry=True)
            self._network.detach(workspace)
        with step(verb, "volume"):
            ground.volumes.make(workspace, disk_mib=spec.resources.disk_mib)
        with step(verb, "mount"):
            ground.mount_volume(workspace, disk_mib=spec.resources.disk_mib)
        resolv_conf = self._network.resolv_conf() if spec.network is NetworkMode.OPEN else ""
        with step(verb, "layer"):
            account = ground.write_layer(workspace, spec, layers, resolv_conf)
        with step(verb, "root"):
            ground.assemble_root(workspace, spec, record.slot, layers, account)
        with step(verb, "listen"):
            listener = ground.listen(workspace)
        try:
            with step(verb, "container"):
                pid = self._contain(workspace, spec, record, control_sha256, listener)
        finally:
            listener.close()
        with step(verb, "network"):
            if spec.network is NetworkMode.OPEN:
                self._network.attach(workspace, pid, record.slot)  # before its first instruction
        with step(verb, "go"):
            ground.runtime(spec.isolation).start(workspace)
        with step(verb, "keep"):
            if (process := find(pid)) is None:
                raise DriverError(
                    f"the agent of {workspace} ended at once: {ground.last_words(workspace)}",
                    retry=True,
                )
            self._records.change(workspace, stage=Stage.RUNNING, process=process)
        return Started(record.boot, approved=False)

    def _contain(
        self,
        workspace: WorkspaceId,
        spec: Spec,
        record: Record,
        control_sha256: str,
        listener: socket.socket,
    ) -> int:
        ground = self._ground
        image_env = self._images.image_env(spec.image)
        bundle = ground.write_bundle(workspace, spec, record.slot, image_env, control_sha256)
        with ground.agent_log(workspace) as output:
            return ground.runtime(spec.isolation).create(
                workspace, bundle, listener=listener.fileno(), output=output
            )

    def _network_bytes(self, workspace: WorkspaceId, record: Record) -> int:
        if record.network != NetworkMode.OPEN:
            return 0
        counted = Path("/sys/class/net") / self._settings.interface(workspace)
        try:
            return sum(
                int((counted / "statistics" / name).read_text())
                for name in ("rx_bytes", "tx_bytes")
            )
        except OSError:
            return 0

    def _layers(self, workspace: WorkspaceId, spec: Spec) -> list[Path] | None:
        """The image's layers; None while it is being made ready, which is recorded."""
        status = self._images.status(spec.image)
        if status.state != "ready":
            status = self._images.prepare(spec.image)
        match status.state:
            case "ready":
                return self._images.layers(spec.image)
            case "failed":
                raise DriverError(f"the image could not be made: {status.detail}", retry=True)
            case _:
                self._records.open(
                    workspace, stage=Stage.WAITING, image=spec.image.key, process=None
                )
                return None

    def _waiting(self, workspace: WorkspaceId, record: Record) -> Observation:
        status = next((s for s in self._images.statuses() if s.key == record.image), None)
        if status is None or status.state not in ("absent", "building"):
            detail = "its image is ready" if status and status.state == "ready" else "no image"
            return _seen(workspace, Observed.EXITED, detail=detail)
        return _seen(
            workspace, Observed.CREATING, detail=f"image: {status.detail or status.state}"
        )

    def _clear(
        self, verb: str, workspace: WorkspaceId, record: Record | None, *, grace_s: float
    ) -> list[str]:
        ground, step = self._ground, self._crash.step
        process = record.process if record else None
        try:
            with step(verb, "terminate"):
                if process is not None:
                    ground.terminate(process, grace_s=grace_s)
            with step(verb, "kill"):
                left = ground.kill(workspace, process)
            with step(verb, "network"):
                self._network.detach(workspace)
            with step(verb, "runtime"):
                ground.forget_containers(workspace)
                left += ground.remove_cgroup(workspace)
            with step(verb, "unmount"):
                left += ground.unmount(workspace)
            with step(verb, "listener"):
                ground.unlisten(workspace)
        except (AlcoveError, OSError) as error:
            return [str(error)]
        return left

    def _give_up(self, workspace: WorkspaceId, error: Exception) -> None:
        """After a failed start: remove what was made; the next start begins afresh anyway."""
        try:
            self._network.detach(workspace)
            self._ground.clear(workspace, None)
            detail = f"its start failed: {error}"[:500]
            self._records.change(workspace, stage=Stage.ENDED, process=None, detail=detail)
        except (AlcoveError, OSError):
            log.exception("could not clean up after the failed start of %s", workspace)

    def _bury(self, workspace: WorkspaceId, record: Record) -> str:
        """Note why it ended, and have what it left removed without keeping the caller waiting."""
        if self._turns.taken(workspace):
            return "ending"
        detail = self._cause(workspace, record)
        with self._turns.of(workspace):
            if self._records.get(workspace) is not record:
                return detail
            self._records.change(
                workspace, stage=Stage.ENDED, process=None, approved=False, detail=detail
            )
        self._burials.submit(self._remove_remains, workspace)
        return detail

    def _remove_remains(self, workspace: WorkspaceId) -> None:
        with self._turns.of(workspace):
            record = self._records.get(workspace)
            if record is None or record.stage is not Stage.ENDED:
                return
            try:
                self._network.detach(workspace)
                self._ground.clear(workspace, None)
            except (AlcoveError, OSError):
                log.exception("could not remove what %s left when it ended", workspace)

    def _cause(self, workspace: WorkspaceId, record: Record) -> str:
        if record.process and record.process.kernel != kernel_boot():
            return "the host was restarted"
        status = exit_status(record.process) if record.process else None
        if status == 0:
            return "shut down from inside"
        if self._ground.cgroups.use(workspace).oom_kills:
            return "out of memory"
        if status is None:
            return "the agent ended"
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return f"the agent was killed by signal {-code}"
        words = self._ground.last_words(workspace)
        return f"the agent failed with exit code {code}" + (f": {words}" if words else "")


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
