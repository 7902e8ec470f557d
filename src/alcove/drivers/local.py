"""The embedded driver: one Linux host, no daemon of anybody else's.

This is its unprivileged half: it asks the privileged process (`alcove.host`) for verbs and opens
the agents' sockets itself. One rule: a workspace is not READY before its posture was found as
expected, from inside and from outside, in this boot.
"""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anyio
from pydantic import TypeAdapter

from alcove.drivers.base import (
    AGENT_PORT,
    ByteStream,
    Capabilities,
    ImageStatus,
    Leftover,
    Removal,
    Taken,
    Usage,
)
from alcove.drivers.doors import Doors
from alcove.drivers.first_look import first_look
from alcove.drivers.streams import Stream
from alcove.host import protocol
from alcove.model.errors import AlcoveError, DriverError
from alcove.model.image import Image
from alcove.model.workspace import Handle, Observation, Observed, SnapshotId, Spec, WorkspaceId

NAME: Final = "local"
_HANDLE_VERSION: Final = 1
_LOOKS_MAX: Final = 8
_VERBS_MAX: Final = 16
"""Requests at a time: looks do not wait behind verbs, which may take as long as a grace period."""
_LOOK_TIMEOUT_S: Final = 10.0
VERB_TIMEOUT_S: Final = 120.0
_PIN_TIMEOUT_S: Final = 90.0
SNAPSHOT_TIMEOUT_S: Final = 600.0
"""Of copying a large volume, or of finding one whole before a workspace begins from it."""
_DIAL_TIMEOUT_S: Final = 10.0
assert _LOOK_TIMEOUT_S < VERB_TIMEOUT_S


