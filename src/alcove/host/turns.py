"""One verb at a time for each workspace (or snapshot); verbs on different ones do not wait."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T", bound=str)


@dataclass(slots=True)
class _Turn:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class Turns(Generic[T]):
    """A lock per id, kept only while somebody has it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turns: dict[T, _Turn] = {}

    @contextmanager
    def of(self, id_: T) -> Generator[None]:
        with self._guard:
            turn = self._turns.setdefault(id_, _Turn())
            turn.users += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._guard:
                turn.users -= 1
                if not turn.users:
                    del self._turns[id_]

    def taken(self, id_: T) -> bool:
        """Whether a verb is under way, or waits to be."""
        with self._guard:
            return id_ in self._turns
