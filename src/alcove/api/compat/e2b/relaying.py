"""The envd protocol of one sandbox: a list of routes is passed on to its agent, nothing else.

Rule: whoever does not show the sandbox's secret gets one and the same answer, whether there is
such a sandbox or not. Bytes go through as they come, in both directions as fast as they are
read, and a client that goes away takes its request to the agent with it.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from alcove.api.compat.e2b import envelopes, terminals
from alcove.api.compat.e2b.commands import Watch
from alcove.api.compat.e2b.errors import PortClosed, SandboxGone, response_for
from alcove.api.compat.e2b.routing import Target
from alcove.api.compat.e2b.terminals import Terminal
from alcove.core import envd, waking
from alcove.core.agent import Reach
from alcove.core.agent_connection import Broken, Response
from alcove.core.app import Core
from alcove.core.envd import Entry, Route, Signature
from alcove.core.execs import told
from alcove.http.body import read_all, stream
from alcove.http.context import context_of
from alcove.http.problem import HttpError
from alcove.model.errors import AlcoveError, Conflict, NotFound, TooMany, Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.workspace import Desired, Phase

UNARY_MAX: Final = envelopes.MESSAGE_MAX + 1024
RECHECK_S: Final = 5.0
CLOSING_S: Final = 0.2
SIGNED_PER_MINUTE: Final = 600
_LONG: Final = frozenset({Route.STREAM, Route.UPLOAD, Route.READ})
_IN: Final = frozenset(
    {
        "accept",
        "connect-protocol-version",
        "connect-timeout-ms",
        "content-encoding",
        "content-length",
        "content-type",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "keepalive-ping-interval",
        "range",
    }
)
_OUT: Final = frozenset(
    {
        "accept-ranges",
        "content-disposition",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
    }
)
_QUERY: Final = ("path", "username")
_REFUSED: Final = "the access token is missing or wrong"


async def serve(core: Core, target: Target, scope: Scope, receive: Receive, send: Send) -> None:
    """One request to the agent's port of the sandbox that the target names."""
    request = Request(scope, receive)
    begun = False

    async def send_on(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    try:
        await _Relay(core, target, request, send_on).run()
    except (AlcoveError, HttpError) as error:
        if begun:
            raise
        connect = "." in target.path.partition("/")[2].partition("/")[0]
        await response_for(error, scope, connect=connect)(scope, receive, send)
    except ClientDisconnect:
        return


class _Relay:
    def __init__(self, core: Core, target: Target, request: Request, send: Send) -> None:
        self._core, self._target, self._request, self._send = core, target, request, send
        self._headers = request.headers
        self._message: Mapping[str, Any] = {}
        """What starts a process, when that is what is asked for."""
        self._command = ""
        self._watch: Watch | None = None
        """Of a command without a terminal that is started here."""
        self._query = parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=32)

    async def run(self) -> None:
        route = envd.route(self._request.method, self._target.path)
        sandbox = await self._sandbox()
        if route is None:
            raise HttpError(404, "there is no such route")
        entry = await self._entry(sandbox)
        if route is Route.HEALTH:
            # Asking wakes nobody: the answer is how it is.
            runs = entry.workspace.desired is Desired.RUNNING
            if not runs or entry.workspace.phase is not Phase.RUNNING:
                raise SandboxGone(sandbox)
            await self._answer(204)
            return
        entry = await awake(self._core, entry, self._target.port)
        headers, body = await self._outgoing(route, entry)
        number = None
        if route in _LONG:
            # It is in use for as long as this takes; what ran is told of by itself.
            event = NewEvent(kind=EventKind.EXEC_STARTED, actor=entry.actor.id, subject=sandbox)
            number = self._core.running.add(
                entry.workspace.id, told_after_s=float("inf"), event=event
            )
        try:
            await self._exchange(route, entry, headers, body)
        finally:
            if self._watch is not None:
                await self._watch.end()
            if number is not None:
                self._core.running.remove(number)
            self._core.journal.used(entry.workspace.id, self._core.clock())

    async def _sandbox(self) -> str:
        """The id of the sandbox whose secret the caller has shown. Raises HttpError(401)."""
        given = self._headers.get("x-access-token")
        shown = self._target.sandbox or envd.named_by(given)
        if shown and envd.is_token(self._core, shown, given):
            return shown
        named = self._target.sandbox
        signature = self._signature()
        if signature is not None:
            if named and signature.holds(self._core, named):
                return named
            if not named and (found := await self._signer(signature)) is not None:
                return found
        raise HttpError(401, _REFUSED)

    def _signature(self) -> Signature | None:
        if self._target.path != "/files" or self._request.method not in ("GET", "POST"):
            return None
        given = self._asked("signature")
        if not given:
            return None
        return Signature(
            path=self._asked("path") or "",
            operation="read" if self._request.method == "GET" else "write",
            username=self._asked("username") or "",
            signature=given,
            expires=self._asked("signature_expiration"),
        )

    async def _signer(self, signature: Signature) -> str | None:
        """A signed URL at our own address names no sandbox: only one can have signed it."""
        core, address = self._core, context_of(self._request.scope).address
        wait = core.gate.rates.take(
            f"signed:{address}",
            per_minute=SIGNED_PER_MINUTE,
            burst=SIGNED_PER_MINUTE,
            now=core.clock(),
        )
        if wait:
            raise TooMany("too many signed requests; wait a little", retry_after_s=1 + int(wait))
        return await envd.signer(core, signature)

    async def _entry(self, sandbox: str) -> Entry:
        context = context_of(self._request.scope)
        try:
            entry = await envd.enter(
                self._core, sandbox, address=context.address, request_id=context.request_id
            )
        except NotFound:
            raise SandboxGone(sandbox) from None
        context.actor = entry.actor.name
        return entry

    async def _outgoing(
        self, route: Route, entry: Entry
    ) -> tuple[list[tuple[str, str]], bytes | AsyncIterator[bytes] | None]:
        headers = [
            (name, _whole(value) if name == "connect-timeout-ms" else value)
            for name, value in self._headers.items()
            if name in _IN or _is_metadata(name)
        ]
        # Nobody else's credentials than the name of the user inside go on.
        basic = self._headers.get("authorization", "")
        if basic[:6].lower() == "basic ":
            headers.append(("authorization", basic))
        if route is Route.UPLOAD:
            size_max = self._core.settings.body_max_mib << 20
            if self._target.path == "/files":
                await self._tell(entry, EventKind.FILE_WRITTEN)
            return headers, stream(self._request, size_max=size_max)
        if route is Route.READ:
            await self._tell(entry, EventKind.FILE_READ)
            return [(k, v) for k, v in headers if k != "content-length"], None
        raw = await read_all(self._request, size_max=UNARY_MAX)
        headers = [(k, v) for k, v in headers if k not in ("content-length",)]
        if route is Route.STREAM:
            await self._tell_of_process(entry, raw)
        return headers, raw

    async def _exchange(
        self,
        route: Route,
        entry: Entry,
        headers: list[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> None:
        failed: Exception | None = None
        sent = anyio.Event()
        if not isinstance(body, AsyncIterator):
            sent.set()
        else:
            body = _marking(body, sent)

        async def watch_client() -> None:
            await sent.wait()
            while (await self._request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        async def watch_server() -> None:
            nonlocal failed
            try:
                await self._still_there(entry)
            except (AlcoveError, HttpError) as error:
                failed = error
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_client)
            if route in _LONG:
                tasks.start_soon(watch_server)
            try:
                async with terminals.started(
                    self._core, entry.actor, entry.workspace, self._message, self._command
                ) as terminal:
                    await self._relayed(entry, headers, body, terminal)
                # Whoever has all of the answer finds the recording complete.
                await self._body(b"", more=False)
            except Exception as error:
                failed = error
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _relayed(
        self,
        entry: Entry,
        headers: list[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
        terminal: Terminal | None,
    ) -> None:
        try:
            reach = Reach.of(entry.workspace)
            async with self._core.agents.request(
                reach, self._request.method, self._path(), headers, body, refusals=False
            ) as response:
                await self._copy(entry, response, terminal)
        except (Unavailable, Conflict) as error:
            if isinstance(error, Broken) and not error.fresh:
                raise
            found = await self._entry(entry.workspace.id)
            if found.workspace.phase in (Phase.PAUSED, Phase.PAUSING, Phase.STOPPED):
                raise SandboxGone(found.workspace.id) from error
            raise PortClosed(entry.workspace.id, self._target.port) from error

    async def _copy(self, entry: Entry, response: Response, terminal: Terminal | None) -> None:
        kept = {k: v for k, v in response.headers.items() if k in _OUT or _is_metadata(k)}
        await self._answer(response.status, kept, more=True)
        connect = kept.get("content-type", "").startswith(envelopes.MEDIA_TYPE)
        at = envelopes.Boundary()
        try:
            async for piece in self._shown(entry, response, terminal, connect=connect):
                if connect:
                    at.feed(piece)
                if connect and self._watch is not None:
                    self._watch.feed(piece)
                await self._body(piece, more=True)
        except Unavailable:
            if not connect or at.ended or not at.between:
                raise
            said = "the connection to the sandbox ended before the stream was complete"
            await self._body(envelopes.last("unavailable", said), more=True)

    def _shown(
        self, entry: Entry, response: Response, terminal: Terminal | None, *, connect: bool
    ) -> AsyncIterator[bytes]:
        """The body; what a terminal shows is recorded first."""
        if not connect or response.status != 200:
            return response.body()
        if terminal is not None:
            return terminal.raw(response.body())
        if self._target.path.endswith("/Connect"):
            return terminals.connected(self._core, entry.actor, entry.workspace, response.body())
        return response.body()

    async def _still_there(self, entry: Entry) -> None:
        """Returns never. Raises once the server is about to end, or the caller lost the right."""
        checked = anyio.current_time()
        while True:
            await anyio.sleep(CLOSING_S)
            if self._core.gate.closing:
                raise Unavailable("the server is being restarted; connect again")
            if anyio.current_time() - checked >= RECHECK_S:
                try:
                    await self._entry(entry.workspace.id)
                except Unavailable:
                    continue
                checked = anyio.current_time()

    async def _tell(self, entry: Entry, kind: EventKind) -> None:
        path = self._asked("path") or "(several)"
        await envd.tell(self._core, entry, kind, path=told([path])[0])

    async def _tell_of_process(self, entry: Entry, raw: bytes) -> None:
        """Refuses what the log could not tell of, before the agent sees it."""
        kind = self._headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != envelopes.MEDIA_TYPE:
            raise HttpError(415, f"send Content-Type: {envelopes.MEDIA_TYPE}")
        message = envelopes.only(raw)
        if not self._target.path.endswith("/Start"):
            return
        process = message.get("process")
        if not isinstance(process, dict):
            raise HttpError(400, "process: is missing")
        args = process.get("args") or []  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        words = [process.get("cmd"), *(args if isinstance(args, list) else [])]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        command = told([str(word) for word in words])  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        self._message, self._command = message, " ".join(command)
        if terminals.size_of(message) is None:
            self._watch = Watch(self._core, entry, command)
        await envd.tell(self._core, entry, EventKind.EXEC_STARTED, command=command)

    def _path(self) -> str:
        """What the agent is asked for: written anew, so that it reads what we have read."""
        query = [(name, value) for name in _QUERY if (value := self._asked(name)) is not None]
        return f"{self._target.path}?{urlencode(query)}" if query else self._target.path

    def _asked(self, name: str) -> str | None:
        return next((value for key, value in self._query if key == name), None)

    async def _answer(
        self, status: int, headers: dict[str, str] | None = None, *, more: bool = False
    ) -> None:
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in (headers or {}).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        if not more:
            await self._body(b"", more=False)

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def awake(core: Core, entry: Entry, port: int) -> Entry:
    """The same, once it runs. Raises SandboxGone for one that is paused and stays so."""
    try:
        return replace(entry, workspace=await waking.awake(core, entry.actor, entry.workspace))
    except Conflict as error:
        if entry.workspace.phase is Phase.UNREACHABLE:
            raise PortClosed(entry.workspace.id, port) from error
        raise SandboxGone(entry.workspace.id) from error


def opens_ports(core: Core, sandbox: str, headers: Headers) -> bool:
    """Whether the request shows a secret that opens the sandbox's ports."""
    # Both are looked at, so that the time says nothing about which it was.
    by_traffic = envd.is_traffic_token(core, sandbox, headers.get("e2b-traffic-access-token"))
    by_sandbox = envd.is_token(core, sandbox, headers.get("x-access-token"))
    return by_traffic or by_sandbox


def _whole(number: str) -> str:
    """Some clients write milliseconds with a point."""
    whole, point, rest = number.partition(".")
    return whole if point and rest.isdecimal() else number


def _is_metadata(name: str) -> bool:
    return name.startswith("x-metadata-")


async def _marking(source: AsyncIterator[bytes], end: anyio.Event) -> AsyncIterator[bytes]:
    """The same, and the event when it is over."""
    async for piece in source:
        yield piece
    end.set()
