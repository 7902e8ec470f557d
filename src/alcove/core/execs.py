"""Running processes in a workspace, for the API, and telling of them.

An exec writes no event before it runs: `exec.finished` is recorded when its answer is on its way
(see `core/journal.py` for what that promises), with the command, the exit code and the duration;
the ends of its output go with it into a table of their own (`core/exec_outputs.py`).
One that still runs after `LONG_S` is told of by `exec.started` too, so that the log shows what is
under way and what a killed server left without an end.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import anyio

from alcove.core import exec_outputs
from alcove.core.agent import Call, Reach
from alcove.core.app import Core
from alcove.core.exec_outputs import Keeping, Ran
from alcove.core.frames import Frame, Process
from alcove.core.intents import event
from alcove.core.recordings import recorded
from alcove.core.waking import entered
from alcove.model.access import Actor, Permission
from alcove.model.errors import Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.exec_output import ExecOutput
from alcove.model.workspace import Workspace

OUTPUT_MAX: Final = 8 * 1024 * 1024
"""Bytes of stdout and stderr that `run` keeps; the rest is dropped and said so."""
TIMEOUT_MAX_S: Final = 24 * 3600
TOLD_MAX: Final = 2000
"""Characters of a command in its event."""
LONG_S: Final = 5.0
_IN_SHELL: Final = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -c "$0"')
"""Followed by a line, runs it in the user's own shell."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    """128 + the signal when it was killed by one."""
    signal: str | None
    stdout: bytes
    stderr: bytes
    truncated: bool
    duration_ms: float
    error: str | None
    """Why it was ended, or could not be started."""


@dataclass(frozen=True, slots=True)
class Exit:
    exit_code: int
    signal: str | None
    duration_ms: float
    truncated: bool = False
    error: str | None = None


async def run(core: Core, actor: Actor, ref: str, call: Call) -> ExecResult:
    """Run to the end and keep the output. Raises Conflict unless the workspace is running."""
    out: dict[Frame, list[bytes]] = {Frame.STDOUT: [], Frame.STDERR: []}
    ended: Exit | None = None
    bounded = replace(call, output_limit=min(call.output_limit or OUTPUT_MAX, OUTPUT_MAX))
    async with stream(core, actor, ref, bounded) as frames:
        async for kind, payload in frames:
            if kind in out:
                out[kind].append(payload)
            elif kind is Frame.EXIT:
                ended = read_exit(payload)
    if ended is None:
        raise Unavailable("the workspace's agent went away before the command ended")
    return ExecResult(
        exit_code=ended.exit_code,
        signal=ended.signal,
        stdout=b"".join(out[Frame.STDOUT]),
        stderr=b"".join(out[Frame.STDERR]),
        truncated=ended.truncated,
        duration_ms=ended.duration_ms,
        error=ended.error,
    )


@asynccontextmanager
async def stream(
    core: Core, actor: Actor, ref: str, call: Call
) -> AsyncGenerator[AsyncIterator[tuple[Frame, bytes]]]:
    """Run, and read its frames as they come; the last is EXIT. Leaving early kills it."""
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    reach = Reach.of(workspace)
    limited = _limited(call)
    async with core.agents.exec(reach, limited) as frames:
        telling = _Telling(core, actor, workspace, limited)
        try:
            yield telling.watch(aiter(frames))
        finally:
            await telling.end()


@asynccontextmanager
async def process(core: Core, actor: Actor, ref: str, call: Call) -> AsyncGenerator[Process]:
    """Run with a live stdin or a terminal: read `frames`, send STDIN, RESIZE and SIGNAL."""
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    reach = Reach.of(workspace)
    async with core.agents.process(reach, call) as live:
        telling = _Telling(core, actor, workspace, call)
        live.watch(telling.see)
        try:
            if call.terminal is None:
                yield live
                return
            title = " ".join(told(call.shown or call.command))
            async with recorded(
                core, actor, workspace, live, kind=call.kind, title=title, size=call.terminal
            ) as watched:
                yield watched
        finally:
            await telling.end()


def shell(line: str) -> Sequence[str]:
    """A command that runs a line in the user's own shell."""
    return (*_IN_SHELL, line)


