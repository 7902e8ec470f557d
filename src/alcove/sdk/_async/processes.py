"""Processes in the background, which any client finds again by their tag."""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import Query, request
from alcove.sdk.background import Background, bytes_of, raise_if_failed
from alcove.sdk.errors import WaitTimeout
from alcove.sdk.retry import Repeat
from alcove.wire import processes as wire
from alcove.wire.execs import Frame
from alcove.wire.processes import NewProcess, ProcessLook, ProcessSignal

LOOK_S: Final = 20
PIECE: Final = 256 * 1024
_SLACK_S: Final = 30.0


class AsyncProcesses:
    """Those of one workspace."""

    def __init__(self, transport: AsyncTransport, base: str) -> None:
        self._transport = transport
        self._base = f"{base}/processes"

    async def list(self) -> tuple[wire.BackgroundProcess, ...]:
        """Those that run now."""
        answer = await self._transport.get(wire.BackgroundProcesses, self._base)
        return tuple(answer.items)

    async def start(
        self,
        command: str,
        *,
        tag: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bool = False,
    ) -> "AsyncBackgroundProcess":
        """Start a line of the user's shell; it goes on without this client.

        `tag` is the name under which it is found again; one is made up otherwise. `stdin`:
        `send` will be used. Raises Conflict while another one runs under the tag.
        """
        values = {"tag": tag, "cwd": cwd, "env": env, "user": user}
        body = request(NewProcess, {"command": command, "stdin": stdin, **values})
        made = await self._transport.post(wire.BackgroundProcess, self._base, body)
        return AsyncBackgroundProcess(self._transport, self._base, made.tag, pid=made.pid)

    async def get(self, process: str | int) -> "AsyncBackgroundProcess":
        """One that was started before, by anybody: its tag, or its pid while it runs.

        Raises NotFound when there never was one."""
        for found in await self.list():
            if process in (found.tag, found.pid):
                return AsyncBackgroundProcess(
                    self._transport, self._base, found.tag, pid=found.pid
                )
        gone = AsyncBackgroundProcess(self._transport, self._base, str(process))
        await gone.look()
        return gone

    async def look(self, tag: str) -> ProcessLook:
        """How it is, with the end of its output."""
        return await AsyncBackgroundProcess(self._transport, self._base, tag).look()

    async def stop(self, tag: str, *, grace: str = "5s") -> None:
        await AsyncBackgroundProcess(self._transport, self._base, tag).kill(grace=grace)

    async def signal(self, tag: str, name: str) -> None:
        await AsyncBackgroundProcess(self._transport, self._base, tag).signal(name)


class AsyncBackgroundProcess:
    """A process that goes on without us. Its output is kept, in the workspace, after its end."""

    def __init__(
        self, transport: AsyncTransport, base: str, tag: str, *, pid: int | None = None
    ) -> None:
        self._transport = transport
        self._path = f"{base}/{tag}"
        self.tag = tag
        self.pid = pid
        """None for one that had ended when it was looked for."""
        self.state = "running"
        """As last seen: `running`, `exited` or `killed`."""
        self.exit_code: int | None = None

    def __repr__(self) -> str:
        code = "" if self.exit_code is None else f" {self.exit_code}"
        return f"<BackgroundProcess {self.tag} {self.state}{code}>"

    async def look(self, *, after: int | None = None, wait: str | None = None) -> ProcessLook:
        """Its state and a piece of its output: from byte `after`, else the end of it."""
        query: Query = {"after": after, "limit": PIECE, "wait": wait}
        seen = await self._transport.get(ProcessLook, self._path, query=query)
        self.state, self.exit_code = seen.state, seen.exit_code
        return seen

    async def logs(self, *, follow: bool = False) -> AsyncIterator[str]:
        """What it wrote from its start, both streams in order; with `follow` until it ends."""
        after = 0
        while True:
            wait = f"{LOOK_S}s" if follow else None
            seen = await self.look(after=after, wait=wait)
            if seen.output:
                yield bytes_of(seen).decode("utf-8", "replace")
            progressed, after = seen.end > after, seen.end
            if after >= seen.size and (not follow or seen.state != "running"):
                return
            if not progressed and not follow:
                return

    async def wait(self, *, timeout_s: float | None = None, check: bool = False) -> Background:
        """Until it has ended: how, and the end of its output. Raises WaitTimeout, and with
        `check` CommandFailed for a code other than 0."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        after: int | None = None
        while True:
            left = LOOK_S if deadline is None else min(LOOK_S, deadline - time.monotonic())
            if left < 0:
                raise WaitTimeout(f"process {self.tag!r} runs after {timeout_s:g} s")
            seen = await self.look(after=after, wait=f"{max(1, round(left))}s")
            if seen.state != "running":
                ended = await self.look()
                done = Background(ended.exit_code, bytes_of(ended).decode("utf-8", "replace"))
                return raise_if_failed(done) if check else done
            after = seen.end

    async def send(self, data: str | bytes) -> None:
        """Bytes for its stdin, if it was started with one."""
        raw = data.encode() if isinstance(data, str) else data
        async with self._transport.websocket(f"{self._path}/attach") as socket:
            for start in range(0, len(raw), 65536):
                await socket.send(bytes((Frame.STDIN,)) + raw[start : start + 65536])

    async def close_stdin(self) -> None:
        async with self._transport.websocket(f"{self._path}/attach") as socket:
            await socket.send(bytes((Frame.STDIN_EOF,)))

    async def signal(self, name: str) -> None:
        """`INT`, `HUP`, …, to it and those of its group. Raises NotFound when it has ended."""
        body = request(ProcessSignal, {"signal": name})
        await self._transport.send("POST", f"{self._path}/signal", json=body, repeat=Repeat.UNSENT)

    async def kill(self, *, grace: str = "5s") -> None:
        """End it with all that it started: asked first, and killed after the grace."""
        query: Query = {"grace": grace}
        await self._transport.send("DELETE", self._path, query=query, timeout_s=90.0)
