# Made by tools/async_to_sync.py from _async/client.py: change that one.
"""The client: one object, its resources as attributes."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

import httpx

from alcove.sdk._sync.events import Events
from alcove.sdk._sync.exec_outputs import ExecOutputs
from alcove.sdk._sync.live_sessions import LiveSessions
from alcove.sdk._sync.pools import Pools
from alcove.sdk._sync.recordings import Recordings
from alcove.sdk._sync.sandboxes import TTL, Sandbox, Sandboxes, temporary
from alcove.sdk._sync.server import Server
from alcove.sdk._sync.snapshots import Snapshots
from alcove.sdk._sync.ssh import Ssh
from alcove.sdk._sync.templates import Templates
from alcove.sdk._sync.tokens import Tokens
from alcove.sdk._sync.transport import TIMEOUT_S, Transport
from alcove.sdk._sync.users import Users
from alcove.sdk._sync.workspaces import Workspaces
from alcove.sdk.credentials import resolve
from alcove.sdk.retry import RETRIES


class Alcove:
    """A connection to an Alcove server.

    Without arguments it takes `ALCOVE_URL` and `ALCOVE_TOKEN`, else what `alcove login` stored.
    Raises Unauthenticated when there is no token for the server. Use it as a context manager, or
    call its close method at the end. What fails in passing is tried again `retries` times where
    that is harmless. `http` replaces the network, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        endpoint = resolve(url, token)
        self._transport = Transport(endpoint, timeout_s=timeout_s, retries=retries, http=http)
        self.url = endpoint.url
        self.workspaces = Workspaces(self._transport)
        self.sandboxes = Sandboxes(self.workspaces)
        self.snapshots = Snapshots(self._transport)
        self.sessions = LiveSessions(self._transport)
        self.recordings = Recordings(self._transport)
        self.exec_outputs = ExecOutputs(self._transport)
        self.templates = Templates(self._transport)
        self.pools = Pools(self._transport)
        self.users = Users(self._transport)
        self.tokens = Tokens(self._transport)
        self.ssh = Ssh(self._transport)
        self.events = Events(self._transport)
        self.server = Server(self._transport)

    def sandbox(
        self,
        template: str | None = None,
        *,
        snapshot: str | None = None,
        name: str | None = None,
        ttl: str | float | None = TTL,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        **options: object,
    ) -> AbstractContextManager[Sandbox]:
        """A sandbox for the length of a `with` block, of a template (`ai-agent-sandbox`) or a
        snapshot. Everything that `sandboxes.create` takes may be given."""
        given: dict[str, object] = {"snapshot": snapshot, "name": name, "ttl": ttl}
        return temporary(self.sandboxes, template, **given, env=env, files=files, **options)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> "Alcove":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
