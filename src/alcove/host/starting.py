"""`create` and `start`: make a workspace run as its Spec says.

What is half-made is found by its name and removed, and then made anew; only the volume is kept.
One rule: the record is written before the first effect.
"""

import logging
import socket
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Final

from alcove.host import memory
from alcove.host.inspection import outside_differences
from alcove.host.parts import Parts
from alcove.host.protocol import Started
from alcove.host.renewal import renew
from alcove.host.runtime import find
from alcove.host.shelf import MEMORY, VOLUME
from alcove.host.sleeping import tuck_in
from alcove.host.snapshotting import suits
from alcove.host.specs import check
from alcove.host.state import Record, Stage, alive
from alcove.model.errors import AlcoveError, DriverError
from alcove.model.workspace import NetworkMode, RootMode, SnapshotId, Spec, WorkspaceId

log: Final = logging.getLogger(__name__)


class Starting:
    """The verbs `create`, `start` and `approve`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def up(self, verb: str, workspace: WorkspaceId, spec: Spec, control_sha256: str) -> Started:
        """`create` and `start`: make the workspace run as `spec` says, on the volume it has."""
        check(spec)
        with self._parts.turns.of(workspace), self._parts.at_once:
            record = self._parts.records.get(workspace)
            if record is not None and alive(record):
                return Started(record.boot, record.approved)
            self._parts.need_network(spec.network)
            restoring = self._restoring(workspace, spec, record)
            with self._parts.crash.step(verb, "record"):
                layers = self._layers(workspace, spec)
                if layers is None:
                    return Started(None, approved=False)
                record = self._parts.records.open(
                    workspace,
                    stage=Stage.MAKING,
                    image=spec.image.key,
                    boot=uuid.uuid4().hex,
                    process=None,
                    approved=False,
                    root=str(spec.root),
                    network=str(spec.network),
                    detail="",
                    isolation=spec.isolation,
                    user=spec.user,
                    hostname=spec.hostname,
                    resources=spec.resources,
                    restoring=restoring,
                )
            try:
                memory.drop(self._parts.ground.directory(workspace))
                image = self._image(record)
                return self._make(
                    verb, workspace, spec, record, layers, control_sha256, image=image
                )
            except (AlcoveError, OSError) as error:
                self._give_up(workspace, error)
                raise

    def approve(self, workspace: WorkspaceId, boot: str) -> None:
        """Look at the started workspace from outside; raises DriverError on a difference."""
        with self._parts.turns.of(workspace):
            record = self._parts.records.get(workspace)
            if record is None or record.process is None or record.boot != boot:
                raise DriverError(f"{workspace} does not run boot {boot} any more", retry=True)
            self._inspect(workspace)
            self._parts.records.note(workspace, approved=True)

    def _inspect(self, workspace: WorkspaceId) -> None:
        record = self._parts.records.get(workspace)
        assert record is not None
        root = RootMode(record.root)
        if found := outside_differences(
            record, root=root, ground=self._parts.ground, workspace=workspace
        ):
            raise DriverError(
                f"{workspace} is not confined as it must be: {'; '.join(found)}", retry=False
            )

    def wake(self, workspace: WorkspaceId) -> bool:
        """Let go on what sleeps (see `sleeping`); answers whether it did sleep. Raises
        DriverError; it sleeps on then."""
        with self._parts.turns.of(workspace), self._parts.at_once:
            record = self._parts.records.get(workspace)
            if record is None or record.stage is not Stage.ASLEEP:
                return False
            directory = self._parts.ground.directory(workspace)
            memory.check(workspace, directory)
            begun = memory.begun(directory)
            spec = _as_recorded(begun.spec, record)
            self._parts.need_network(spec.network)
            layers = self._ready_layers(spec)
            image = memory.image(directory)
            try:
                self._make(
                    "wake", workspace, spec, record, layers, begun.control_sha256, image=image
                )
                self._inspect(workspace)
            except (AlcoveError, OSError):
                self._parts.records.change(workspace, stage=Stage.ASLEEP, process=None)
                tuck_in(self._parts, workspace)
                raise
            with self._parts.crash.step("wake", "show"):
                memory.drop(directory)
                self._parts.ground.sockets.show(workspace)
        return True

    def _ready_layers(self, spec: Spec) -> list[Path]:
        if (status := self._parts.images.status(spec.image)).state != "ready":
            raise DriverError(f"its image is {status.state}", retry=True)
        return self._parts.images.layers(spec.image)

    def _make(
        self,
        verb: str,
        workspace: WorkspaceId,
        spec: Spec,
        record: Record,
        layers: list[Path],
        control_sha256: str,
        *,
        image: Path | None,
    ) -> Started:
        """With `image` its processes go on from there."""
        ground, step = self._parts.ground, self._parts.crash.step
        with step(verb, "clean"):
            if left := ground.clear(workspace, record.process):
                raise DriverError(f"{workspace} has left {', '.join(left)}", retry=True)
            self._parts.network.detach(workspace)
        with step(verb, "volume"):
            source = self._source(workspace, record)
            ground.volumes.make(workspace, disk_mib=spec.resources.disk_mib, source=source)
        restored = record.restoring is not None
        with step(verb, "mount"):
            ground.mount_volume(workspace, disk_mib=spec.resources.disk_mib, restored=restored)
        resolv_conf = self._parts.network.resolv_conf()  # also for a network that comes later
        with step(verb, "layer"):
            account = ground.write_layer(workspace, spec, layers, resolv_conf)
            if restored:
                renew(ground.directory(workspace) / "volume/rw/upper", spec.hostname)
        with step(verb, "root"):
            ground.assemble_root(workspace, spec, record.slot, layers, account, image=image)
        with step(verb, "listen"):
            takes = ground.runtime(spec.isolation).takes_listener
            listener = ground.sockets.listen(workspace) if takes else None
        try:
            with step(verb, "container"):
                bundle = self._bundle(workspace, spec, record, control_sha256, account.home)
                pid = self._contain(workspace, spec, bundle, listener)
        finally:
            if listener is not None:
                listener.close()
        with step(verb, "network"):
            if spec.network is NetworkMode.OPEN:
                # Before its first instruction.
                self._parts.network.attach(workspace, pid, record.slot)
        with step(verb, "go"):
            if image is not None:
                ground.runtime(spec.isolation).restore(workspace, image)
            else:
                ground.runtime(spec.isolation).start(workspace)
        with step(verb, "keep"):
            if (process := find(pid)) is None:
                raise DriverError(
                    f"the agent of {workspace} ended at once: {ground.last_words(workspace)}",
                    retry=True,
                )
            self._parts.records.change(
                workspace, stage=Stage.RUNNING, process=process, restoring=None
            )
        return Started(record.boot, approved=False)

    def _restoring(
        self, workspace: WorkspaceId, spec: Spec, record: Record | None
    ) -> SnapshotId | None:
        """What this start begins from: a snapshot at the first one, which may have been cut off
        before. Raises DriverError, not to be tried again, for one that cannot be used."""
        first = (
            record is None or record.restoring or not self._parts.ground.volumes.exists(workspace)
        )
        if spec.snapshot is None or not first:
            return None
        suits(self._parts.shelf.checked(spec.snapshot), spec)
        return spec.snapshot

    def _source(self, workspace: WorkspaceId, record: Record) -> Path | None:
        """The volume to copy. What an earlier attempt made of its copy is not gone on with: it
        has lost what was written outside home."""
        if record.restoring is None:
            return None
        self._parts.ground.volumes.remove(workspace)
        return self._parts.shelf.path(record.restoring) / VOLUME

    def _image(self, record: Record) -> Path | None:
        """The memory that a first start goes on with, where its snapshot has any."""
        snapshot, shelf = record.restoring, self._parts.shelf
        if snapshot is None or not shelf.get(snapshot).memory:
            return None
        return shelf.path(snapshot) / MEMORY

    def _bundle(
        self,
        workspace: WorkspaceId,
        spec: Spec,
        record: Record,
        control_sha256: str,
        home: str,
    ) -> Path:
        image_env = self._parts.images.image_env(spec.image)
        directory = self._parts.ground.directory(workspace)
        memory.keep_begun(directory, memory.Begun(spec, control_sha256))
        return self._parts.ground.write_bundle(
            workspace, spec, record.slot, image_env, control_sha256, home=home
        )

    def _contain(
        self, workspace: WorkspaceId, spec: Spec, bundle: Path, listener: socket.socket | None
    ) -> int:
        ground = self._parts.ground
        given = None if listener is None else listener.fileno()
        with ground.agent_log(workspace) as output:
            return ground.runtime(spec.isolation).create(
                workspace, bundle, listener=given, output=output
            )

    def _layers(self, workspace: WorkspaceId, spec: Spec) -> list[Path] | None:
        """The image's layers; None while it is being made ready, which is recorded."""
        status = self._parts.images.status(spec.image)
        if status.state != "ready":
            status = self._parts.images.prepare(spec.image, awaited=True)
        match status.state:
            case "ready":
                return self._parts.images.layers(spec.image)
            case "failed":
                raise DriverError(f"the image could not be made: {status.detail}", retry=True)
            case _:
                self._parts.records.open(
                    workspace, stage=Stage.WAITING, image=spec.image.key, process=None
                )
                return None

    def _give_up(self, workspace: WorkspaceId, error: Exception) -> None:
        """After a failed start: remove what was made; the next start begins afresh anyway."""
        try:
            self._parts.network.detach(workspace)
            self._parts.ground.clear(workspace, None)
            detail = f"its start failed: {error}"[:500]
            self._parts.records.change(workspace, stage=Stage.ENDED, process=None, detail=detail)
        except (AlcoveError, OSError):
            log.exception("could not clean up after the failed start of %s", workspace)


def _as_recorded(spec: Spec, record: Record) -> Spec:
    """What it was started with, and what was changed since. Pure."""
    return replace(
        spec,
        hostname=record.hostname or spec.hostname,
        resources=record.resources or spec.resources,
        network=NetworkMode(record.network),
        snapshot=None,
    )
