"""The connections to workspaces that are open now: this server's own, and what others tell of
theirs (`live_news`). In memory only: a connection ends with its server."""

import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from alcove.model.live_session import LiveSession


def server_name() -> str:
    """The host's name, with something of this process, as several may run on one host."""
    return f"{socket.gethostname()[:48]}-{secrets.token_hex(3)}"


@dataclass(slots=True)
class _Here:
    look: Callable[[], LiveSession]
    end: Callable[[str], None]
    gone: anyio.Event = field(default_factory=anyio.Event)


@dataclass(slots=True)
class _There:
    session: LiveSession
    until: datetime
    gone: anyio.Event = field(default_factory=anyio.Event)


@dataclass(slots=True)
class Live:
    """One per server."""

    server: str = field(default_factory=server_name)
    endings: dict[str, str] = field(default_factory=dict[str, str])
    """Id to reason: of other servers' sessions, to be passed on."""
    _here: dict[str, _Here] = field(default_factory=dict[str, _Here])
    _there: dict[str, _There] = field(default_factory=dict[str, _There])

    def add(self, look: Callable[[], LiveSession], end: Callable[[str], None]) -> None:
        """`look` says what it is by now; `end` is called with the reason for whoever sits at the
        other end, and may be called twice."""
        self._here[look().id] = _Here(look, end)

    def remove(self, id: str) -> None:
        if (held := self._here.pop(id, None)) is not None:
            held.gone.set()

    def here(self) -> Sequence[LiveSession]:
        """Those of this server."""
        return [held.look() for held in self._here.values()]

    def all(self, now: datetime) -> Sequence[LiveSession]:
        """Those of all servers; of one that is silent for long, none."""
        for id in [id for id, one in self._there.items() if one.until <= now]:
            self.forget(id, self._there[id].session.server)
        return [*self.here(), *(one.session for one in self._there.values())]

    def get(self, id: str, now: datetime) -> LiveSession | None:
        if (held := self._here.get(id)) is not None:
            return held.look()
        told = self._there.get(id)
        return None if told is None or told.until <= now else told.session

    def end(self, id: str, why: str) -> None:
        """Have it ended, wherever it is. One that is over is fine."""
        if (held := self._here.get(id)) is not None:
            held.end(why)
        elif id in self._there:
            self.endings[id] = why

    async def wait_gone(self, id: str) -> None:
        """Until it is over, as far as this server knows."""
        if (one := self._here.get(id) or self._there.get(id)) is not None:
            await one.gone.wait()

    def hear(self, session: LiveSession, *, until: datetime) -> None:
        """Another server has this one; believed until then."""
        known = self._there.get(session.id)
        if known is None:
            self._there[session.id] = _There(session, until)
        elif known.session.server == session.server:
            known.session, known.until = session, until

    def forget(self, id: str, server: str) -> None:
        """That server has it no more."""
        known = self._there.get(id)
        if known is not None and known.session.server == server:
            del self._there[id]
            known.gone.set()
