"""Keeping recordings: ends those whose server was killed, removes those whose time is over.

A file that is being written is locked by its writer, so that a server which finds it unlocked
knows that nobody writes any more, whichever of several servers that share the directory it is.
Only the server that has the file ends a recording; a row whose server never comes back is removed
when its time is over, by any server.
"""

import logging
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from alcove.core import exec_outputs
from alcove.core.app import Core
from alcove.core.recording_file import digest_of, unwritten, whole_lines
from alcove.core.recording_proof import chunks_of
from alcove.core.recording_reading import remove
from alcove.core.recordings import directory_of, path_of, server_name, settle
from alcove.model.access import SYSTEM
from alcove.model.errors import Unavailable
from alcove.model.recording import (
    Chunk,
    Recording,
    RecordingState,
    first_head,
    next_head,
)
from alcove.store import recordings

log = logging.getLogger(__name__)

POLL_S: Final = 30.0
BATCH: Final = 200
GRACE_S: Final = 600.0
"""A file without a row is somebody's who has not written the row yet, for so long at most."""
AWAY: Final = timedelta(days=1)
"""How long after its time a recording of another server is left to that server."""


async def run(core: Core) -> None:
    """Until cancelled."""
    while True:
        try:
            await tick(core)
        except (Unavailable, OSError) as error:
            log.warning("recordings wait: %s", error)
        await anyio.sleep(POLL_S)


async def tick(core: Core) -> None:
    """One look at all. Raises Unavailable, and OSError for a directory that cannot be read."""
    await _expire(core)
    await exec_outputs.tidy(core)
    if not await to_thread.run_sync(directory_of(core).is_dir):
        return
    server = await server_name(core)
    async with core.db.read() as tx:
        found = await recordings.open_on(tx, server, limit=BATCH)
    for recording in found:
        if recording.id not in core.recorders.open:
            await _end_if_lost(core, recording)
    await _sweep(core)


async def _expire(core: Core) -> None:
    now = core.clock()
    async with core.db.read() as tx:
        over = await recordings.expired(tx, now=now, limit=BATCH)
    for recording in over:
        ours = recording.server == core.recorders.server
        late = recording.expires_at is not None and recording.expires_at + AWAY <= now
        if ours or late:
            await remove(core, SYSTEM, recording, why="its time is over")


async def _end_if_lost(core: Core, recording: Recording) -> None:
    chain = await chunks_of(core, recording)
    last = chain[-1] if chain else Chunk(0, 0, "", first_head(recording.id))
    try:
        end = await to_thread.run_sync(_rest, path_of(core, recording), last)
    except FileNotFoundError:
        ended = replace(
            recording,
            state=RecordingState.LOST,
            detail="the file is gone",
            size=last.end,
            chunks=last.number,
            digest=last.head,
        )
        await settle(core, SYSTEM, ended, ())
        return
    if end is None:
        return
    rest, size, at = end
    final = rest or last
    ended = replace(
        recording,
        state=RecordingState.LOST,
        detail="the server was killed; the last moments may be missing",
        size=size,
        chunks=final.number,
        digest=final.head,
        ended_at=max(at, recording.started_at),
    )
    log.warning("recording %s was found without its writer, and ended", recording.id)
    await settle(core, SYSTEM, ended, () if rest is None else (rest,))


def _rest(path: Path, last: Chunk) -> tuple[Chunk | None, int, datetime] | None:
    """What is in the file behind the last chunk that the log has, as a chunk; the size that the
    file has now, and when it was last written. None while somebody writes it.

    Half a line at the end, which only a crash of the machine leaves, is cut off; what the log has
    is never touched.
    """
    fd = unwritten(path)
    if fd is None:
        return None
    try:
        found = os.fstat(fd)
        at = datetime.fromtimestamp(found.st_mtime, UTC)
        size = max(whole_lines(fd, found.st_size), min(last.end, found.st_size))
        if size < found.st_size:
            os.ftruncate(fd, size)
        if size <= last.end:
            return None, last.end, at
        digest = digest_of(fd, last.end, size)
        os.fdatasync(fd)
        head = next_head(last.head, digest)
        return Chunk(last.number + 1, size, digest, head), size, at
    finally:
        os.close(fd)


async def _sweep(core: Core) -> None:
    """Files without a row go; the sizes of all are added up."""
    files = await to_thread.run_sync(_files, directory_of(core))
    core.recorders.used = sum(size for _, size, _ in files)
    core.metrics.recordings_used.set(core.recorders.used)
    old = [path for path, _, age in files if age > GRACE_S]
    for start in range(0, len(old), BATCH):
        paths = {path.stem: path for path in old[start : start + BATCH]}
        async with core.db.read() as tx:
            known = await recordings.known(tx, paths.keys())
        for id in paths.keys() - known:
            log.warning("%s is a recording without a record, and removed", paths[id].name)
            paths[id].unlink(missing_ok=True)


def _files(directory: Path) -> list[tuple[Path, int, float]]:
    """Each with its size, and for how many seconds it was not written."""
    now = time.time()
    found: list[tuple[Path, int, float]] = []
    for path in directory.glob("*/rec-*.cast"):
        try:
            said = path.lstat()
        except FileNotFoundError:
            continue
        found.append((path, said.st_size, now - said.st_mtime))
    return found
