"""Sandboxes: workspaces as a program uses them, for as long as it needs one.

with Alcove().sandbox("ai-agent-sandbox") as s:
    s.run("pytest", check=True)
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final

from alcove.sdk._async.execs import AsyncProcess
from alcove.sdk._async.primitives import sleep
from alcove.sdk._async.processes import AsyncBackgroundProcess
from alcove.sdk._async.workspace import AsyncWorkspace
from alcove.sdk._async.workspaces import AsyncWorkspaces
from alcove.sdk.changes import IsolationName, Never, OnExpiryName, OnIdleName, ParameterValue
from alcove.sdk.durations import duration
from alcove.sdk.errors import WaitTimeout
from alcove.sdk.execs import LOGIN_SHELL, ExecResult, OnOutput, Terminal
from alcove.sdk.waiting import TIMEOUT_S
from alcove.wire.snapshots import Snapshot
from alcove.wire.workspaces import Workspace as WorkspaceAnswer

TEMPLATE: Final = "ai-agent-sandbox"
TTL: Final = "1h"
"""Whoever dies without saying so leaves nothing behind for longer than this."""
_PORT_POLL_S: Final = 0.1


class AsyncSandboxes:
    """`ref` is an id, a name of your own, or `owner/name`."""

    def __init__(self, workspaces: AsyncWorkspaces) -> None:
        self._workspaces = workspaces

    async def create(
        self,
        template: str | None = None,
        *,
        snapshot: str | None = None,
        name: str | None = None,
        ttl: str | float | None = TTL,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        repo: str | None = None,
        branch: str | None = None,
        labels: Mapping[str, str] | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
        resources: Mapping[str, str | float] | None = None,
        network: Mapping[str, object] | None = None,
        isolation: IsolationName | None = None,
        on_expiry: OnExpiryName | None = None,
        idle_stop: str | None = None,
        on_idle: OnIdleName | None = None,
        auto_resume: bool | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> "AsyncSandbox":
        """Make one, of a template or a snapshot, and wait until it can be worked in.

        It stays until its `ttl` (None: the template's) is over, or it is killed. One that does
        not come to run is deleted. Raises what `workspaces.create` does.
        """
        if template is None and snapshot is None:
            template = TEMPLATE
        made = await self._workspaces.create(
            template,
            snapshot=snapshot,
            name=name,
            ttl=duration(ttl),
            env=env,
            files=files,
            repo=repo,
            branch=branch,
            labels=labels,
            parameters=parameters,
            resources=resources,
            network=network,
            isolation=isolation,
            on_expiry=on_expiry,
            idle_stop=idle_stop,
            on_idle=on_idle,
            auto_resume=auto_resume,
            wait=False,
        )
        try:
            await made.wait(timeout_s=timeout_s)
        except BaseException:
            await made.delete()
            raise
        return AsyncSandbox(made)

    async def connect(self, ref: str) -> "AsyncSandbox":
        """One that is there, as another program left it. Raises NotFound."""
        return AsyncSandbox(await self._workspaces.get(ref))

    async def list(
        self, *, labels: Mapping[str, str] | None = None, phase: str | None = None
    ) -> AsyncIterator["AsyncSandbox"]:
        """Your own, newest first, fetched as one iterates."""
        async for one in self._workspaces.list(owner="me", labels=labels, phase=phase):
            yield AsyncSandbox(one)


class AsyncSandbox:
    """One of them. As a context manager it deletes itself at the end."""

    def __init__(self, workspace: AsyncWorkspace) -> None:
        self.workspace = workspace
        """The same with everything that workspaces can."""
        self.files = workspace.files
        self.ports = workspace.ports
        self.processes = workspace.processes

    def __repr__(self) -> str:
        info = self.workspace.info
        ends = "" if info.expires_at is None else f" until {info.expires_at:%Y-%m-%d %H:%M:%SZ}"
        return f"<Sandbox {info.id} {info.template} {info.phase}{ends}>"

    async def __aenter__(self) -> "AsyncSandbox":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.kill()

    @property
    def id(self) -> str:
        return self.workspace.id

    @property
    def name(self) -> str:
        return self.workspace.name

    @property
    def info(self) -> WorkspaceAnswer:
        """Everything that the server said about it last; `refresh` asks again."""
        return self.workspace.info

    async def refresh(self) -> "AsyncSandbox":
        await self.workspace.refresh()
        return self

    async def run(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: str | bytes | None = None,
        timeout: str | float | None = None,  # noqa: ASYNC109 - the server ends it
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        check: bool = False,
    ) -> ExecResult:
        """Run to the end; a text is a line for the shell. `timeout` is seconds, or `"5m"`.

        With callbacks output is handed over as it arrives. With `check` a code other than 0
        raises CommandFailed, whose `result` has the output.
        """
        return await self.workspace.exec(
            command,
            cwd=cwd,
            env=env,
            user=user,
            stdin=stdin,
            timeout=duration(timeout),
            on_stdout=on_stdout,
            on_stderr=on_stderr,
            check=check,
        )

    async def start(
        self,
        command: str,
        *,
        tag: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bool = False,
    ) -> AsyncBackgroundProcess:
        """Start a line of the shell in the background; see `process` for finding it again."""
        return await self.processes.start(
            command, tag=tag, cwd=cwd, env=env, user=user, stdin=stdin
        )

    async def process(self, process: str | int) -> AsyncBackgroundProcess:
        """One that was started before, by whichever client: its tag, or its pid."""
        return await self.processes.get(process)

    def pty(
        self, cols: int = 80, rows: int = 24, *, command: str | Sequence[str] = LOGIN_SHELL
    ) -> AbstractAsyncContextManager[AsyncProcess]:
        """A command, or the login shell, in a terminal: iterate, `write`, `resize`, `signal`."""
        return self.workspace.process(command, terminal=Terminal(cols, rows))

    async def url(self, port: int, *, ttl: str | float | None = None) -> str:
        """Where browsers find what listens on the port: who may, is a matter of `ports.share`.

        With `ttl`, or on a server without a domain for apps, a link that opens it for whoever
        has it (for an hour unless told otherwise)."""
        pattern = self.info.urls.get("app")
        if ttl is None and pattern is not None:
            return pattern.replace("{port}", str(port))
        return (await self.ports.link(port, ttl=duration(ttl) or "1h")).url

    async def wait_for_port(self, port: int, *, timeout_s: float = 60.0) -> None:
        """Until something listens there. Raises WaitTimeout."""
        deadline = time.monotonic() + timeout_s
        while not any(one.port == port and one.listening for one in await self.ports()):
            if time.monotonic() > deadline:
                raise WaitTimeout(f"nothing listens on port {port} after {timeout_s:g} s")
            await sleep(_PORT_POLL_S)

    async def pause(self) -> None:
        """Keep it as it is and use no CPU. Raises Unsupported where that cannot be."""
        await self.workspace.pause()

    async def resume(self) -> None:
        await self.workspace.resume()

    async def snapshot(
        self, name: str | None = None, *, ttl: str | Never | None = None
    ) -> Snapshot:
        """Keep its state, to make others of it: `sandbox(snapshot=…)`."""
        return await self.workspace.snapshot(name, ttl=ttl)

    async def fork(self, count: int = 1) -> "list[AsyncSandbox]":
        """Sandboxes that begin as this one is now; it goes on as before."""
        return [AsyncSandbox(one) for one in await self.workspace.fork(count)]

    async def keep_alive(self, ttl: str | float) -> None:
        """It ends so long from now, instead of when it would have."""
        await self.workspace.update(ttl=duration(ttl))

    async def kill(self) -> None:
        """Delete it with all that is in it; repeating it is fine."""
        await self.workspace.delete()


@asynccontextmanager
async def temporary(
    sandboxes: AsyncSandboxes, template: str | None, **options: object
) -> AsyncGenerator[AsyncSandbox]:
    """One that is deleted at the end of the block, however that comes."""
    made = await sandboxes.create(template, **options)  # pyright: ignore[reportArgumentType]
    async with made:
        yield made
