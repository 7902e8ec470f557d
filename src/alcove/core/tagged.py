"""Processes that outlive whoever started them. The agent keeps them under a tag; the server
keeps nothing, so that they are found again after its restart.

Rule: nothing here checks permissions or tells of anything; the verbs that use it do.
"""

import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from alcove.core.agent import Call, Reach
from alcove.core.app import Core
from alcove.core.execs import read_exit
from alcove.core.frames import Frame, Process
from alcove.model.errors import Invalid, Unavailable

OUTPUT_MAX: Final = 8 << 20
STEP_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Tagged:
    """One that runs. `cwd` is where it was started."""

    tag: str
    pid: int
    env: Mapping[str, str]
    cwd: str


@dataclass(frozen=True, slots=True)
class Output:
    exit_code: int
    stdout: bytes
    stderr: bytes
    truncated: bool


async def running(core: Core, reach: Reach, *, prefix: str) -> Sequence[Tagged]:
    """Those whose tag begins so, oldest first."""
    answer: Mapping[str, Any] = (
        await core.agents.json(reach, "POST", "/process.Process/List", {}) or {}
    )
    found: list[Tagged] = []
    try:
        listed: Sequence[Mapping[str, Any]] = answer.get("processes") or ()
        for said in listed:
            tag = str(said.get("tag") or "")
            if tag.startswith(prefix):
                config: Mapping[str, Any] = said["config"]
                envs: Mapping[str, str] = config.get("envs") or {}
                env = {str(name): str(value) for name, value in envs.items()}
                found.append(Tagged(tag, int(said["pid"]), env, str(config.get("cwd") or "")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable("the agent's list of processes cannot be read") from error
    return sorted(found, key=lambda one: one.pid)


async def start(core: Core, reach: Reach, call: Call) -> int:
    """Start it detached, and answer its pid. Raises Conflict when its tag is taken."""
    async with core.agents.process(reach, call) as process:
        async for kind, payload in process.frames():
            if kind is Frame.STARTED:
                return int(json.loads(payload)["pid"])
            if kind is Frame.EXIT:
                break
    raise Invalid("the shell could not be started; is there one in the image?")


@asynccontextmanager
async def attached(
    core: Core, reach: Reach, tag: str, *, replay: bool = False
) -> AsyncGenerator[Process]:
    """Its frames from now on. Leaving does not end it. Raises NotFound when none runs."""
    said = base64.b64encode(json.dumps({"tag": tag}).encode()).decode()
    query = "attach=1&replay=1" if replay else "attach=1"
    async with core.agents.stream(reach, query, [("X-Alcove-Process", said)]) as stream:
        yield Process(stream)


async def kill(core: Core, reach: Reach, tag: str) -> None:
    """End it with all it started, and wait until it is gone. Raises NotFound."""
    async with attached(core, reach, tag) as process:
        await process.send(Frame.SIGNAL, json.dumps({"signal": "KILL"}).encode())
        async for kind, _ in process.frames():
            if kind is Frame.EXIT:
                return


async def step(
    core: Core,
    reach: Reach,
    script: str,
    *words: str,
    stdin: bytes = b"",
    timeout_s: float = STEP_TIMEOUT_S,
) -> Output:
    """Run a little script of ours in `sh`, with `words` as its arguments."""
    call = Call(
        command=("/bin/sh", "-c", script, "sh", *words),
        stdin=stdin,
        timeout_s=timeout_s,
        output_limit=OUTPUT_MAX,
    )
    out: dict[Frame, list[bytes]] = {Frame.STDOUT: [], Frame.STDERR: []}
    async with core.agents.exec(reach, call) as frames:
        async for kind, payload in frames:
            if kind in out:
                out[kind].append(payload)
            elif kind is Frame.EXIT:
                ended = read_exit(payload)
                stdout, stderr = (b"".join(out[k]) for k in (Frame.STDOUT, Frame.STDERR))
                return Output(ended.exit_code, stdout, stderr, ended.truncated)
    raise Unavailable("the workspace's agent went away before a step ended")
