"""Who is at the other end of one SSH connection, and what they may open on it.

Every channel goes through `Caller.enter`: it checks the permission as of now, brings the
workspace up, and tells of the channel, opened or refused.
"""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncssh
from anyio.abc import TaskGroup
from asyncssh.constants import DISC_BY_APPLICATION

from alcove.core import access
from alcove.core.app import Core
from alcove.core.intents import event as told_of
from alcove.gateway.bringing import Say, nobody, running
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError
from alcove.model.event import EventKind
from alcove.model.workspace import Workspace

TOLD_MAX: Final = 512


@dataclass(slots=True)
class Caller:
    """What each channel of a connection is given."""

    core: Core
    actor: Actor
    """As of the beginning; `enter` looks at the rights as they are now."""
    workspace: Workspace
    """As last seen."""
    connection: asyncssh.SSHServerConnection
    tasks: TaskGroup
    """Of the connection: what is started in it is cancelled when the connection ends."""
    session: str
    """Id of the connection in events."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    """For every process that is started after it was set, such as `SSH_AUTH_SOCK`."""
    goodbyes: set[Callable[[str], None]] = field(default_factory=set[Callable[[str], None]])
    """How to say why it ends, on each channel that has somebody who reads."""
    channels: Counter[str] = field(default_factory=Counter[str])
    """Shells, commands and SFTP that are open, by kind."""
    forwards: int = 0
    """Forwarded connections that are open."""
    listeners: int = 0
    """Sockets that listen inside for this connection."""

    async def enter(
        self,
        kind: str,
        permission: Permission,
        *,
        say: Say = nobody,
        once: str | None = None,
        **detail: object,
    ) -> Workspace:
        """The workspace, running; `channel.opened` or `channel.refused` is told with this detail:
        each time, or once an hour for what `once` names.

        `kind` is a word: shell, exec, sftp, forward, listen, agent, x11. Raises NotFound, Denied,
        Conflict and Unavailable; their text is for the person at the other end.
        """
        try:
            found = await access.workspace(self.core, self.actor, self.workspace.id, permission)
            self.workspace = await running(self.core, self.actor, found, say)
        except AlcoveError as error:
            await self.refused(kind, str(error), once=once, **detail)
            raise
        if self._is_news(f"opened {kind}", once):
            await self.tell(EventKind.CHANNEL_OPENED, kind, detail)
        self.core.journal.used(self.workspace.id, self.core.clock())
        return self.workspace

    async def refused(
        self, kind: str, why: str, *, once: str | None = None, **detail: object
    ) -> None:
        """Tell of a channel that is not opened, for a reason other than those of `enter`."""
        if self._is_news(f"refused {kind}", once):
            await self.tell(EventKind.CHANNEL_REFUSED, kind, {**detail, "why": why[:TOLD_MAX]})

    @contextmanager
    def channel(self, kind: str) -> Generator[None]:
        """Count one that is open while the block runs."""
        self.channels[kind] += 1
        try:
            yield
        finally:
            self.channels[kind] -= 1

    def _is_news(self, what: str, once: str | None) -> bool:
        if once is None:
            return True
        key = f"{self.workspace.id} {what} {once}"
        return self.core.doors.is_news(self.actor.id, key, 0, now=self.core.clock())

    async def tell(self, event: EventKind, kind: str, detail: dict[str, object]) -> None:
        """An event about the workspace, from this connection."""
        said = {name: _short(value) for name, value in detail.items()}
        said = {"kind": kind, "session": self.session, **said}
        told = told_of(event, self.actor, self.workspace, said, at=self.core.clock())
        await self.core.journal.record(told)


def end(caller: Caller, why: str) -> None:
    """End the connection. A client shows what its own channel says and not why the whole
    connection ends, once it has a channel."""
    for goodbye in tuple(caller.goodbyes):
        goodbye(why)
    caller.connection.disconnect(DISC_BY_APPLICATION, why)


def _short(value: object) -> object:
    return value[:TOLD_MAX] if isinstance(value, str) else value
