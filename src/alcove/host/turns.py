"""One verb at a time for each workspace; verbs on different workspaces do not wait."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from alcove.model.workspace import WorkspaceId


@dataclass(slots=True)
class _Turn:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class Turns:
    """A lock per workspace, kept only while somebody has it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turns: dict[WorkspaceId, _Turn] = {}

    @contextmanager
    def of(self, workspace: WorkspaceId) -> Generator[None]:
        with self._guard:
            turn = self._turns.setdefault(workspace, _Turn())
            turn.users += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._guard:
                turn.users -= 1
                if not turn.users:
                    del self._turns[workspace]

    def taken(self, workspace: WorkspaceId) -> bool:
        """Whether a verb is under way, or waits to be."""
        with self._guard:
            return workspace in self._turns