class LocalDriver:
    """Implements Driver, Pausable, Adopting, Snapshotting, Metered, Inventoried and ImageBuilder
    over `run/host.sock`."""

    def __init__(self, run_dir: Path) -> None:
        self._socket = run_dir / "host.sock"
        self._agents = run_dir / "agents"
        self._doors = Doors(run_dir)
        self._idle: list[Stream] = []
        self._looks: anyio.CapacityLimiter | None = None
        self._verbs: anyio.CapacityLimiter | None = None

    @property
    def name(self) -> str:
        return NAME

    async def hello(self) -> protocol.Welcome:
        """Which installation answers. Raises DriverError when none does."""
        return await self._ask(protocol.Hello(), protocol.WELCOME, timeout_s=_LOOK_TIMEOUT_S)

    async def capabilities(self) -> Capabilities:
        return await self._ask(
            protocol.GetCapabilities(), protocol.CAPABILITIES, timeout_s=_LOOK_TIMEOUT_S
        )

    async def observe(self, workspace: WorkspaceId, handle: Handle | None) -> Observation:
        try:
            look = await self._ask(
                protocol.Observe(workspace), protocol.LOOK, timeout_s=_LOOK_TIMEOUT_S
            )
        except AlcoveError as error:
            return Observation(Observed.UNKNOWN, handle, detail=str(error))
        seen = look.observation
        if seen.state is Observed.READY and not look.approved:
            # A server that ended between start and approval. `start` finds it and looks again.
            return replace(seen, state=Observed.EXITED, detail="its posture was not checked yet")
        return seen

    async def create(self, workspace: WorkspaceId, spec: Spec, *, control_key: str) -> Handle:
        request = protocol.Create(workspace, _for_host(spec), _sha256(control_key))
        return await self._up(workspace, spec, request, control_key)

    async def start(
        self, workspace: WorkspaceId, handle: Handle, spec: Spec, *, control_key: str
    ) -> Handle:
        request = protocol.Start(workspace, _for_host(spec), _sha256(control_key))
        return await self._up(workspace, spec, request, control_key)

    async def stop(self, workspace: WorkspaceId, handle: Handle, *, grace_s: float) -> None:
        await self._ask(
            protocol.Stop(workspace, float(grace_s)),
            protocol.NOTHING,
            timeout_s=grace_s + VERB_TIMEOUT_S,
        )

    async def destroy(self, workspace: WorkspaceId, handle: Handle | None) -> Removal:
        self._doors.forget(workspace)
        return await self._ask(
            protocol.Destroy(workspace), protocol.REMOVAL, timeout_s=VERB_TIMEOUT_S
        )

    async def pause(self, workspace: WorkspaceId, handle: Handle) -> None:
        await self._ask(protocol.Pause(workspace), protocol.NOTHING, timeout_s=VERB_TIMEOUT_S)

    async def resume(self, workspace: WorkspaceId, handle: Handle) -> None:
        await self._ask(protocol.Resume(workspace), protocol.NOTHING, timeout_s=VERB_TIMEOUT_S)

    async def adopt(self, workspace: WorkspaceId, handle: Handle, spec: Spec) -> None:
        request = protocol.Adopt(workspace, _for_host(spec))
        await self._ask(request, protocol.NOTHING, timeout_s=VERB_TIMEOUT_S)

    async def take_snapshot(
        self, workspace: WorkspaceId, handle: Handle, snapshot: SnapshotId
    ) -> Taken:
        request = protocol.TakeSnapshot(workspace, snapshot)
        return await self._ask(request, protocol.TAKEN, timeout_s=SNAPSHOT_TIMEOUT_S)

    async def snapshots(self) -> Sequence[Taken]:
        return await self._ask(protocol.GetSnapshots(), protocol.TAKENS, timeout_s=VERB_TIMEOUT_S)

    async def drop_snapshot(self, snapshot: SnapshotId) -> None:
        request = protocol.DropSnapshot(snapshot)
        await self._ask(request, protocol.NOTHING, timeout_s=VERB_TIMEOUT_S)

    def connect(
        self, workspace: WorkspaceId, handle: Handle, *, port: int
    ) -> AbstractAsyncContextManager[ByteStream]:
        if port != AGENT_PORT:
            raise ValueError(f"only the agent is reached directly; ask it for port {port}")
        return self._dial_agent(workspace)

    async def usage(self, workspaces: Sequence[WorkspaceId]) -> Mapping[WorkspaceId, Usage]:
        return await self._ask(
            protocol.GetUsage(tuple(workspaces)), protocol.USAGES, timeout_s=_LOOK_TIMEOUT_S
        )

    async def inventory(self) -> Sequence[Leftover]:
        return await self._ask(
            protocol.GetInventory(), protocol.LEFTOVERS, timeout_s=VERB_TIMEOUT_S
        )

    async def pin(self, reference: str) -> tuple[str, str]:
        return await self._ask(protocol.Pin(reference), protocol.PINNED, timeout_s=_PIN_TIMEOUT_S)

    async def prepare(self, image: Image) -> ImageStatus:
        return await self._ask(
            protocol.PrepareImage(image), protocol.IMAGE_STATUS, timeout_s=_LOOK_TIMEOUT_S
        )

    async def images(self) -> Sequence[ImageStatus]:
        return await self._ask(
            protocol.GetImages(), protocol.IMAGE_STATUSES, timeout_s=_LOOK_TIMEOUT_S
        )

    async def collect(self, keep: Sequence[str]) -> Sequence[str]:
        return await self._ask(
            protocol.CollectImages(tuple(keep)), protocol.KEYS, timeout_s=VERB_TIMEOUT_S
        )

    async def image_log(self, key: str) -> str:
        return await self._ask(protocol.ImageLog(key), protocol.TEXT, timeout_s=_LOOK_TIMEOUT_S)

    async def aclose(self) -> None:
        self._doors.close()
        while self._idle:
            await self._idle.pop().aclose()

    async def _up(
        self,
        workspace: WorkspaceId,
        spec: Spec,
        request: protocol.Create | protocol.Start,
        control_key: str,
    ) -> Handle:
        handle = Handle(NAME, _HANDLE_VERSION, workspace)
        timeout_s = VERB_TIMEOUT_S if spec.snapshot is None else SNAPSHOT_TIMEOUT_S
        started = await self._ask(request, protocol.STARTED, timeout_s=timeout_s)
        if started.boot is None or started.approved:
            return handle
        try:
            async with self._dial_agent(workspace) as stream:
                await first_look(stream, spec, control_key)
            await self._ask(
                protocol.Approve(workspace, started.boot),
                protocol.NOTHING,
                timeout_s=_LOOK_TIMEOUT_S,
            )
        except DriverError:
            # Nothing runs on that is not confined as it must be.
            await self.stop(workspace, handle, grace_s=0)
            raise
        return handle

    @asynccontextmanager
    async def _dial_agent(self, workspace: WorkspaceId) -> AsyncGenerator[ByteStream]:
        path = self._agents / f"{workspace}.sock"
        try:
            with anyio.fail_after(_DIAL_TIMEOUT_S):
                if self._doors.has(workspace) and not _hidden(path):
                    stream = await self._doors.take(workspace)
                else:
                    stream = await Stream.connect(path)
        except (OSError, TimeoutError) as error:
            if _hidden(path):
                raise DriverError(f"{workspace} is paused; resume it", retry=True) from error
            raise DriverError(
                f"the agent of {workspace} does not answer: {error or 'timeout'}", retry=True
            ) from error
        async with stream:
            yield stream

    async def _ask(
        self, request: protocol.Request, adapter: TypeAdapter[Any], *, timeout_s: float
    ) -> Any:
        """One request, one answer, on a connection of its own for the time being. Raises the
        error of the other side, or DriverError when there is no answer."""
        frame = protocol.write_request(request)
        try:
            async with self._turn(look=timeout_s <= _LOOK_TIMEOUT_S):
                with anyio.fail_after(timeout_s):
                    body = await self._exchange(frame)
        except TimeoutError as error:
            raise DriverError(
                f"the host process did not answer `{request.verb}` in {timeout_s:g} s", retry=True
            ) from error
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise DriverError(
                f"the host process cannot be reached at {self._socket}: {error}", retry=True
            ) from error
        try:
            return protocol.read_answer(body, adapter)
        except protocol.Malformed as error:
            raise DriverError(f"the host process: {error}", retry=True) from error

    def _turn(self, *, look: bool) -> anyio.CapacityLimiter:
        """Made on first use: a limiter belongs to an event loop, a driver is made before one."""
        if self._looks is None or self._verbs is None:
            self._looks = anyio.CapacityLimiter(_LOOKS_MAX)
            self._verbs = anyio.CapacityLimiter(_VERBS_MAX)
        return self._looks if look else self._verbs

    async def _exchange(self, frame: bytes) -> bytes:
        connection = await self._connection()
        try:
            await connection.send(frame)
            header = await _receive_exactly(connection, protocol.HEADER_BYTES)
            body = await _receive_exactly(connection, protocol.frame_length(header))
        except BaseException:
            # Cut off in the middle: whatever comes next on it is the answer to somebody else.
            await connection.aclose()
            raise
        self._idle.append(connection)
        return body

    async def _connection(self) -> Stream:
        """An idle connection, or a new one. A host process that was restarted since has closed
        its end of those there are."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.at_end():
                return connection
            await connection.aclose()
        return await Stream.connect(self._socket)


def _hidden(path: Path) -> bool:
    """Whether the workspace whose socket that is stands still."""
    return path.with_suffix(protocol.HIDDEN_SOCKET).exists()


async def _receive_exactly(stream: Stream, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        parts += await stream.receive(count - len(parts))
    return bytes(parts)


def _for_host(spec: Spec) -> Spec:
    """Without what the agent is given: the privileged process need not see it."""
    return replace(spec, env={}, clone=None, scripts=(), files={}, apps=())


def _sha256(control_key: str) -> str:
    return hashlib.sha256(control_key.encode()).hexdigest()
