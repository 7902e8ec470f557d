"""Recording of terminals: one seam that each way in passes, so that none can forget it; and the
verbs of what was recorded.

A recording is of one connection: what one person saw, with the end of what was on the screen
before. Its bytes are in `server_dir/recordings/<year>-<month>/<id>.cast`. That directory has a
name of its own, which is in each row (`server`): several servers may share the directory, and one
that does not have it says which has. Input is not recorded: what is typed and not echoed is
mostly passwords.
"""

import logging
import secrets
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from alcove.core import identity
from alcove.core.app import Core
from alcove.core.exec_outputs import expiry
from alcove.core.frames import Process
from alcove.core.names import new_recording_id
from alcove.core.recorder import Outcome, Recorder
from alcove.core.recording_file import CastFile, Full, Header
from alcove.core.recording_search import text_of
from alcove.model.access import Actor
from alcove.model.errors import Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.recording import (
    Chunk,
    Recording,
    RecordingPolicy,
    RecordingState,
    SessionKind,
)
from alcove.model.workspace import Workspace
from alcove.store import events, recordings

log = logging.getLogger(__name__)

TITLE_MAX: Final = 200
END_S: Final = 15.0
NAME_FILE: Final = "name"


@asynccontextmanager
async def recorded(
    core: Core,
    actor: Actor,
    workspace: Workspace,
    process: Process,
    *,
    kind: SessionKind,
    title: str,
    size: tuple[int, int],
) -> AsyncGenerator[Process]:
    """The same process, whose frames are written down before anybody sees them.

    `size`: columns and rows. Raises Unavailable where recording is required and cannot be done.
    """
    policy = RecordingPolicy(core.settings.recording)
    if policy is RecordingPolicy.OFF:
        yield process
        return
    begun = await _begin(core, actor, workspace, kind=kind, title=title, size=size)
    if isinstance(begun, str):
        if policy is RecordingPolicy.REQUIRE:
            raise Unavailable(
                f"a terminal must be recorded here, and cannot be: {begun}; "
                "whoever runs the server can make room or change its setting `recording`"
            )
        yield process
        return
    teller = _Teller(core, actor, begun.recording)
    recorder = Recorder(
        process,
        begun.file,
        core.recorders,
        required=policy is RecordingPolicy.REQUIRE,
        used_max=core.settings.recordings_mib_max << 20,
        tell=teller.extended,
        on_failure=teller.failed,
    )
    core.recorders.open[begun.recording.id] = recorder
    try:
        async with recorder.running():
            yield recorder
    finally:
        with anyio.move_on_after(END_S, shield=True):
            await teller.ended(await recorder.end())
        del core.recorders.open[begun.recording.id]


@dataclass(frozen=True, slots=True)
class _Begun:
    recording: Recording
    file: CastFile


async def _begin(
    core: Core,
    actor: Actor,
    workspace: Workspace,
    *,
    kind: SessionKind,
    title: str,
    size: tuple[int, int],
) -> _Begun | str:
    """The file with its first line, and the row; or why there can be none."""
    now = core.clock()
    recording = Recording(
        id=new_recording_id(),
        workspace=workspace.id,
        owner=workspace.owner,
        actor=actor.id,
        kind=kind,
        title="".join(c for c in title if c.isprintable())[:TITLE_MAX],
        state=RecordingState.RECORDING,
        server="",
        columns=size[0],
        rows=size[1],
        size=0,
        chunks=0,
        digest="",
        exit_code=None,
        detail="",
        started_at=now,
        ended_at=None,
        expires_at=None,
    )
    file: CastFile | None = None
    try:
        recording = replace(recording, server=await server_name(core))
        file = await to_thread.run_sync(_created, core, recording, limiter=core.recorders.writers)
        detail = {"workspace": workspace.id, "name": workspace.name, "kind": str(kind)}
        async with core.db.transaction() as tx:
            await recordings.add(tx, recording, text=recording.title.casefold())
            started = _event(core, actor, recording, EventKind.RECORDING_STARTED, detail)
            await events.append(tx, now, started)
    except (OSError, Full, Unavailable) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else str(error)
        if file is not None:
            with suppress(OSError):
                await to_thread.run_sync(file.discard, limiter=core.recorders.writers)
        await _Teller(core, actor, recording).failed(why)
        return why
    core.metrics.recordings.inc()
    return _Begun(recording, file)


