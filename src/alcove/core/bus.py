"""Wake-ups by topic, inside one process. A wake-up carries no data: who wakes up looks.

A wake-up between two waits is not lost: the next wait returns at once. On PostgreSQL the topic
of events is fed from the other servers too, see `core/notifications.py`.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio

from alcove.model.errors import Unavailable
from alcove.model.workspace import WorkspaceId

SUBSCRIPTIONS_MAX: Final = 20_000
EVENTS: Final = "events"
"""Events were committed, here or by another server."""
RECONCILE: Final = "reconcile"
"""A workspace is due."""
SNAPSHOTS: Final = "snapshots"
"""A snapshot is to be taken or removed."""
POOLS: Final = "pools"
"""A pool's member was claimed, or came to run, or ended."""
STARTUPS: Final = "startups"
"""A workspace was claimed that has start-up steps."""
TIMERS: Final = "timers"
"""A template version became active, or an image is wanted."""


def workspace_topic(id: WorkspaceId) -> str:
    """A row of this workspace changed, by this server."""
    return f"workspace:{id}"


class Subscription:
    """One listener. Only the task that made it waits on it."""

    def __init__(self) -> None:
        self._woken = anyio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a wake-up since the last wait; answers whether there was one in time."""
        with anyio.move_on_after(timeout_s):
            await self._woken.wait()
        woken = self._woken.is_set()
        if woken:
            self._woken = anyio.Event()
        return woken


class Bus:
    def __init__(self) -> None:
        self._topics: dict[str, set[Subscription]] = {}
        self._count = 0

    def wake(self, topic: str) -> None:
        for subscription in self._topics.get(topic, ()):
            subscription.wake()

    @contextmanager
    def subscribe(self, *topics: str) -> Generator[Subscription]:
        """Listen while the block runs. Look after subscribing, or you may miss what came before.

        Raises Unavailable when too many listen already.
        """
        if self._count >= SUBSCRIPTIONS_MAX:
            raise Unavailable(f"{SUBSCRIPTIONS_MAX} listeners are connected; try again later")
        subscription = Subscription()
        self._count += 1
        for topic in topics:
            self._topics.setdefault(topic, set()).add(subscription)
        try:
            yield subscription
        finally:
            self._count -= 1
            for topic in topics:
                listeners = self._topics[topic]
                listeners.discard(subscription)
                if not listeners:
                    del self._topics[topic]
