"""The control plane's client of the agents: one pool of kept connections per boot.

Rule: what comes from a workspace is bounded and read only as fast as our own reader reads; a
caller that goes away closes the connection, which ends what it had started inside.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import anyio

from alcove.core.agent_connection import Body, Broken, Connection, Headers, Response
from alcove.core.frames import Frames, Process
from alcove.drivers.base import AGENT_PORT, ByteStream, Driver
from alcove.model.errors import (
    AlcoveError,
    Conflict,
    Denied,
    DriverError,
    Invalid,
    NotFound,
    OutOfRange,
    TooMany,
    Unavailable,
    Unsupported,
)
from alcove.model.recording import SessionKind
from alcove.model.workspace import Handle, Phase, Workspace, WorkspaceId

IDLE_MAX: Final = 8
"""Kept connections per workspace."""
OPEN_MAX: Final = 256
"""Connections in use per workspace; more wait."""
ANSWER_MAX: Final = 4 * 1024 * 1024
CALL_TIMEOUT_S: Final = 15.0
CONNECT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Reach:
    """How to get at the agent of one boot of a workspace."""

    workspace: WorkspaceId
    handle: Handle
    boot: str | None

    @classmethod
    def of(cls, workspace: Workspace) -> "Reach":
        """Raises Conflict, saying what to do, unless the workspace is running."""
        if workspace.handle is None or workspace.phase is not Phase.RUNNING:
            raise Conflict(f"workspace {workspace.name} is {workspace.phase}{_advice(workspace)}")
        return cls(workspace.id, workspace.handle, workspace.boot)


@dataclass(frozen=True, slots=True)
class View:
    """To be one of several viewers of a terminal, and what was seen of it before."""

    id: str = ""
    """Which process it was; another one is seen from its beginning."""
    after: int | None = None
    """How many bytes of its output."""

    def body(self) -> Mapping[str, Any]:
        return {"id": self.id, "after": self.after}


@dataclass(frozen=True, slots=True)
class Call:
    """A process to run. `stdin`: all of it, True for a live one, False for none."""

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str | None = None
    user: str | None = None
    stdin: bytes | bool = False
    timeout_s: float | None = None
    output_limit: int | None = None
    """Bytes of output after which the rest is dropped, the process going on."""
    terminal: tuple[int, int] | None = None
    """Columns and rows."""
    modes: Mapping[int, int] = field(default_factory=dict[int, int])
    """Of the terminal: codes and values of RFC 4254, section 8."""
    tag: str | None = None
    detach: bool = False
    view: View | None = None
    kind: SessionKind = SessionKind.EXEC
    shown: Sequence[str] = ()
    """What events tell instead of the command, where that is wrapped in a script of ours."""

    def body(self) -> Mapping[str, Any]:
        said: dict[str, Any] = {"cmd": self.command[0], "args": list(self.command[1:])}
        said["env"] = dict(self.env)
        if isinstance(self.stdin, bytes):
            said["stdin"] = base64.b64encode(self.stdin).decode()
        else:
            said["stdin"] = self.stdin
        optional = {
            "cwd": self.cwd,
            "user": self.user,
            "timeout_ms": None if self.timeout_s is None else max(1, round(self.timeout_s * 1000)),
            "output_limit": self.output_limit,
            "tag": self.tag,
            "detach": self.detach or None,
            "view": None if self.view is None else self.view.body(),
        }
        said |= {name: value for name, value in optional.items() if value is not None}
        if self.terminal is not None:
            cols, rows = self.terminal
            said["pty"] = {"cols": cols, "rows": rows, "modes": dict(self.modes)}
        return said


@dataclass
class _Pool:
    boot: str | None
    idle: list[Connection] = field(default_factory=list[Connection])
    open: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(OPEN_MAX))


class Agents:
    """All agents. Safe for many tasks of one event loop."""

    def __init__(self, driver: Driver, *, secret: bytes) -> None:
        self._driver = driver
        self._secret = secret
        self._pools: dict[WorkspaceId, _Pool] = {}
        self.lost: set[WorkspaceId] = set()
        """Workspaces whose agent could not be reached: worth a look before their time."""
        self.on_lost: Callable[[], None] = lambda: None

    def control_key(self, workspace: WorkspaceId) -> str:
        """What the agent of this workspace asks us for."""
        return hmac.new(self._secret, f"agent:{workspace}".encode(), hashlib.sha256).hexdigest()

    async def init(self, reach: Reach, body: Mapping[str, Any]) -> None:
        """Claim the agent: environment, identity, start-up steps. May be repeated."""
        await self.json(reach, "POST", "/init", body)

    async def startup(self, reach: Reach, *, seen: int, wait_s: float) -> Mapping[str, Any]:
        """How the start-up goes, as soon as its revision is not `seen`, or after `wait_s`."""
        query = urlencode({"seen": seen, "wait": f"{wait_s:g}s"})
        timeout_s = wait_s + CALL_TIMEOUT_S
        return await self.json(reach, "GET", f"/alcove/startup?{query}", timeout_s=timeout_s)

    async def stats(self, reach: Reach) -> Mapping[str, Any]:
        return await self.json(reach, "GET", "/alcove/stats")

    async def json(
        self,
        reach: Reach,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Any:
        """One small call; None for an empty answer. Raises what `refusal` says, or Unavailable."""
        sent = None if body is None else json.dumps(body).encode()
        headers = [("Content-Type", "application/json")] if sent is not None else []
        try:
            with anyio.fail_after(timeout_s):
                async with self.request(reach, method, target, headers, sent) as response:
                    text = await response.read(limit=ANSWER_MAX)
                    return json.loads(text) if text else None
        except TimeoutError as error:
            raise Unavailable(f"the agent did not answer within {timeout_s:g}s") from error
        except ValueError as error:
            raise Unavailable("the agent's answer is not JSON") from error

    @asynccontextmanager
    async def exec(self, reach: Reach, call: Call) -> AsyncGenerator[Frames]:
        """Run a process; its frames end with EXIT. Leaving early kills it."""
        body = json.dumps(call.body()).encode()
        headers = [("Content-Type", "application/json")]
        async with self.request(reach, "POST", "/alcove/exec", headers, body) as response:
            yield Frames(response.body())

    @asynccontextmanager
    async def process(self, reach: Reach, call: Call) -> AsyncGenerator[Process]:
        """Run a process with a live stdin. Leaving ends it, unless `call.detach`."""
        said = base64.b64encode(json.dumps(call.body()).encode()).decode()
        headers = [("X-Alcove-Process", said)]
        async with self.stream(reach, "process=1", headers) as stream:
            yield Process(stream)

    @asynccontextmanager
    async def stream(
        self, reach: Reach, query: str, headers: Headers = ()
    ) -> AsyncGenerator[ByteStream]:
        """Raw bytes both ways: `port=8000`, `unix=/path`, `process=1` or `attach=1`."""
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "alcove-stream"), *headers]
        target = f"/alcove/stream?{query}"
        async with self.request(reach, "POST", target, upgrade, b"") as response:
            if response.status != 101:
                raise Unavailable("the agent does not open streams")
            yield response.connection.upgraded()

    @asynccontextmanager
    async def request(
        self,
        reach: Reach,
        method: str,
        target: str,
        headers: Headers = (),
        body: Body = None,
        *,
        refusals: bool = True,
    ) -> AsyncGenerator[Response]:
        """Any request; the answer's body is read inside the block.

        With `refusals`, an answer of 400 and above is raised as one of our errors.
        """
        pool = await self._pool(reach)
        key = ("X-Alcove-Control", self.control_key(reach.workspace))
        async with pool.open:
            connection, response = await self._send(
                pool, reach, method, target, [key, *headers], body
            )
            try:
                if refusals and response.status >= 400:
                    raise refusal(response.status, await response.read(limit=ANSWER_MAX))
                yield response
            finally:
                await self._give_back(pool, reach, connection)

    async def warm(self, reach: Reach) -> None:
        """Have a connection ready for the first request, unless there is one. Never raises for
        an agent that cannot be reached."""
        pool = await self._pool(reach)
        if pool.idle:
            return
        try:
            connection = await self._connect(reach)
        except Unavailable:
            return
        await self._give_back(pool, reach, connection)

    async def forget(self, workspace: WorkspaceId) -> None:
        """Close the kept connections, as when the workspace stopped."""
        pool = self._pools.pop(workspace, None)
        for connection in pool.idle if pool else ():
            await connection.aclose()

    async def aclose(self) -> None:
        for workspace in list(self._pools):
            await self.forget(workspace)

    async def _pool(self, reach: Reach) -> _Pool:
        former = self._pools.get(reach.workspace)
        if former is not None and former.boot == reach.boot:
            return former
        pool = self._pools[reach.workspace] = _Pool(reach.boot)
        for connection in former.idle if former else ():
            await connection.aclose()
        return pool

    async def _send(
        self,
        pool: _Pool,
        reach: Reach,
        method: str,
        target: str,
        headers: Headers,
        body: Body,
    ) -> tuple[Connection, Response]:
        replayable = body is None or isinstance(body, bytes)
        while True:
            kept = bool(pool.idle) and replayable
            connection = pool.idle.pop() if kept else await self._connect(reach)
            try:
                return connection, await connection.request(method, target, headers, body)
            except Broken as error:
                await connection.aclose()
                # A kept connection that the agent had closed: nothing was answered, and the
                # agent closes only connections on which it has read nothing.
                if kept and error.fresh:
                    continue
                raise
            except BaseException:
                await connection.aclose()
                raise

    async def _connect(self, reach: Reach) -> Connection:
        resources = AsyncExitStack()
        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                stream = await resources.enter_async_context(
                    self._driver.connect(reach.workspace, reach.handle, port=AGENT_PORT)
                )
        except TimeoutError as error:
            await resources.aclose()
            raise Unavailable(
                f"workspace {reach.workspace}: no connection within {CONNECT_TIMEOUT_S:g}s"
            ) from error
        except DriverError as error:
            await resources.aclose()
            self.lost.add(reach.workspace)
            self.on_lost()
            raise Unavailable(f"workspace {reach.workspace}: {error}") from error
        return Connection(stream, resources)

    async def _give_back(self, pool: _Pool, reach: Reach, connection: Connection) -> None:
        current = self._pools.get(reach.workspace) is pool
        if connection.reusable and current and len(pool.idle) < IDLE_MAX:
            pool.idle.append(connection)
        else:
            await connection.aclose()


def refusal(status: int, body: bytes) -> AlcoveError:
    """One of our errors for the agent's `{code, message}`."""
    try:
        message = str(json.loads(body)["message"])[:2000]
    except (ValueError, KeyError, TypeError):
        message = body[:500].decode(errors="replace") or f"the agent answered {status}"
    match status:
        case 400 | 413 | 415 | 422:
            return Invalid(message)
        case 403:
            return Denied(message)
        case 404:
            return NotFound(message)
        case 409 | 412:
            return Conflict(message)
        case 416:
            return OutOfRange(message)
        case 429:
            return TooMany(message, retry_after_s=1)
        case 501:
            return Unsupported(message)
        case _:
            return Unavailable(message)


def _advice(workspace: Workspace) -> str:
    match workspace.phase:
        case Phase.STOPPED | Phase.FAILED:
            why = f" ({workspace.reason})" if workspace.reason else ""
            return f"{why}; start it first"
        case Phase.PAUSED:
            return "; resume it first"
        case Phase.PROVISIONING | Phase.STARTING | Phase.RESUMING:
            return "; wait until it is running"
        case Phase.UNREACHABLE:
            return "; its host does not answer, try again later"
        case _:
            return ""
