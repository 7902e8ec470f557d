"""A driver that runs nothing and takes no time. Tests, benchmarks and demos script it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from alcove.drivers.base import (
    ByteStream,
    Capabilities,
    ImageStatus,
    Keeps,
    Leftover,
    Promise,
    Removal,
    Taken,
    Usage,
)
from alcove.drivers.fake_agent import FakeAgent
from alcove.model.errors import DriverError, Unsupported
from alcove.model.image import DebianImage, Image
from alcove.model.workspace import (
    Handle,
    Isolation,
    NetworkMode,
    Observation,
    Observed,
    Resources,
    RootMode,
    SnapshotId,
    Spec,
    WorkspaceId,
)


@dataclass(frozen=True, slots=True)
class FakeRuntime:
    """What is there of one workspace."""

    state: Observed
    boot: str
    spec: Spec
    control_key: str
    agent: FakeAgent
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FakeSnapshot:
    """What is kept of one workspace."""

    taken: Taken
    image: str
    """The key of its image."""
    files: Mapping[str, bytes]


RECALLED: Final = Spec(
    image=DebianImage("bookworm", (), "dev", sudo=False),
    isolation=Isolation.CONTAINER,
    root=RootMode.NONE,
    user="dev",
    hostname="recalled",
    resources=Resources(1000, 1024, 1024, 100),
    network=NetworkMode.NONE,
    ephemeral=False,
)
"""Of a runtime that another server started: it is not looked at."""


PROMISES: Final[Mapping[Isolation, Promise]] = {
    Isolation.CONTAINER: Promise(Keeps.MEMORY, False, False, Keeps.FILES),
    Isolation.GVISOR: Promise(Keeps.MEMORY, True, True, Keeps.MEMORY),
}
"""What the tiers of a real host promise."""
_ABSENT: Final = {
    "gvisor": "the fake driver has no sandboxed kernel; use isolation container",
    "microvm": "the fake driver has no virtual machines; use isolation container",
    "allowlist": "network mode allowlist is not enforced yet; use none or open",
}


async def _at_once(_verb: str, _workspace: WorkspaceId) -> None:
    return None


@dataclass
class FakeDriver:
    """Every verb is recorded in `calls` and may be made to fail, hang or be blind."""

    name: str = "fake"
    runtimes: dict[WorkspaceId, FakeRuntime] = field(
        default_factory=dict[WorkspaceId, FakeRuntime]
    )
    calls: list[tuple[str, WorkspaceId]] = field(default_factory=list[tuple[str, WorkspaceId]])
    fail_next: int = 0
    """How many of the next verbs raise `failure`."""
    failure: Exception = field(default_factory=lambda: DriverError("scripted", retry=True))
    blind: bool = False
    """Whether `observe` answers UNKNOWN."""
    building: str | None = None
    """While set, `create` only begins, and `observe` says CREATING with this sentence."""
    begun: set[WorkspaceId] = field(default_factory=set[WorkspaceId])
    before: Callable[[str, WorkspaceId], Awaitable[None]] = _at_once
    """Runs before each verb takes effect; a test may wait or raise there."""
    after: Callable[[str, WorkspaceId], Awaitable[None]] = _at_once
    leave: tuple[str, ...] = ()
    """What the next `destroy` cannot remove."""
    remains: dict[WorkspaceId, tuple[str, ...]] = field(
        default_factory=dict[WorkspaceId, tuple[str, ...]]
    )
    usages: dict[WorkspaceId, Usage] = field(default_factory=dict[WorkspaceId, Usage])
    image_states: dict[str, ImageStatus] = field(default_factory=dict[str, ImageStatus])
    collected: list[str] = field(default_factory=list[str])
    recalls: bool = False
    """Whether a handle from another server, or from before a restart, is taken at its word:
    what it names is running. For several servers that share a database and no memory."""
    isolation: frozenset[Isolation] = frozenset({Isolation.CONTAINER})
    """A test may add `gvisor`, whose snapshots then hold memory."""
    shelf: dict[SnapshotId, FakeSnapshot] = field(default_factory=dict[SnapshotId, FakeSnapshot])
    boots: "count[int]" = field(default_factory=lambda: count(1))

    async def capabilities(self) -> Capabilities:
        return Capabilities(
            isolation=self.isolation,
            networks=frozenset({NetworkMode.NONE, NetworkMode.OPEN}),
            pause=True,
            snapshot=True,
            absent={name: why for name, why in _ABSENT.items() if name not in self.isolation},
            promises={one: PROMISES[one] for one in self.isolation},
        )

    async def observe(self, workspace: WorkspaceId, handle: Handle | None) -> Observation:
        if self.blind:
            return Observation(Observed.UNKNOWN, handle, detail="the driver is blind")
        runtime = self._known(workspace, handle)
        if runtime is None and workspace in self.begun and self.building is not None:
            return Observation(Observed.CREATING, self._handle(workspace), detail=self.building)
        if runtime is None:
            return Observation(Observed.ABSENT, None)
        return Observation(runtime.state, self._handle(workspace), runtime.boot, runtime.detail)

    async def create(self, workspace: WorkspaceId, spec: Spec, *, control_key: str) -> Handle:
        if spec.isolation not in self.isolation:
            raise Unsupported(f"the fake driver does not offer isolation {spec.isolation}")
        await self._verb("create", workspace)
        if self.building is not None:
            self.begun.add(workspace)
            return self._handle(workspace)
        self.begun.discard(workspace)
        if workspace not in self.runtimes:
            files = self._kept(spec.snapshot).files if spec.snapshot else dict[str, bytes]()
            self.runtimes[workspace] = self._booted(spec, control_key, files)
        await self.after("create", workspace)
        return self._handle(workspace)

    async def start(
        self, workspace: WorkspaceId, handle: Handle, spec: Spec, *, control_key: str
    ) -> Handle:
        await self._verb("start", workspace)
        if (there := self._there(workspace)).state is not Observed.READY:
            self.runtimes[workspace] = self._booted(spec, control_key, there.agent.files)
        await self.after("start", workspace)
        return self._handle(workspace)

    async def stop(self, workspace: WorkspaceId, handle: Handle, *, grace_s: float) -> None:
        await self._verb("stop", workspace)
        if workspace in self.runtimes:
            self.end(workspace)
        await self.after("stop", workspace)

    async def pause(self, workspace: WorkspaceId, handle: Handle) -> None:
        await self._verb("pause", workspace)
        self._turn(workspace, Observed.PAUSED)
        await self.after("pause", workspace)

    async def resume(self, workspace: WorkspaceId, handle: Handle) -> None:
        await self._verb("resume", workspace)
        self._turn(workspace, Observed.READY)
        await self.after("resume", workspace)

    async def adopt(self, workspace: WorkspaceId, handle: Handle, spec: Spec) -> None:
        await self._verb("adopt", workspace)
        there = self._there(workspace)
        if there.state is not Observed.READY:
            raise DriverError(f"{workspace} is {there.state}, not ready", retry=True)
        if field_ := fixed(there.spec, spec):
            raise Unsupported(f"{field_}: cannot be changed while it runs")
        self.runtimes[workspace] = replace(there, spec=spec)
        await self.after("adopt", workspace)

    async def take_snapshot(
        self, workspace: WorkspaceId, handle: Handle, snapshot: SnapshotId
    ) -> Taken:
        await self._verb("take_snapshot", workspace)
        if snapshot not in self.shelf:
            there = self._there(workspace)
            gvisor = there.spec.isolation is Isolation.GVISOR
            taken = Taken(snapshot, gvisor and there.state is not Observed.EXITED, 1)
            files = dict(there.agent.files)
            self.shelf[snapshot] = FakeSnapshot(taken, there.spec.image.key, files)
        await self.after("take_snapshot", workspace)
        return self.shelf[snapshot].taken

    async def snapshots(self) -> Sequence[Taken]:
        return [kept.taken for kept in self.shelf.values()]

    async def drop_snapshot(self, snapshot: SnapshotId) -> None:
        self.shelf.pop(snapshot, None)

    async def destroy(self, workspace: WorkspaceId, handle: Handle | None) -> Removal:
        await self._verb("destroy", workspace)
        self.runtimes.pop(workspace, None)
        self.begun.discard(workspace)
        self.remains.pop(workspace, None)
        if self.leave:
            self.remains[workspace] = self.leave
        await self.after("destroy", workspace)
        return Removal(left=self.leave)

    @asynccontextmanager
    async def connect(
        self, workspace: WorkspaceId, handle: Handle, *, port: int
    ) -> AsyncGenerator[ByteStream]:
        runtime = self._known(workspace, handle)
        if runtime is None or runtime.state is not Observed.READY:
            raise DriverError(f"workspace {workspace} is not running", retry=True)
        stream = runtime.agent.connect()
        try:
            yield stream
        finally:
            await stream.aclose()

    async def usage(self, workspaces: Sequence[WorkspaceId]) -> Mapping[WorkspaceId, Usage]:
        idle = Usage(0, 8, 1024, 1, 1024, 0, 0, 1, 0)
        return {id: self.usages.get(id, idle) for id in workspaces if id in self.runtimes}

    async def inventory(self) -> Sequence[Leftover]:
        there = [Leftover(id, ("runtime",)) for id in self.runtimes]
        return [*there, *(Leftover(id, what) for id, what in self.remains.items())]

    async def pin(self, reference: str) -> tuple[str, str]:
        if "missing" in reference:
            raise DriverError(f"{reference}: the registry has no such image", retry=False)
        return reference.rsplit(":", 1)[0], "sha256:" + "0" * 64

    async def prepare(self, image: Image) -> ImageStatus:
        return self.image_states.setdefault(image.key, ImageStatus(image.key, "ready", "", 100))

    async def images(self) -> Sequence[ImageStatus]:
        return list(self.image_states.values())

    async def collect(self, keep: Sequence[str]) -> Sequence[str]:
        kept = {*keep, *(snapshot.image for snapshot in self.shelf.values())}
        gone = [key for key in self.image_states if key not in kept]
        for key in gone:
            del self.image_states[key]
        self.collected += gone
        return gone

    async def image_log(self, key: str) -> str:
        return f"image {key}: nothing to build\n"

    def end(self, workspace: WorkspaceId, detail: str = "") -> None:
        """The runtime ends, as if by itself."""
        there = self._there(workspace)
        there.agent.cut()
        self.runtimes[workspace] = replace(there, state=Observed.EXITED, detail=detail)

    def vanish(self, workspace: WorkspaceId) -> None:
        """Somebody removes it from outside, files and all."""
        del self.runtimes[workspace]

    def _booted(self, spec: Spec, control_key: str, files: Mapping[str, bytes]) -> FakeRuntime:
        mark = f"{id(self):x}-" if self.recalls else ""
        boot = f"boot-{mark}{next(self.boots)}"
        agent = FakeAgent(control_key, files=dict(files))
        return FakeRuntime(Observed.READY, boot, spec, control_key, agent)

    def _kept(self, snapshot: SnapshotId) -> FakeSnapshot:
        if snapshot not in self.shelf:
            raise DriverError(f"there is no snapshot {snapshot} here", retry=False)
        return self.shelf[snapshot]

    def _turn(self, workspace: WorkspaceId, state: Observed) -> None:
        there = self._there(workspace)
        if there.state not in (Observed.READY, Observed.PAUSED):
            raise DriverError(f"{workspace} is {there.state}; start it first", retry=True)
        self.runtimes[workspace] = replace(there, state=state)

    def _known(self, workspace: WorkspaceId, handle: Handle | None) -> FakeRuntime | None:
        known = self.runtimes.get(workspace)
        if known is not None or not self.recalls or handle is None or not handle.data:
            return known
        agent = FakeAgent(control_key=None)
        recalled = FakeRuntime(Observed.READY, handle.data, RECALLED, "", agent)
        self.runtimes[workspace] = recalled
        return recalled

    def _handle(self, workspace: WorkspaceId) -> Handle:
        runtime = self.runtimes.get(workspace)
        return Handle(driver="fake", version=1, data=runtime.boot if runtime else "")

    def _there(self, workspace: WorkspaceId) -> FakeRuntime:
        if workspace not in self.runtimes:
            raise DriverError(f"there is nothing of workspace {workspace}", retry=True)
        return self.runtimes[workspace]

    async def _verb(self, verb: str, workspace: WorkspaceId) -> None:
        self.calls.append((verb, workspace))
        await self.before(verb, workspace)
        if self.fail_next > 0:
            self.fail_next -= 1
            raise self.failure


def fixed(there: Spec, wanted: Spec) -> str | None:
    """The first field of a running workspace that `adopt` cannot change, though it is asked to."""
    network = (there.network, wanted.network)
    gvisor = there.isolation is Isolation.GVISOR
    kept = {
        "image": (there.image.key, wanted.image.key),
        "isolation": (there.isolation, wanted.isolation),
        "root": (there.root, wanted.root),
        "user": (there.user, wanted.user),
        "disk_mib": (there.resources.disk_mib, wanted.resources.disk_mib),
        "network": network if gvisor or NetworkMode.ALLOWLIST in network else (),
    }
    return next((name for name, pair in kept.items() if len(set(pair)) > 1), None)
