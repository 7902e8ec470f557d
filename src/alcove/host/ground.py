"""What is on the machine for one workspace: directories, mounts, socket, cgroup, runtime.

Each act is small and may be repeated; the order in which they are taken is `host`'s. One rule:
everything of a workspace is below its own names, so that it can be found without a record.
"""

import hashlib
import json
import os
import resource
import shutil
import socket
import subprocess
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from alcove.drivers.base import Usage
from alcove.host import bundle, image_files, layer, memory, rootfs, runtime, seccomp, surroundings
from alcove.host.account import Account, settle
from alcove.host.cgroups import Cgroups
from alcove.host.doors import Doors
from alcove.host.idmaps import IdMaps
from alcove.host.mounts import freeze, mounts_below, thaw
from alcove.host.runtime import AGENT_NAME, Process, Runc, Runsc, Runtime
from alcove.host.settings import HostSettings
from alcove.host.sockets import AgentSockets
from alcove.host.syscalls import unmount
from alcove.host.volumes import Volumes, disk_use, io_bytes
from alcove.model.errors import DriverError, Unsupported
from alcove.model.workspace import Isolation, RootMode, Spec, WorkspaceId

_KILL_TIMEOUT_S: Final = 10.0
_WIPE_TIMEOUT_S: Final = 120.0
_LAST_WORDS_BYTES: Final = 2000


