"""Sessions of clients that begin with a handshake: a signed name and nothing kept.

A session's id proves which credential it was given to, so that any server can check it, a
restart ends none, and nobody can use another's. All it is needed for is telling the requests
of one client from those of another when one is to be cancelled.
"""

import hashlib
import hmac
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio

from alcove.core.app import Core
from alcove.model.access import Actor

_RANDOM: Final = 16
_LENGTH: Final = 2 * (_RANDOM + hashlib.sha256().digest_size)


def new_session(core: Core, actor: Actor) -> str:
    """A session of this credential's."""
    name = secrets.token_hex(_RANDOM)
    return name + _signature(core, actor, name)


def is_session(core: Core, actor: Actor, id: str) -> bool:
    """Whether it was given to this credential."""
    if len(id) != _LENGTH or not id.isascii():
        return False
    name, signature = id[: 2 * _RANDOM], id[2 * _RANDOM :]
    return hmac.compare_digest(signature, _signature(core, actor, name))


def _signature(core: Core, actor: Actor, name: str) -> str:
    said = f"mcp-session:{name}:{actor.id}:{actor.credential}"
    return hmac.new(core.secret, said.encode(), hashlib.sha256).hexdigest()


class UnderWay:
    """Calls that run on this server, by session and the client's own number of the request."""

    def __init__(self) -> None:
        self._scopes: dict[tuple[str, str], anyio.CancelScope] = {}

    @contextmanager
    def call(self, session: str | None, request: object) -> Generator[anyio.CancelScope]:
        """Runs the block so that `cancel` can end it."""
        key = (session or "", repr(request))
        with anyio.CancelScope() as scope:
            if session is not None:
                self._scopes[key] = scope
            try:
                yield scope
            finally:
                if self._scopes.get(key) is scope:
                    del self._scopes[key]

    def cancel(self, session: str, request: object) -> None:
        """End that call; nothing happens if it is over, or somebody else's."""
        if scope := self._scopes.get((session, repr(request))):
            scope.cancel()

    def cancel_all(self, session: str) -> None:
        for (owner, _), scope in list(self._scopes.items()):
            if owner == session:
                scope.cancel()