def _created(core: Core, recording: Recording) -> CastFile:
    used_max = core.settings.recordings_mib_max << 20
    if core.recorders.used >= used_max:
        raise Full(f"all recordings together have {used_max >> 20} MiB")
    header = Header(
        recording.columns,
        recording.rows,
        int(recording.started_at.timestamp()),
        recording.title,
    )
    size_max = core.settings.recording_mib_max << 20
    return CastFile(path_of(core, recording), recording.id, header, size_max=size_max)


@dataclass(frozen=True, slots=True)
class _Teller:
    """What the log is told of one recording."""

    core: Core
    actor: Actor
    recording: Recording

    async def extended(self, chunks: Sequence[Chunk]) -> None:
        core = self.core
        async with core.db.transaction() as tx:
            news = [extended(core, self.actor, self.recording, chunk) for chunk in chunks]
            await events.append(tx, core.clock(), *news)

    async def failed(self, why: str) -> None:
        core, recording = self.core, self.recording
        core.metrics.recordings_failed.inc()
        log.error("recording %s of %s: %s", recording.id, recording.workspace, why)
        detail = {"workspace": recording.workspace, "why": why}
        event = _event(core, self.actor, recording, EventKind.RECORDING_FAILED, detail)
        await core.journal.record(event)

    async def ended(self, outcome: Outcome) -> None:
        core, failed = self.core, outcome.failed
        state = RecordingState.FINISHED if failed is None else RecordingState.FAILED
        ended = replace(
            self.recording,
            state=state,
            size=outcome.size,
            chunks=outcome.number,
            digest=outcome.head,
            exit_code=outcome.exit_code,
            detail=failed or "",
        )
        try:
            await settle(core, self.actor, ended, outcome.chunks)
        except Unavailable as error:
            # The keeper finds its file without a writer, and ends it.
            log.warning("recording %s: %s", ended.id, error)


async def settle(core: Core, actor: Actor, ended: Recording, chunks: Sequence[Chunk]) -> None:
    """Write how a recording ended, with its last chunks and its text for searches.

    Raises Unavailable.
    """
    now = core.clock()
    path = path_of(core, ended)
    text = await to_thread.run_sync(text_of, path, limiter=core.recorders.syncers)
    ended = replace(ended, ended_at=ended.ended_at or now, expires_at=expiry(core, now))
    detail = {
        "workspace": ended.workspace,
        "state": str(ended.state),
        "size": ended.size,
        "chunks": ended.chunks,
        "head": ended.digest,
    }
    searched = f"{ended.title}\n{text}".casefold()
    async with core.db.transaction() as tx:
        if await recordings.settle(tx, ended, text=searched):
            finished = _event(core, actor, ended, EventKind.RECORDING_FINISHED, detail)
            last = [extended(core, actor, ended, chunk) for chunk in chunks]
            await events.append(tx, now, *last, finished)


def extended(core: Core, actor: Actor, recording: Recording, chunk: Chunk) -> NewEvent:
    """The event that has a chunk's digest."""
    detail = {
        "chunk": chunk.number,
        "end": chunk.end,
        "digest": chunk.digest,
        "head": chunk.head,
    }
    return _event(core, actor, recording, EventKind.RECORDING_EXTENDED, detail)


def directory_of(core: Core) -> Path:
    return core.settings.server_dir / "recordings"


def path_of(core: Core, recording: Recording) -> Path:
    month = f"{recording.started_at:%Y-%m}"
    return directory_of(core) / month / f"{recording.id}.cast"


async def server_name(core: Core) -> str:
    """The name of the directory of recordings, made where there is none. Raises OSError."""
    if not core.recorders.server:
        core.recorders.server = await to_thread.run_sync(
            _name_of, directory_of(core), limiter=core.recorders.writers
        )
    return core.recorders.server


def _name_of(directory: Path) -> str:
    directory.mkdir(mode=0o700, exist_ok=True)
    file = directory / NAME_FILE
    try:
        return file.read_text().strip()[:64]
    except FileNotFoundError:
        pass
    fresh = directory / f".{NAME_FILE}-{secrets.token_hex(8)}"
    fresh.touch(mode=0o600)
    fresh.write_text(f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}\n")
    # Of two servers that begin at once, one names it.
    with suppress(FileExistsError):
        file.hardlink_to(fresh)
    fresh.unlink()
    return file.read_text().strip()[:64]


def _event(
    core: Core, actor: Actor, recording: Recording, kind: EventKind, detail: Mapping[str, object]
) -> NewEvent:
    return identity.event(
        actor, kind, subject=recording.id, owner=recording.owner, detail=detail, at=core.clock()
    )
