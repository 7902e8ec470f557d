"""One recording while it happens: frames go to the file first, and then to whoever reads them.

A task reads ahead of the reader, a few frames at a time, and another one writes in a thread what
has come meanwhile, so that the reader waits for a write to the page cache and never for the disk.
A third one has chunks that are complete brought to the disk and tells of them in the event log.
"""

import json
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import anyio
from anyio import to_thread

from alcove.core.frames import Frame, Process
from alcove.core.recording_file import CastFile, Full, Item
from alcove.model.errors import Unavailable
from alcove.model.recording import Chunk, RecordingId

HELD_MAX: Final = 1 << 20
"""Bytes of frames that one recording holds in memory; the process waits then."""
THREADS: Final = 4
BATCH_BYTES: Final = 64 << 10
BATCH_S: Final = 0.005
"""While output comes in a stream it is written so much at a time, or so often. What comes after
a pause as long as that, such as the echo of a key, is written at once."""
TELL_S: Final = 0.1
"""So often at most chunks are brought to the disk and told of: those of a stream together."""
IDLE_S: Final = 0.7
"""After so long without output, what has come before is a chunk."""
_OUTPUT: Final = frozenset({Frame.STDOUT, Frame.STDERR})


@dataclass(slots=True)
class Recorders:
    """What the recordings of one server share."""

    server: str = ""
    """Name of the directory that they are in, once it was looked up."""
    used: int = 0
    """Bytes of all recordings in the directory, as of the keeper's last look and since."""
    open: dict[RecordingId, "Recorder"] = field(default_factory=dict[RecordingId, "Recorder"])
    read: dict[tuple[str, str], datetime] = field(default_factory=dict[tuple[str, str], datetime])
    writers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(THREADS))
    syncers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(THREADS))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a recording that is over. `failed`: why it stopped before its session did."""

    size: int
    chunks: Sequence[Chunk]
    """Those that nobody was told of yet."""
    number: int
    head: str
    exit_code: int | None
    failed: str | None


class Recorder(Process):
    """A process whose frames are written down before anybody sees them."""

    def __init__(
        self,
        process: Process,
        file: CastFile,
        shared: Recorders,
        *,
        required: bool,
        used_max: int,
        tell: Callable[[Sequence[Chunk]], Coroutine[Any, Any, None]],
        on_failure: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        self._process, self._file, self._shared = process, file, shared
        self._required, self._used_max = required, used_max
        self._tell, self._on_failure = tell, on_failure
        self._began = time.monotonic()
        self._frames: list[tuple[Frame, bytes]] = []
        """Read, and not written yet."""
        self._items: list[Item] = []
        self._ready: deque[tuple[Frame, bytes]] = deque()
        """Written, and not seen yet."""
        self._held = self._waiting = 0
        self._wrote = 0.0
        self._chunks: list[Chunk] = []
        self._work, self._seen = anyio.Event(), anyio.Event()
        self._room, self._chunked, self._batch = anyio.Event(), anyio.Event(), anyio.Event()
        self._read_all = self._over = False
        self._broken: Exception | None = None
        self._failed: str | None = None
        self._exit_code: int | None = None

    @property
    def size(self) -> int:
        return self._file.size

    def watch(self, see: Callable[[Frame, bytes], None]) -> None:
        self._process.watch(see)

    async def frames(self) -> AsyncIterator[tuple[Frame, bytes]]:
        while True:
            while self._ready:
                kind, payload = self._ready.popleft()
                self._held -= len(payload)
                if self._held < HELD_MAX:
                    self._room.set()
                yield kind, payload
            if self._over:
                break
            self._seen = anyio.Event()
            await self._seen.wait()
        if self._broken is not None:
            raise self._broken

    async def send(self, kind: Frame, payload: bytes = b"") -> None:
        if self._failed is not None and self._required:
            raise Unavailable(_ended(self._failed))
        if kind is Frame.RESIZE:
            self._note_size(payload)
        await self._process.send(kind, payload)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Records for as long as the block lasts; what the block raises comes out as it is."""
        failed: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pump)
            tasks.start_soon(self._write)
            tasks.start_soon(self._sync)
            try:
                yield
            except Exception as error:
                failed = error
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def end(self) -> Outcome:
        """Write what was read and not written, and close the file. Call it once, after the
        block and shielded. Never raises."""
        chunks: list[Chunk] = list(self._chunks)
        try:
            if self._failed is None:
                items, self._items = self._items, []
                more = lambda: self._file.finish(items, self._at())  # noqa: E731
                chunks += await to_thread.run_sync(more, limiter=self._shared.writers)
            else:
                chunks += self._file.complete()
            await to_thread.run_sync(self._file.sync, limiter=self._shared.syncers)
        except (OSError, Full) as error:
            self._failed = self._failed or _why(error)
            chunks += self._file.complete()
        await to_thread.run_sync(self._file.close, limiter=self._shared.syncers)
        return Outcome(
            size=self._file.size,
            chunks=chunks,
            number=self._file.chunks,
            head=self._file.head,
            exit_code=self._exit_code,
            failed=self._failed,
        )

    async def _pump(self) -> None:
        try:
            async for kind, payload in self._process.frames():
                if kind in _OUTPUT:
                    self._items.append(Item(self._at(), "o", payload))
                elif kind is Frame.EXIT:
                    self._exit_code = _exit_code(payload)
                self._frames.append((kind, payload))
                self._held += len(payload)
                self._waiting += len(payload)
                self._work.set()
                if self._waiting >= BATCH_BYTES:
                    self._batch.set()
                if self._held >= HELD_MAX:
                    self._room = anyio.Event()
                    await self._room.wait()
        except Exception as error:
            self._broken = error
        self._read_all = True
        self._work.set()
        self._batch.set()

    async def _write(self) -> None:
        while not self._over:
            with anyio.move_on_after(IDLE_S if self._file.incomplete else None):
                await self._work.wait()
                await self._gather()
            self._work, self._waiting = anyio.Event(), 0
            frames, self._frames = self._frames, []
            last = self._read_all and not frames
            if not last:
                await self._written()
            if self._failed is not None and self._required:
                return
            self._ready += frames
            self._over = last
            if self._read_all:
                self._work.set()
            self._seen.set()

    async def _gather(self) -> None:
        """Wait for more of a stream, a moment."""
        if time.monotonic() - self._wrote > BATCH_S or self._read_all:
            return
        if self._waiting < BATCH_BYTES:
            self._batch = anyio.Event()
            with anyio.move_on_after(BATCH_S):
                await self._batch.wait()

    async def _written(self) -> None:
        if self._failed is not None:
            return
        items, self._items = self._items, []
        before = self._file.size
        try:
            self._check_room()
            chunks = await to_thread.run_sync(
                self._file.write, items, limiter=self._shared.writers
            )
        except (OSError, Full) as error:
            await self._stop(_why(error))
            return
        except BaseException:
            # Cancelled before the thread began: `end` writes them.
            self._items = items + self._items
            raise
        self._wrote = time.monotonic()
        self._shared.used += self._file.size - before
        if chunks:
            self._chunks += chunks
            self._chunked.set()

    async def _sync(self) -> None:
        began = 0.0
        while True:
            await self._chunked.wait()
            await anyio.sleep(max(0.0, began + TELL_S - time.monotonic()))
            began = time.monotonic()
            self._chunked = anyio.Event()
            try:
                await to_thread.run_sync(self._file.sync, limiter=self._shared.syncers)
            except OSError as error:
                await self._stop(_why(error))
                return
            told = list(self._chunks)
            if not told:
                # Told of with those before.
                continue
            try:
                await self._tell(told)
            except Unavailable:
                # The database is away; the file goes on, and these are told of with the next.
                continue
            del self._chunks[: len(told)]

    async def _stop(self, why: str) -> None:
        """It cannot be written any more. Where it must be, nobody sees more of the terminal."""
        if self._failed is not None:
            return
        self._failed = why
        if self._required:
            self._ready.append((Frame.STDOUT, f"\r\n[{_ended(why)}]\r\n".encode()))
            self._broken = Unavailable(_ended(why))
            self._over = True
            self._seen.set()
        with anyio.CancelScope(shield=True), suppress(Unavailable):
            await self._on_failure(why)

    def _check_room(self) -> None:
        if self._shared.used >= self._used_max:
            raise Full(f"all recordings together have {self._used_max >> 20} MiB")

    def _note_size(self, payload: bytes) -> None:
        try:
            said = json.loads(payload)
            size = f"{int(said['cols'])}x{int(said['rows'])}"
        except (ValueError, KeyError, TypeError):
            return
        self._items.append(Item(self._at(), "r", size.encode()))
        self._work.set()

    def _at(self) -> float:
        # Not the time of day, which may be set back meanwhile.
        return time.monotonic() - self._began


def _ended(why: str) -> str:
    return f"this terminal is ended, because it must be recorded and cannot be any more: {why}"


def _why(error: OSError | Full) -> str:
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return str(error)


def _exit_code(payload: bytes) -> int | None:
    try:
        return int(json.loads(payload)["exit_code"])
    except (ValueError, KeyError, TypeError):
        return None
