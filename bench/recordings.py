"""What recording a terminal costs: its throughput and its echo, with and without, in turns.

The server's own code with a real agent and nothing between: over HTTP, recording is a smaller
part of the whole.
"""

import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio

from alcove.config import Settings
from alcove.core import execs
from alcove.core.agent import Call
from alcove.core.app import Core
from alcove.core.execs import shell
from alcove.core.frames import Frame
from alcove.model.recording import RecordingPolicy
from alcove.store.db import Database
from alcove.store.migrate import migrate
from bench.figures import Figure, median, quantile
from tests.conftest import MovedClock
from tests.core.agent_process import AgentProcess
from tests.core.world import ADA, open_world

_MIB: Final = 64
_ROUNDS: Final = 7
_KEYS: Final = 200
_LINE: Final = b"hello world \x1b[31mred\x1b[0m some line of text that is plain\r\n"


def recordings() -> list[Figure]:
    """MB/s of 64 MiB of output, and ms from a key to its echo."""
    return anyio.run(_measure, backend_options={"use_uvloop": True})


async def _measure() -> list[Figure]:
    speed: dict[RecordingPolicy, list[float]] = {policy: [] for policy in RecordingPolicy}
    echo: dict[RecordingPolicy, list[float]] = {policy: [] for policy in RecordingPolicy}
    async with _server() as (core, text):
        for round in range(_ROUNDS + 1):
            for policy in RecordingPolicy:
                under = replace(core, settings=replace(core.settings, recording=str(policy)))
                found = await _throughput(under, text)
                if round:
                    # The first one warms up.
                    speed[policy].append(found)
        for policy in RecordingPolicy:
            under = replace(core, settings=replace(core.settings, recording=str(policy)))
            echo[policy] = await _echoes(under)
    off = median(speed[RecordingPolicy.OFF])
    floor = {"not recorded": speed[RecordingPolicy.OFF]}
    figures = [
        Figure(
            f"terminal throughput, recording={policy}",
            "MB/s",
            speed[policy],
            "≥ 0.9 × not recorded",
            median(speed[policy]) >= 0.9 * off,
            floor,
        )
        for policy in (RecordingPolicy.TRY, RecordingPolicy.REQUIRE)
    ]
    added = median(echo[RecordingPolicy.REQUIRE]) - median(echo[RecordingPolicy.OFF])
    name = "key to echo, recording=require"
    floor = {"not recorded": echo[RecordingPolicy.OFF]}
    return [
        *figures,
        Figure(name, "ms", echo[RecordingPolicy.REQUIRE], "adds ≤ 2 ms", added <= 2, floor),
    ]


async def _throughput(core: Core, text: Path) -> float:
    line = f"stty raw -echo; i=0; while [ $i -lt {_MIB} ]; do cat {text}; i=$((i+1)); done"
    call = Call(command=shell(line), terminal=(80, 24), stdin=True)
    size = 0
    began = time.perf_counter()
    async with execs.process(core, ADA, "api", call) as process:
        async for kind, payload in process.frames():
            size += len(payload) if kind is Frame.STDOUT else 0
        took = time.perf_counter() - began
    return size / took / 1e6


async def _echoes(core: Core) -> list[float]:
    call = Call(command=("/bin/cat",), terminal=(80, 24), stdin=True)
    found: list[float] = []
    async with execs.process(core, ADA, "api", call) as process:
        frames = aiter(process.frames())
        for _ in range(_KEYS):
            await anyio.sleep(0.01)
            began = time.perf_counter()
            await process.send(Frame.STDIN, b"x")
            while (await anext(frames))[0] is not Frame.STDOUT:
                pass
            found.append((time.perf_counter() - began) * 1000)
    return [one for one in found if one <= quantile(found, 0.99)]


@asynccontextmanager
async def _server() -> AsyncGenerator[tuple[Core, Path]]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        db = Database(f"sqlite:///{directory}/alcove.db")
        await migrate(db)
        driver = AgentProcess(directory=directory)
        settings = Settings(driver="fake", data_dir=directory / "data")
        settings.server_dir.mkdir(parents=True)
        text = directory / "text"
        text.write_bytes((_LINE * (1 << 15))[: 1 << 20])
        try:
            async with open_world(db, MovedClock(), driver=driver, settings=settings) as world:
                await world.revise(await world.create(name="api"), user="root")
                await world.settle()
                yield world.core, text
        finally:
            driver.kill()
            await db.aclose()