def read_exit(payload: bytes) -> Exit:
    """The payload of an EXIT frame. Raises Unavailable when it is none."""
    try:
        said = json.loads(payload)
        return Exit(
            exit_code=int(said["exit_code"]),
            signal=said.get("signal") or None,
            duration_ms=float(said.get("duration_ms") or 0),
            truncated=bool(said.get("truncated")),
            error=said.get("error") or None,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable("the agent does not say how the command ended") from error


def told(command: Sequence[str]) -> list[str]:
    """A command for an event, as it was asked for: bounded, control characters escaped."""
    if tuple(command[: len(_IN_SHELL)]) == _IN_SHELL:
        command = command[len(_IN_SHELL) :]
    words: list[str] = []
    room = TOLD_MAX
    for word in command:
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in word[:room])
        words.append(shown if len(word) <= room else shown + "…")
        room -= len(word)
        if room <= 0:
            break
    return words


class _Telling:
    """Tells of one exec: that it runs, if it takes long, and how it ended."""

    def __init__(self, core: Core, actor: Actor, workspace: Workspace, call: Call) -> None:
        self._core, self._actor, self._workspace, self._call = core, actor, workspace, call
        self._started = time.monotonic()
        self._exit: Exit | None = None
        self._kept = exec_outputs.keeping(core) if call.terminal is None else None
        self._command = told(call.shown or call.command)
        now = core.clock()
        core.journal.used(workspace.id, now)
        self._running = core.running.add(
            workspace.id, told_after_s=LONG_S, event=self._event(EventKind.EXEC_STARTED, {}, now)
        )

    async def watch(
        self, frames: AsyncIterator[tuple[Frame, bytes]]
    ) -> AsyncIterator[tuple[Frame, bytes]]:
        async for kind, payload in frames:
            self.see(kind, payload)
            yield kind, payload

    def see(self, kind: Frame, payload: bytes) -> None:
        if kind is Frame.EXIT:
            self._exit = read_exit(payload)
        elif self._kept is None:
            return
        elif kind is Frame.STDOUT:
            self._kept.stdout.add(payload)
        elif kind is Frame.STDERR:
            self._kept.stderr.add(payload)

    async def end(self) -> None:
        self._core.running.remove(self._running)
        detail: dict[str, object] = {}
        kind = EventKind.EXEC_FINISHED
        if self._exit is None and self._call.detach:
            # Nobody waits for it: that it began is all that will be told.
            kind = EventKind.EXEC_STARTED
            detail |= {"detached": True, "tag": self._call.tag}
            self._kept = None
        elif self._exit is None:
            took = (time.monotonic() - self._started) * 1000
            detail |= {"ended": "the caller went away", "duration_ms": round(took, 1)}
        else:
            detail |= {
                "exit_code": self._exit.exit_code,
                "duration_ms": round(self._exit.duration_ms, 1),
            }
            if self._exit.signal:
                detail["signal"] = self._exit.signal
        ended = self._core.clock()
        output = None if self._kept is None else self._output(self._kept, ended)
        detail |= exec_outputs.detail_of(output)
        with anyio.CancelScope(shield=True):
            await self._core.journal.record(self._event(kind, detail, ended), output)
        self._core.journal.used(self._workspace.id, self._core.clock())

    def _output(self, kept: Keeping, ended: datetime) -> ExecOutput | None:
        code, took_ms = None, (time.monotonic() - self._started) * 1000
        if self._exit is not None:
            code, took_ms = self._exit.exit_code, self._exit.duration_ms
        ran = Ran(self._command, code, took_ms, ended)
        return exec_outputs.made(self._core, self._actor, self._workspace, ran, kept)

    def _event(self, kind: EventKind, detail: dict[str, object], at: datetime) -> NewEvent:
        asked: dict[str, object] = {"command": self._command}
        for name in ("cwd", "user"):
            if value := getattr(self._call, name):
                asked[name] = told([value])[0]
        if self._call.terminal is not None:
            asked["terminal"] = True
        return event(kind, self._actor, self._workspace, {**asked, **detail}, at=at)


def _limited(call: Call) -> Call:
    timeout_s = TIMEOUT_MAX_S if call.timeout_s is None else min(call.timeout_s, TIMEOUT_MAX_S)
    return replace(call, timeout_s=timeout_s)
