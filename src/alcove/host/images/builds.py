"""Builds in the background: one at a time, one per image, none for ever; first those that
somebody waits for.

The one rule: whoever asks is answered at once; what came of it is read from `status`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from alcove.host.images.runner import Progress
from alcove.model.errors import DriverError

WAITING_MAX: Final = 64
FAILED_MAX: Final = 256
BACKOFF_S: Final = (5.0, 30.0, 120.0, 600.0)
"""Pause after the first failure, the second, …; the last one from then on."""
BACKOFF_FINAL_S: Final = 600.0
"""After a failure that trying again does not mend; the mirror may have changed after all."""

Work = Callable[[Progress], None]


class State(StrEnum):
    """What `status` answers; the words of `ImageStatus`."""

    BUILDING = "building"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """The last outcome of one image that is not ready."""

    reason: str
    attempts: int
    again_at: float


class Builds:
    """A queue and one thread. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float], *, deadline_s: float) -> None:
        self._now = now
        self._deadline_s = deadline_s
        self._lock = threading.Condition()
        self._waiting: OrderedDict[str, tuple[Work, Progress]] = OrderedDict()
        self._awaited: set[str] = set()
        self._current: tuple[str, Progress] | None = None
        self._failures: OrderedDict[str, Failure] = OrderedDict()
        self._held = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def request(self, key: str, work: Work, log: Path, *, awaited: bool = False) -> None:
        """Queue the build of `key`, unless it is under way or its backoff is not over; `awaited`
        ones go before all others, also if they were queued before. Raises DriverError when too
        many wait."""
        with self._lock:
            if awaited and key in self._waiting:
                self._awaited.add(key)
            if self._closed or key in self._waiting or self._is_current(key):
                return
            failure = self._failures.get(key)
            if failure and self._now() < failure.again_at:
                return
            if len(self._waiting) >= WAITING_MAX:
                raise DriverError(
                    f"{WAITING_MAX} images wait to be built; try again later", retry=True
                )
            progress = Progress(log, deadline_s=self._deadline_s)
            self._waiting[key] = (work, progress)
            if awaited:
                self._awaited.add(key)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="images", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def status(self, key: str) -> tuple[State, str] | None:
        """State and sentence of a build that waits, runs or failed; None otherwise."""
        with self._lock:
            if self._current and self._current[0] == key:
                return State.BUILDING, self._current[1].sentence
            if key in self._waiting:
                return State.BUILDING, self._waiting[key][1].sentence
            if failure := self._failures.get(key):
                return State.FAILED, failure.reason
        return None

    def known(self) -> list[str]:
        """Keys of everything that waits, runs or failed."""
        with self._lock:
            current = [self._current[0]] if self._current else []
            return [*current, *self._waiting, *self._failures]

    def forget(self, key: str) -> None:
        """Forget a failure: its image is not asked for any more."""
        with self._lock:
            self._failures.pop(key, None)

    def cancel(self, key: str) -> None:
        """End the build of `key`, if there is one; it counts as failed."""
        with self._lock:
            if self._current and self._current[0] == key:
                self._current[1].cancelled.set()
            self._waiting.pop(key, None)
            self._awaited.discard(key)

    def close(self, *, wait_s: float = 10.0) -> None:
        """End everything; nothing is built afterwards."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            if self._current:
                self._current[1].cancelled.set()
            self._lock.notify_all()
            thread = self._thread
        if thread:
            thread.join(wait_s)

    def idle(self) -> bool:
        with self._lock:
            return not self._waiting and self._current is None

    def exclusively(self, act: Callable[[], None]) -> bool:
        """Do `act` while no build runs; False, without doing it, when one does."""
        with self._lock:
            if self._current is not None or self._held:
                return False
            self._held = True
        try:
            act()
        finally:
            with self._lock:
                self._held = False
                self._lock.notify_all()
        return True

    def _is_current(self, key: str) -> bool:
        return self._current is not None and self._current[0] == key

    def _run(self) -> None:
        while True:
            with self._lock:
                while (self._held or not self._waiting) and not self._closed:
                    self._lock.wait()
                if self._closed:
                    return
                key = next((k for k in self._waiting if k in self._awaited), None)
                key = key or next(iter(self._waiting))
                work, progress = self._waiting.pop(key)
                self._awaited.discard(key)
                self._current = (key, progress)
            reason, retry = self._attempt(work, progress)
            with self._lock:
                self._current = None
                self._note(key, reason, retry=retry)
                self._lock.notify_all()

    def _attempt(self, work: Work, progress: Progress) -> tuple[str, bool]:
        """Do it; answers why it failed (or "") and whether that can pass."""
        try:
            progress.begin()
            work(progress)
        except DriverError as error:
            reason, retry = str(error), error.retry
        except OSError as error:
            reason, retry = f"{progress.sentence}: {error}", True
        except Exception as error:
            reason, retry = f"a bug: {type(error).__name__}: {error}", False
        else:
            return "", True
        progress.log(f"== failed: {reason}")
        return reason, retry

    def _note(self, key: str, reason: str, *, retry: bool) -> None:
        before = self._failures.pop(key, None)
        if not reason:
            return
        attempts = before.attempts + 1 if before else 1
        pause = BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1] if retry else BACKOFF_FINAL_S
        self._failures[key] = Failure(reason, attempts, self._now() + pause)
        while len(self._failures) > FAILED_MAX:
            self._failures.popitem(last=False)
