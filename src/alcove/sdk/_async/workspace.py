"""One workspace: what it is, what can be done with it, and what runs in it."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from urllib.parse import quote

from alcove.sdk._async import execs
from alcove.sdk._async.events import follow
from alcove.sdk._async.execs import AsyncProcess
from alcove.sdk._async.files import AsyncFiles
from alcove.sdk._async.logs import follow_lines, lines
from alcove.sdk._async.pages import items
from alcove.sdk._async.ports import AsyncPorts
from alcove.sdk._async.primitives import sleep
from alcove.sdk._async.processes import AsyncProcesses
from alcove.sdk._async.snapshots import take
from alcove.sdk._async.terminals import AsyncTerminals
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import read, request
from alcove.sdk.changes import Never, OnExpiryName, OnIdleName, ParameterValue
from alcove.sdk.errors import NotFound, WaitTimeout
from alcove.sdk.execs import (
    LOGIN_SHELL,
    ExecResult,
    OnOutput,
    Terminal,
    exec_request,
    process_request,
)
from alcove.sdk.waiting import TIMEOUT_S, Goal, arrived, pause
from alcove.wire.apps import App, Apps
from alcove.wire.base import Page
from alcove.wire.events import Event
from alcove.wire.files import LogLine
from alcove.wire.snapshots import Fork, Forks, Snapshot
from alcove.wire.workspaces import Workspace as WorkspaceAnswer
from alcove.wire.workspaces import WorkspaceChange


class AsyncWorkspace:
    """One workspace as last seen: attributes are of the last answer, `refresh` asks again."""

    def __init__(
        self, transport: AsyncTransport, info: WorkspaceAnswer, *, created: bool = False
    ) -> None:
        self._transport = transport
        self._created = created
        self._path = path_of(info.id)
        self.info = info
        """Everything that the server says about it."""
        self.files = AsyncFiles(transport, self._path)
        self.ports = AsyncPorts(transport, self._path)
        self.processes = AsyncProcesses(transport, self._path)
        self.terminals = AsyncTerminals(transport, self._path)

    def __repr__(self) -> str:
        return f"<Workspace {self.info.owner}/{self.info.name} {self.info.phase}>"

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def owner(self) -> str:
        return self.info.owner

    @property
    def template(self) -> str:
        return self.info.template

    @property
    def phase(self) -> str:
        """`running`, `stopped`, …"""
        return self.info.phase

    @property
    def reason(self) -> str:
        """Why it is in that phase, in a sentence."""
        return self.info.reason

    @property
    def health(self) -> str:
        """`ok`, `starting`, or `degraded: ` and what went wrong."""
        return self.info.health

    async def __aenter__(self) -> "AsyncWorkspace":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete it, if it is one that `create` made and not one that was there."""
        if self._created:
            await self.delete()

    async def refresh(self) -> "AsyncWorkspace":
        self.info = await self._transport.get(WorkspaceAnswer, self._path)
        return self

    async def start(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "AsyncWorkspace":
        return await self._ask("start", Goal.READY if wait else None, timeout_s)

    async def stop(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "AsyncWorkspace":
        """Files in its home stay; an ephemeral one is deleted."""
        return await self._ask("stop", Goal.STOPPED if wait else None, timeout_s)

    async def restart(
        self, *, wait: bool = True, timeout_s: float = TIMEOUT_S
    ) -> "AsyncWorkspace":
        """Stop and start; also applies changes that wait for a restart."""
        return await self._ask("restart", Goal.READY if wait else None, timeout_s)

    async def pause(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "AsyncWorkspace":
        """Keep memory and processes, use no CPU. Raises Unsupported where that cannot be."""
        return await self._ask("pause", Goal.PAUSED if wait else None, timeout_s)

    async def resume(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "AsyncWorkspace":
        return await self._ask("resume", Goal.RUNNING if wait else None, timeout_s)

    async def snapshot(
        self,
        name: str | None = None,
        *,
        ttl: str | Never | None = None,
        wait: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> Snapshot:
        """Keep its state; it goes on as before. `ttl` is how long it is kept, NEVER for ever.

        Raises SnapshotFailed with the reason, QuotaExceeded, Unsupported, and Conflict when it
        is neither running, paused nor stopped, or the name is taken.
        """
        limit = timeout_s if wait else None
        return await take(self._transport, self._path, name=name, ttl=ttl, timeout_s=limit)

    async def fork(
        self,
        count: int = 1,
        *,
        name: str | None = None,
        wait: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> "list[AsyncWorkspace]":
        """Make workspaces that begin as this one is now, all or none; it goes on as before.

        Several are called `name-1`, `name-2`, …; as a context manager each deletes itself.
        """
        body = request(Fork, {"count": count, "name": name})
        answer = await self._transport.post(Forks, f"{self._path}/fork", body)
        forks = [AsyncWorkspace(self._transport, info, created=True) for info in answer.items]
        if wait:
            deadline = time.monotonic() + timeout_s
            for one in forks:
                await one.wait(timeout_s=max(0.0, deadline - time.monotonic()))
        return forks

    async def delete(self, *, wait: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        """Everything in it is lost. Repeating it is fine, also when it is gone already."""
        try:
            response = await self._transport.send("DELETE", self._path)
        except NotFound:
            return
        self.info = read(WorkspaceAnswer, response.content)
        if wait:
            await self.wait(Goal.DELETED, timeout_s=timeout_s)

    async def update(
        self,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: str | Never | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
        template_version: int | None = None,
        resources: Mapping[str, str | float] | None = None,
        on_expiry: OnExpiryName | None = None,
        idle_stop: str | None = None,
        on_idle: OnIdleName | None = None,
        auto_resume: bool | None = None,
    ) -> "AsyncWorkspace":
        """Only what is given changes. What needs a restart says so in `health` or `reason`."""
        change = request(
            WorkspaceChange,
            {
                "name": name,
                "labels": labels,
                "ttl": ttl if isinstance(ttl, str) else None,
                "parameters": parameters,
                "template_version": template_version,
                "resources": resources,
                "on_expiry": on_expiry,
                "idle_stop": idle_stop,
                "on_idle": on_idle,
                "auto_resume": auto_resume,
            },
        )
        if isinstance(ttl, Never):
            # Set, and null: that is how JSON takes something away.
            change = change.model_copy(update={"ttl": None})
        self.info = await self._transport.patch(WorkspaceAnswer, self._path, change)
        return self

    async def wait(
        self, goal: Goal | str = Goal.READY, *, timeout_s: float = TIMEOUT_S
    ) -> "AsyncWorkspace":
        """Until it is there; READY means that its clone and scripts are over as well.

        Raises WorkspaceFailed when it will not come there, WaitTimeout after the time.
        """
        async for _ in self.changes(goal, timeout_s=timeout_s):
            pass
        return self

    async def changes(
        self, goal: Goal | str = Goal.READY, *, timeout_s: float = TIMEOUT_S
    ) -> AsyncIterator[WorkspaceAnswer]:
        """Like `wait`, and gives each state that was seen on the way."""
        goal = Goal(goal)
        deadline = time.monotonic() + timeout_s
        delay = 0.0
        yield self.info
        # What we have may be old: others change workspaces too.
        seen = await self._look()
        while not arrived(seen, goal):
            if time.monotonic() > deadline:
                raise WaitTimeout(
                    f"workspace {self.name!r} is {self.phase} after {timeout_s:.0f} s, "
                    f"not {goal}: {self.reason or 'no reason is known'}"
                )
            if seen is not None and seen != self.info:
                delay = 0.0
                self.info = seen
                yield seen
            delay = pause(delay)
            await sleep(delay)
            seen = await self._look()
        if seen is not None:
            self.info = seen

    async def exec(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: str | bytes | None = None,
        timeout: str | None = None,  # noqa: ASYNC109 - the server ends it
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        check: bool = False,
    ) -> ExecResult:
        """Run a command to its end; a text is a line for the user's shell.

        With `on_stdout` or `on_stderr` output is handed over as it arrives. With `check` a code
        other than 0 raises CommandFailed. `timeout` (`"90s"`) kills all that it started.
        """
        body = exec_request(command, cwd=cwd, env=env, user=user, stdin=stdin, timeout=timeout)
        path = f"{self._path}/exec"
        if on_stdout is None and on_stderr is None:
            result = await execs.run(self._transport, path, body)
        else:
            result = await execs.run_streamed(self._transport, path, body, on_stdout, on_stderr)
        return result.check() if check else result

    def process(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        terminal: Terminal | None = None,
    ) -> AbstractAsyncContextManager[AsyncProcess]:
        """A command with live stdin, as bytes; in a PTY if `terminal` is given."""
        body = process_request(command, cwd=cwd, env=env, user=user, terminal=terminal)
        return execs.process(self._transport, f"{self._path}/exec", body)

    def terminal(
        self, *, size: Terminal | None = None
    ) -> AbstractAsyncContextManager[AsyncProcess]:
        """The user's login shell in a terminal; see `process`."""
        return self.process(LOGIN_SHELL, terminal=size or Terminal())

    async def apps(self) -> tuple[App, ...]:
        """What its template offers to open in a browser, with how each is."""
        return tuple((await self._transport.get(Apps, f"{self._path}/apps")).items)

    def logs(self, *, follow: bool = False) -> AsyncIterator[LogLine]:
        """Lines of the image, the clone, the scripts and the agent, oldest first.

        With `follow` also those to come, until the workspace stops or fails.
        """
        if follow:
            return follow_lines(self._transport, self._path)
        return lines(self._transport, self._path)

    def events(self, *, after: int | None = None) -> AsyncIterator[Event]:
        """What happened to it so far."""
        path, query = f"{self._path}/events", {"after": after}
        return items(self._transport, Page[Event], path, query)

    async def follow_events(self, *, after: int | None = None) -> AsyncIterator[Event]:
        """What happens to it, as it happens. Never ends."""
        async for event in follow(self._transport, f"{self._path}/events", {"after": after}):
            yield read(Event, event.data)

    async def _ask(self, verb: str, goal: Goal | None, timeout_s: float) -> "AsyncWorkspace":
        self.info = await self._transport.post(WorkspaceAnswer, f"{self._path}/{verb}")
        return self if goal is None else await self.wait(goal, timeout_s=timeout_s)

    async def _look(self) -> WorkspaceAnswer | None:
        try:
            return await self._transport.get(WorkspaceAnswer, self._path)
        except NotFound:
            return None


def path_of(ref: str) -> str:
    return f"/workspaces/{quote(ref, safe='')}"
