"""The client: one object, its resources as attributes."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import httpx

from alcove.sdk._async.events import AsyncEvents
from alcove.sdk._async.exec_outputs import AsyncExecOutputs
from alcove.sdk._async.live_sessions import AsyncLiveSessions
from alcove.sdk._async.pools import AsyncPools
from alcove.sdk._async.recordings import AsyncRecordings
from alcove.sdk._async.sandboxes import TTL, AsyncSandbox, AsyncSandboxes, temporary
from alcove.sdk._async.server import AsyncServer
from alcove.sdk._async.snapshots import AsyncSnapshots
from alcove.sdk._async.ssh import AsyncSsh
from alcove.sdk._async.templates import AsyncTemplates
from alcove.sdk._async.tokens import AsyncTokens
from alcove.sdk._async.transport import TIMEOUT_S, AsyncTransport
from alcove.sdk._async.users import AsyncUsers
from alcove.sdk._async.workspaces import AsyncWorkspaces
from alcove.sdk.credentials import resolve
from alcove.sdk.retry import RETRIES


class AsyncAlcove:
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
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        endpoint = resolve(url, token)
        self._transport = AsyncTransport(endpoint, timeout_s=timeout_s, retries=retries, http=http)
        self.url = endpoint.url
        self.workspaces = AsyncWorkspaces(self._transport)
        self.sandboxes = AsyncSandboxes(self.workspaces)
        self.snapshots = AsyncSnapshots(self._transport)
        self.sessions = AsyncLiveSessions(self._transport)
        self.recordings = AsyncRecordings(self._transport)
        self.exec_outputs = AsyncExecOutputs(self._transport)
        self.templates = AsyncTemplates(self._transport)
        self.pools = AsyncPools(self._transport)
        self.users = AsyncUsers(self._transport)
        self.tokens = AsyncTokens(self._transport)
        self.ssh = AsyncSsh(self._transport)
        self.events = AsyncEvents(self._transport)
        self.server = AsyncServer(self._transport)

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
    ) -> AbstractAsyncContextManager[AsyncSandbox]:
        """A sandbox for the length of a `with` block, of a template (`ai-agent-sandbox`) or a
        snapshot. Everything that `sandboxes.create` takes may be given."""
        given: dict[str, object] = {"snapshot": snapshot, "name": name, "ttl": ttl}
        return temporary(self.sandboxes, template, **given, env=env, files=files, **options)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> "AsyncAlcove":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