class Ground:
    """The machine below `settings.data_dir`."""

    def __init__(self, settings: HostSettings, *, id_maps: IdMaps, socket_gid: int) -> None:
        self.settings = settings
        self.workspaces = settings.host_dir / "workspaces"
        self.volumes = Volumes(settings.host_dir / "volumes")
        self.cgroups = Cgroups(settings.instance)
        self.doors = Doors(settings.data_dir / "run" / "doors")
        self.sockets = AgentSockets(
            settings.data_dir / "run" / "agents", doors=self.doors, gid=socket_gid
        )
        self.runsc = Runsc(
            settings.host_dir / "runsc", settings.tools_dir, cgroups=self.cgroups, doors=self.doors
        )
        runtimes: tuple[Runtime, ...] = (Runc(settings.host_dir / "runc"), self.runsc)
        self.runtimes: Final = {r.isolation: r for r in runtimes}
        self._agents = settings.host_dir / "agent"
        self._id_maps = id_maps
        self._seccomp = seccomp.load()
        self._nofile = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self._agent_layer = layer.agent_layer(self._agents, settings.agent)

    def remove_former_agents(self, images: Sequence[Path]) -> None:
        """But those that run in `images` of memory."""
        kept = {self._agent_layer.name}
        for image in images:
            with suppress(OSError):
                kept.add((image / AGENT_NAME).read_text())
        layer.remove_former(self._agents, kept)

    def _agent_of(self, image: Path) -> Path:
        found = self._agents / (image / AGENT_NAME).read_text()
        if found.parent != self._agents or not found.is_dir():
            raise DriverError(
                "the agent that runs in this memory is not on this host any more", retry=False
            )
        return found

    def directory(self, workspace: WorkspaceId) -> Path:
        return self.workspaces / workspace

    def mount_volume(
        self, workspace: WorkspaceId, *, disk_mib: int, restored: bool = False
    ) -> None:
        """Mount the volume, without what an earlier start wrote outside home; if it was just
        `restored` from a snapshot, with it."""
        target = self._sub(workspace, "volume")
        self.volumes.mount(workspace, target, disk_mib=disk_mib)
        target.chmod(0o700)
        # Of the work directory nothing is ever kept: the overlay would refuse it.
        restored = restored or memory.asleep(self.directory(workspace))
        self._wipe(target / "rw/work" if restored else target / "rw")

    def freeze_volume(self, workspace: WorkspaceId) -> None:
        """Have everything in the volume's file, and writers wait until `thaw_volume`; nothing
        happens to one that is not mounted. Raises OSError."""
        freeze(self.directory(workspace) / "volume")

    def thaw_volume(self, workspace: WorkspaceId) -> None:
        """Nothing happens to one that is not frozen."""
        thaw(self.directory(workspace) / "volume")

    def write_layer(
        self,
        workspace: WorkspaceId,
        spec: Spec,
        layers: Sequence[Path],
        resolv_conf: str,
    ) -> Account:
        """The workspace's own top layer and, at first, its home; answers its user."""
        account = settle(
            spec.user,
            passwd=image_files.read(layers, "etc/passwd"),
            group=image_files.read(layers, "etc/group"),
            root=spec.root,
        )
        extra = surroundings.files(
            self.settings,
            spec,
            authorities=self._authorities(),
            system_bundle=image_files.read(layers, surroundings.SYSTEM_BUNDLE),
        )
        extra = {**extra, "etc/machine-id": _machine_id(workspace)}
        files = layer.Files(spec.hostname, resolv_conf, extra)
        layer.write(self._sub(workspace, "layer"), account, files)
        home = self.directory(workspace) / "volume" / "home"
        layer.seed_home(home, account, [] if home.exists() else image_files.skeleton(layers))
        return account

    def assemble_root(
        self,
        workspace: WorkspaceId,
        spec: Spec,
        slot: int,
        layers: Sequence[Path],
        account: Account,
        *,
        image: Path | None = None,
    ) -> None:
        """With `image`, the one of a checkpoint, on the agent that runs in it: memory that was
        read from its file is not in the image."""
        own = self.directory(workspace)
        agent = self._agent_of(image) if image is not None else self._agent_layer
        (own / AGENT_NAME).write_text(agent.name)
        first_id = self.settings.workspace_ids(slot)
        # The runtime comes here as the workspace's own root; nobody else of the host may.
        os.chown(own, 0, first_id)
        own.chmod(0o710)
        target, stage = self._sub(workspace, "rootfs"), self._sub(workspace, "stage")
        lower = [*layers, agent, own / "layer"]
        try:
            with ExitStack() as stack:
                userns = self._id_maps.namespace(first_id)
                stack.callback(os.close, userns)
                writable = None
                if spec.root is RootMode.CONTAINED:
                    mapped = self._id_maps.namespace(first_id, with_root=True)
                    stack.callback(os.close, mapped)
                    writable = rootfs.Writable(self._writable(workspace), mapped)
                rootfs.assemble(
                    target, lower=lower, stage=stage, userns_fd=userns, writable=writable
                )
                source = own / "volume/home"
                rootfs.attach_home(target, home=account.home, source=source, userns_fd=userns)
        except OSError as error:
            raise DriverError(
                f"cannot assemble the root of {workspace}: {error}", retry=True
            ) from error

    def hand_door(self, workspace: WorkspaceId) -> tuple[socket.socket, str]:
        """The listening socket of its door, for the caller to close, and the proof that the agent
        shows there. Raises DriverError where there is none."""
        return self.doors.listener(workspace), self.runsc.proof(workspace)

    def write_bundle(
        self,
        workspace: WorkspaceId,
        spec: Spec,
        slot: int,
        image_env: Mapping[str, str],
        control_sha256: str,
        *,
        home: str,
    ) -> Path:
        """The runtime's configuration; nothing secret is in it. Where the agent takes no listener
        its door is opened as well."""
        own = self.directory(workspace)
        runtime = self.runtime(spec.isolation)
        self.cgroups.make(workspace)
        listens = runtime.takes_listener
        environment = {
            "ALCOVE_LISTEN": "fd:3" if listens else f"dial:{bundle.DOOR}",
            "ALCOVE_CONTROL_SHA256": control_sha256,
            "ALCOVE_USER": spec.user,
            "ALCOVE_ROOT": str(spec.root),
            "ALCOVE_RENAMES": "0" if listens else "1",
            "ALCOVE_IMAGE_ENV": json.dumps(surroundings.environment(self.settings, image_env)),
        }
        first_id = self.settings.workspace_ids(slot)
        described = bundle.Bundle(
            rootfs=own / "rootfs",
            first_id=first_id,
            cgroup=self.cgroups.runtime_path(workspace),
            environment=environment,
            seccomp=self._seccomp,
            swap_limit=self.cgroups.limits_swap(),
            nofile_max=self._nofile,
        )
        if listens:
            config: dict[str, Any] = bundle.config(spec, described)
        else:
            self.doors.open(workspace, first_id=first_id, control_sha256=control_sha256)
            self.cgroups.hold(workspace, runtime.held_to(spec.resources))
            additions = bundle.Additions(home, self.doors.path(workspace), _boot_id(own))
            config = bundle.gvisor_config(spec, described, additions)
        (own / "config.json").write_text(json.dumps(config))
        return own

    @contextmanager
    def agent_log(self, workspace: WorkspaceId) -> Generator[int]:
        """Where the agent's own output goes: a file on the workspace's volume, whose limit bounds
        it, and which is not visible inside."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.directory(workspace) / "volume/agent.log", flags, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def last_words(self, workspace: WorkspaceId) -> str:
        """The end of the agent's log, as one line; empty if there is none."""
        try:
            with (self.directory(workspace) / "volume/agent.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:500]

    def usage(self, workspace: WorkspaceId, *, network_bytes: int) -> Usage | None:
        """None when the volume is not mounted."""
        mounted = self.directory(workspace) / "volume"
        if not mounted.is_mount():
            return None
        disk, used = disk_use(mounted), self.cgroups.use(workspace)
        return Usage(
            cpu_usec=used.cpu_usec,
            memory_mib=used.memory_bytes >> 20,
            memory_limit_mib=used.memory_limit_bytes >> 20,
            disk_mib=disk.used_mib,
            disk_limit_mib=disk.limit_mib,
            io_bytes=io_bytes(mounted),
            network_bytes=network_bytes,
            pids=used.pids,
            oom_kills=used.oom_kills,
        )

    def clear(self, workspace: WorkspaceId, process: Process | None) -> list[str]:
        """Remove every trace of an earlier start but the volume; answers what stayed."""
        left = self.kill(workspace, process)
        self.forget_containers(workspace)
        left += self.remove_cgroup(workspace)
        left += self.unmount(workspace)
        self.sockets.remove(workspace)
        return left

    def terminate(self, process: Process, *, grace_s: float) -> None:
        """Ask the agent to shut down in order, for as long as `grace_s`."""
        if grace_s > 0:
            runtime.terminate(process, grace_s=grace_s)

    def kill(self, workspace: WorkspaceId, process: Process | None) -> list[str]:
        """End every process of the workspace, now."""
        if not self.cgroups.kill(workspace, timeout_s=_KILL_TIMEOUT_S):
            return [f"processes {sorted(self.cgroups.processes(workspace))[:10]}"]
        if process is not None:
            runtime.exit_status(process)
        return []

    def runtime(self, isolation: Isolation) -> Runtime:
        """The one of that tier. Raises Unsupported, with the remedy, where it cannot be used."""
        found = self.runtimes.get(isolation)
        if found is None:
            raise Unsupported(f"the local driver does not offer isolation {isolation} yet")
        if problem := found.problem():
            raise Unsupported(f"isolation {isolation}: {problem}")
        return found

    def forget_containers(self, workspace: WorkspaceId) -> None:
        """Whichever runtime it ran under."""
        for each in self.runtimes.values():
            each.delete(workspace)

    def remove_cgroup(self, workspace: WorkspaceId) -> list[str]:
        return self.cgroups.remove(workspace, timeout_s=_KILL_TIMEOUT_S)

    def unmount(self, workspace: WorkspaceId) -> list[str]:
        """Unmount everything below the workspace's directory, the volume last; what was written
        outside home is dropped on the way, unless it sleeps. Answers what stayed mounted."""
        volume = self.directory(workspace) / "volume"
        left: list[str] = []
        for point in reversed(mounts_below(self.directory(workspace))):
            try:
                if point == volume:
                    self.thaw_volume(workspace)
                    if not memory.asleep(self.directory(workspace)):
                        self._wipe(volume / "rw")
                    self.volumes.unmount(workspace, volume)
                else:
                    unmount(point)
            except OSError as error:
                left.append(f"mount {point}: {error.strerror}")
        return left

    def remove_directory(self, workspace: WorkspaceId) -> None:
        """The workspace's directory with its record, once nothing is mounted in it."""
        if below := mounts_below(self.directory(workspace)):
            raise OSError(f"still mounted: {below[0]}")
        if self.directory(workspace).exists():
            shutil.rmtree(self.directory(workspace))

    def _authorities(self) -> bytes:
        """The operator's bundle, read at each start, so that a new one needs no restart."""
        if not self.settings.ca_bundle:
            return b""
        try:
            return Path(self.settings.ca_bundle).read_bytes()
        except OSError as error:
            raise DriverError(
                f"the setting ca_bundle cannot be read: {error}", retry=True
            ) from error

    def _writable(self, workspace: WorkspaceId) -> Path:
        """The writable part of the root, empty but for what a snapshot brought."""
        directory = self.directory(workspace) / "volume/rw"
        for path in (directory, directory / "upper", directory / "work"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        return directory

    def _sub(self, workspace: WorkspaceId, name: str) -> Path:
        path = self.directory(workspace) / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def _wipe(self, path: Path) -> None:
        """Remove a tree that the workspace wrote. By `rm`, which neither follows links nor
        recurses on the stack: such a tree may be a hundred thousand directories deep."""
        if not path.exists():
            return
        try:
            done = subprocess.run(
                ["/bin/rm", "-rf", "--one-file-system", "--", str(path)],
                capture_output=True,
                timeout=_WIPE_TIMEOUT_S,
                check=False,
                env={},
            )
        except subprocess.TimeoutExpired as error:
            raise DriverError(f"{path} could not be emptied in time", retry=True) from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace")[:300]
            raise DriverError(f"{path} could not be emptied: {said}", retry=True)


def _boot_id(directory: Path) -> Path:
    """A file with a new one, for all inside to read."""
    path = directory / "boot_id"
    path.unlink(missing_ok=True)
    path.write_text(f"{uuid.uuid4()}\n")
    path.chmod(0o444)
    return path


def _machine_id(workspace: WorkspaceId) -> bytes:
    """As in machine-id(5): the same at each start, and nobody else's."""
    return hashlib.sha256(f"machine-id:{workspace}".encode()).hexdigest()[:32].encode() + b"\n"
