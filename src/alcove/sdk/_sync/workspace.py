# Made by tools/async_to_sync.py from _async/workspace.py: change that one.
"""One workspace: what it is, what can be done with it, and what runs in it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from urllib.parse import quote

from alcove.sdk._sync import execs
from alcove.sdk._sync.events import follow
from alcove.sdk._sync.execs import Process
from alcove.sdk._sync.files import Files
from alcove.sdk._sync.logs import follow_lines, lines
from alcove.sdk._sync.pages import items
from alcove.sdk._sync.ports import Ports
from alcove.sdk._sync.primitives import sleep
from alcove.sdk._sync.processes import Processes
from alcove.sdk._sync.snapshots import take
from alcove.sdk._sync.terminals import Terminals
from alcove.sdk._sync.transport import Transport
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


class Workspace:
    """One workspace as last seen: attributes are of the last answer, `refresh` asks again."""

    def __init__(
        self, transport: Transport, info: WorkspaceAnswer, *, created: bool = False
    ) -> None:
        self._transport = transport
        self._created = created
        self._path = path_of(info.id)
        self.info = info
        """Everything that the server says about it."""
        self.files = Files(transport, self._path)
        self.ports = Ports(transport, self._path)
        self.processes = Processes(transport, self._path)
        self.terminals = Terminals(transport, self._path)

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

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete it, if it is one that `create` made and not one that was there."""
        if self._created:
            self.delete()

    def refresh(self) -> "Workspace":
        self.info = self._transport.get(WorkspaceAnswer, self._path)
        return self

    def start(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "Workspace":
        return self._ask("start", Goal.READY if wait else None, timeout_s)

    def stop(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "Workspace":
        """Files in its home stay; an ephemeral one is deleted."""
        return self._ask("stop", Goal.STOPPED if wait else None, timeout_s)

    def restart(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "Workspace":
        """Stop and start; also applies changes that wait for a restart."""
        return self._ask("restart", Goal.READY if wait else None, timeout_s)

    def pause(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "Workspace":
        """Keep memory and processes, use no CPU. Raises Unsupported where that cannot be."""
        return self._ask("pause", Goal.PAUSED if wait else None, timeout_s)

    def resume(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> "Workspace":
        return self._ask("resume", Goal.RUNNING if wait else None, timeout_s)

    def snapshot(
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
        return take(self._transport, self._path, name=name, ttl=ttl, timeout_s=limit)

    def fork(
        self,
        count: int = 1,
        *,
        name: str | None = None,
        wait: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> "list[Workspace]":
        """Make workspaces that begin as this one is now, all or none; it goes on as before.

        Several are called `name-1`, `name-2`, …; as a context manager each deletes itself.
        """
        body = request(Fork, {"count": count, "name": name})
        answer = self._transport.post(Forks, f"{self._path}/fork", body)
        forks = [Workspace(self._transport, info, created=True) for info in answer.items]
        if wait:
            deadline = time.monotonic() + timeout_s
            for one in forks:
                one.wait(timeout_s=max(0.0, deadline - time.monotonic()))
        return forks

    def delete(self, *, wait: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        """Everything in it is lost. Repeating it is fine, also when it is gone already."""
        try:
            response = self._transport.send("DELETE", self._path)
        except NotFound:
            return
        self.info = read(WorkspaceAnswer, response.content)
        if wait:
            self.wait(Goal.DELETED, timeout_s=timeout_s)

    def update(
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
    ) -> "Workspace":
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
        self.info = self._transport.patch(WorkspaceAnswer, self._path, change)
        return self

    def wait(self, goal: Goal | str = Goal.READY, *, timeout_s: float = TIMEOUT_S) -> "Workspace":
        """Until it is there; READY means that its clone and scripts are over as well.

        Raises WorkspaceFailed when it will not come there, WaitTimeout after the time.
        """
        for _ in self.changes(goal, timeout_s=timeout_s):
            pass
        return self

    def changes(
        self, goal: Goal | str = Goal.READY, *, timeout_s: float = TIMEOUT_S
    ) -> Iterator[WorkspaceAnswer]:
        """Like `wait`, and gives each state that was seen on the way."""
        goal = Goal(goal)
        deadline = time.monotonic() + timeout_s
        delay = 0.0
        yield self.info
        # What we have may be old: others change workspaces too.
        seen = self._look()
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
            sleep(delay)
            seen = self._look()
        if seen is not None:
            self.info = seen

    def exec(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: str | bytes | None = None,
        timeout: str | None = None,
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
            result = execs.run(self._transport, path, body)
        else:
            result = execs.run_streamed(self._transport, path, body, on_stdout, on_stderr)
        return result.check() if check else result

    def process(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        terminal: Terminal | None = None,
    ) -> AbstractContextManager[Process]:
        """A command with live stdin, as bytes; in a PTY if `terminal` is given."""
        body = process_request(command, cwd=cwd, env=env, user=user, terminal=terminal)
        return execs.process(self._transport, f"{self._path}/exec", body)

    def terminal(self, *, size: Terminal | None = None) -> AbstractContextManager[Process]:
        """The user's login shell in a terminal; see `process`."""
        return self.process(LOGIN_SHELL, terminal=size or Terminal())

    def apps(self) -> tuple[App, ...]:
        """What its template offers to open in a browser, with how each is."""
        return tuple((self._transport.get(Apps, f"{self._path}/apps")).items)

    def logs(self, *, follow: bool = False) -> Iterator[LogLine]:
        """Lines of the image, the clone, the scripts and the agent, oldest first.

        With `follow` also those to come, until the workspace stops or fails.
        """
        if follow:
            return follow_lines(self._transport, self._path)
        return lines(self._transport, self._path)

    def events(self, *, after: int | None = None) -> Iterator[Event]:
        """What happened to it so far."""
        path, query = f"{self._path}/events", {"after": after}
        return items(self._transport, Page[Event], path, query)

    def follow_events(self, *, after: int | None = None) -> Iterator[Event]:
        """What happens to it, as it happens. Never ends."""
        for event in follow(self._transport, f"{self._path}/events", {"after": after}):
            yield read(Event, event.data)

    def _ask(self, verb: str, goal: Goal | None, timeout_s: float) -> "Workspace":
        self.info = self._transport.post(WorkspaceAnswer, f"{self._path}/{verb}")
        return self if goal is None else self.wait(goal, timeout_s=timeout_s)

    def _look(self) -> WorkspaceAnswer | None:
        try:
            return self._transport.get(WorkspaceAnswer, self._path)
        except NotFound:
            return None


def path_of(ref: str) -> str:
    return f"/workspaces/{quote(ref, safe='')}"
