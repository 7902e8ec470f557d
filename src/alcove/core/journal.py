"""Events, last uses and finished claims that are written a moment after the answer is sent.

For what is frequent and changes nothing else (an exec, a file read): its event must not cost the
caller a transaction. What a command wrote goes with its event, in one transaction. The queue is
bounded, in number and in bytes; when it is full, `record` waits, so that nothing is dropped. An
orderly stop writes all of it; a `kill -9` may lose what was recorded in the last fraction of a
second (`FLUSH_S`). Changes of state never go this way.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import anyio
from anyio import lowlevel

from alcove.core.exec_outputs import text_of
from alcove.model.errors import Unavailable
from alcove.model.event import NewEvent
from alcove.model.exec_output import ExecOutput
from alcove.model.workspace import WorkspaceId
from alcove.store import events, exec_outputs, pools, workspaces
from alcove.store.pools import Given

if TYPE_CHECKING:
    from alcove.core.app import Core

log = logging.getLogger(__name__)

WAITING_MAX: Final = 10_000
WAITING_BYTES_MAX: Final = 64 << 20
"""Of output that waits with its events."""
BATCH_MAX: Final = 200
BATCH_BYTES: Final = 2 << 20
LONG_BYTES: Final = 4096
FLUSH_S: Final = 0.2
RETRY_S: Final = 1.0
CLOSE_S: Final = 10.0
TOUCH_S: Final = 30.0
"""A workspace's last use is written at most this often."""


@dataclass(frozen=True, slots=True)
class _Entry:
    event: NewEvent
    output: ExecOutput | None

    @property
    def size(self) -> int:
        """Bytes of output."""
        if self.output is None:
            return 0
        return len(self.output.stdout.kept) + len(self.output.stderr.kept)


class Journal:
    """One per process."""

    def __init__(self) -> None:
        self._waiting: list[_Entry] = []
        self._bytes = 0
        self._used: dict[WorkspaceId, datetime] = {}
        self._given: dict[WorkspaceId, Given] = {}
        self._written: dict[WorkspaceId, datetime] = {}
        self._work = anyio.Event()
        self._room = anyio.Event()
        self._turn = anyio.Lock()
        """Of whoever writes: two at once would write the same events, and drop the next ones."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def record(self, event: NewEvent, output: ExecOutput | None = None) -> None:
        """Have it written soon, with what the command that it tells of wrote. Waits while the
        queue is full."""
        while len(self._waiting) >= WAITING_MAX or self._bytes >= WAITING_BYTES_MAX:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()
        entry = _Entry(event, output)
        self._waiting.append(entry)
        self._bytes += entry.size
        self._work.set()

    def used(self, workspace: WorkspaceId, at: datetime) -> None:
        """Note that somebody uses it; costs no transaction most of the time."""
        written = self._written.get(workspace)
        if written is None or (at - written).total_seconds() >= TOUCH_S:
            self._used[workspace] = at
            self._work.set()

    def given(self, one: Given) -> None:
        """Note that a claimed workspace is its owner's. If this is lost, the reconciler finds
        out by telling its agent once more."""
        self._given[one.id] = one
        self._work.set()

    async def run(self, core: "Core") -> None:
        """Write until cancelled, and then what is left."""
        try:
            while True:
                await self._work.wait()
                await anyio.sleep(FLUSH_S)
                await self._flush_patiently(core)
        finally:
            await self.close(core)

    async def close(self, core: "Core") -> None:
        """Write what waits, as far as the database lets us."""
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._flush_patiently(core, attempts=5)

    async def flush(self, core: "Core") -> None:
        """Write all that waits now."""
        async with self._turn:
            self._work = anyio.Event()
            while self._waiting or self._used or self._given:
                batch = self._batch()
                await self._write(core, batch)
                del self._waiting[: len(batch)]
                self._bytes -= sum(entry.size for entry in batch)
                core.metrics.journal_waiting.set(len(self._waiting))
                self._room.set()

    def _batch(self) -> Sequence[_Entry]:
        """The first that wait; few where their output is much."""
        batch: list[_Entry] = []
        size = 0
        for entry in self._waiting[:BATCH_MAX]:
            batch.append(entry)
            size += entry.size
            if size >= BATCH_BYTES:
                break
        return batch

    async def _flush_patiently(self, core: "Core", attempts: float = math.inf) -> None:
        while attempts > 0:
            attempts -= 1
            try:
                await self.flush(core)
            except Unavailable as error:
                log.warning("%d events wait: %s", len(self._waiting), error)
                await anyio.sleep(RETRY_S)
            else:
                return

    async def _write(self, core: "Core", batch: Sequence[_Entry]) -> None:
        used, given, now = dict(self._used), dict(self._given), core.clock()
        outputs = await _with_texts(batch)
        async with core.db.transaction() as tx:
            if given:
                await pools.confirm(tx, given.values())
            if used:
                await workspaces.touch(tx, used)
            if outputs:
                await exec_outputs.add(tx, outputs)
            if batch:
                await events.append(tx, now, *(entry.event for entry in batch))
        for id in given:
            self._given.pop(id, None)
        for id, at in used.items():
            if self._used.get(id) == at:
                del self._used[id]
        if len(self._written) > WAITING_MAX:
            self._written.clear()
        self._written |= used


async def _with_texts(batch: Sequence[_Entry]) -> Sequence[tuple[ExecOutput, str]]:
    """Letting others have the thread meanwhile, where there is much to read."""
    found: list[tuple[ExecOutput, str]] = []
    for entry in batch:
        if entry.output is not None:
            found.append((entry.output, text_of(entry.output)))
        if entry.size >= LONG_BYTES:
            await lowlevel.checkpoint()
    return found
