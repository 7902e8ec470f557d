"""What a runtime must be able to do to host workspaces.

Rules for implementers:

- Every verb is idempotent and safe to repeat after a crash. Name runtime objects after the
  workspace id, so that a repeated `create` finds the first one.
- A verb does not wait for a slow thing (a download, a build): it starts it and returns, and
  `observe` answers CREATING with the progress until it is done. When it is done, the next
  `create` finishes the work.
- Raise `DriverError` for what the runtime did; let bugs be bugs.

A driver is one module. It is registered under the entry-point group ``alcove.drivers`` and must
pass `alcove.drivers.conformance`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from alcove.model.image import Image
from alcove.model.workspace import (
    Handle,
    Isolation,
    NetworkMode,
    Observation,
    SnapshotId,
    Spec,
    WorkspaceId,
)

AGENT_PORT: Final = 49983
"""`connect` to this port reaches the agent, however the driver does it."""


class ByteStream(Protocol):
    """Raises `anyio.EndOfStream` at the end and `anyio.BrokenResourceError` when cut."""

    async def send(self, item: bytes, /) -> None: ...
    async def receive(self, max_bytes: int = 65536, /) -> bytes: ...
    async def send_eof(self) -> None: ...
    async def aclose(self) -> None: ...


class Keeps(StrEnum):
    """How much of a workspace lives on in a pause or a snapshot."""

    NOTHING = "nothing"
    FILES = "files"
    """Home and what was changed in the image; processes are started anew."""
    MEMORY = "memory"
    """Files, processes and their memory."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What an isolation tier promises here; shown in `/server`."""

    pause: Keeps
    pause_survives_host_restart: bool
    pause_frees_memory: bool
    snapshot: Keeps


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this driver can do here. For what it cannot, the reason and the remedy."""

    isolation: frozenset[Isolation]
    networks: frozenset[NetworkMode]
    pause: bool
    snapshot: bool
    absent: Mapping[str, str] = field(default_factory=dict[str, str])
    """`{"gvisor": "runsc is not installed; …"}`"""
    promises: Mapping[Isolation, Promise] = field(default_factory=dict[Isolation, Promise])
    runtimes: Mapping[Isolation, str] = field(default_factory=dict[Isolation, str])
    """What runs each tier: "runsc release-20260905"."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a workspace used, from outside it. Counters only grow within one boot."""

    cpu_usec: int
    memory_mib: int
    memory_limit_mib: int
    disk_mib: int
    disk_limit_mib: int
    io_bytes: int
    network_bytes: int
    pids: int
    oom_kills: int


@dataclass(frozen=True, slots=True)
class Removal:
    """What `destroy` did. `left` names what it could not remove; the sweeper tries again."""

    left: tuple[str, ...] = ()


class Driver(Protocol):
    """The whole interface: one look, four verbs, one way in."""

    @property
    def name(self) -> str: ...

    async def capabilities(self) -> Capabilities: ...

    async def observe(self, workspace: WorkspaceId, handle: Handle | None) -> Observation:
        """Say what is there now. Answers UNKNOWN, and does not raise, if it cannot be told."""
        ...

    async def create(self, workspace: WorkspaceId, spec: Spec, *, control_key: str) -> Handle:
        """Make and start the runtime. `control_key` is the secret the agent will ask for; a
        driver hands the agent its SHA-256 only."""
        ...

    async def start(
        self, workspace: WorkspaceId, handle: Handle, spec: Spec, *, control_key: str
    ) -> Handle:
        """Start what is EXITED, with the home it had and the Spec given now."""
        ...

    async def stop(self, workspace: WorkspaceId, handle: Handle, *, grace_s: float) -> None:
        """End all processes; keep the home."""
        ...

    async def destroy(self, workspace: WorkspaceId, handle: Handle | None) -> Removal:
        """Remove everything of it, also of a half-made one, as far as it goes."""
        ...

    def connect(
        self, workspace: WorkspaceId, handle: Handle, *, port: int
    ) -> AbstractAsyncContextManager[ByteStream]:
        """Open a byte stream to the agent. Raises `DriverError` if there is nobody."""
        ...


@runtime_checkable
class Pausable(Protocol):
    """For a driver whose capabilities say `pause`."""

    async def pause(self, workspace: WorkspaceId, handle: Handle) -> None:
        """Freeze what is READY; memory and processes are kept."""
        ...

    async def resume(self, workspace: WorkspaceId, handle: Handle) -> None: ...


@runtime_checkable
class Adopting(Protocol):
    """For a driver that can change a running workspace: what pools and live resizing need."""

    async def adopt(self, workspace: WorkspaceId, handle: Handle, spec: Spec) -> None:
        """Make what is READY match the host name, limits and network mode of `spec`, in that
        order of a few milliseconds. May be repeated. Raises Unsupported, naming the field,
        for what cannot change after a start (see `model/pool.py: why_cold`)."""
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot as its driver keeps it."""

    snapshot: SnapshotId
    memory: bool
    """Whether processes and memory are in it."""
    size_mib: int
    """On disk."""


@runtime_checkable
class Snapshotting(Protocol):
    """For a driver whose capabilities say `snapshot`. `create` with `Spec.snapshot` restores."""

    async def take_snapshot(
        self, workspace: WorkspaceId, handle: Handle, snapshot: SnapshotId
    ) -> Taken:
        """Keep the state of what is READY, PAUSED or EXITED; it goes on afterwards as before.

        Idempotent: a finished one of that id is answered as it is. Raises DriverError (disk
        full: nothing is left of the half-made one, and the workspace goes on)."""
        ...

    async def snapshots(self) -> Sequence[Taken]:
        """All complete ones; half-made ones are removed by the driver itself."""
        ...

    async def drop_snapshot(self, snapshot: SnapshotId) -> None:
        """Remove it, also a half-made one; nothing happens if it is not there."""
        ...


@runtime_checkable
class Metered(Protocol):
    async def usage(self, workspaces: Sequence[WorkspaceId]) -> Mapping[WorkspaceId, Usage]:
        """What each used so far; workspaces that are not there are left out."""
        ...


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something of ours on the host: a runtime, mount, volume, cgroup, interface or rule set."""

    workspace: WorkspaceId
    what: tuple[str, ...]


@runtime_checkable
class Inventoried(Protocol):
    async def inventory(self) -> Sequence[Leftover]:
        """Everything of ours that is there, by workspace; nothing of anybody else's."""
        ...


@dataclass(frozen=True, slots=True)
class ImageStatus:
    """`state`: absent, building, ready or failed."""

    key: str
    state: str
    detail: str
    """The step under way with its share ("unpacking 34 %"), or the error."""
    size_mib: int = 0


@runtime_checkable
class ImageBuilder(Protocol):
    async def pin(self, reference: str) -> tuple[str, str]:
        """`registry/name[:tag]` → (name without tag, `sha256:…`). Raises DriverError."""
        ...

    async def prepare(self, image: Image) -> ImageStatus:
        """Start making the image ready unless it is; answers at once."""
        ...

    async def images(self) -> Sequence[ImageStatus]: ...

    async def collect(self, keep: Sequence[str]) -> Sequence[str]:
        """Remove images neither in `keep` nor used by a workspace; answers their keys."""
        ...

    async def image_log(self, key: str) -> str:
        """The end of the build log, for people."""
        ...
