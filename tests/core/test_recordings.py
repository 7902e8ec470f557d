"""Recording of terminals, with the real agent."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from alcove.config import Settings
from alcove.core import execs
from alcove.core.agent import Call, Frame, Process
from alcove.core.execs import shell
from alcove.core.recordings import path_of
from alcove.model.recording import Recording, RecordingState, SessionKind
from alcove.store import recordings
from alcove.store.db import Database
from alcove.store.recordings import RecordingFilters
from tests.conftest import MovedClock
from tests.core.agent_process import AgentProcess
from tests.core.world import ADA, World, open_world


@pytest.fixture
async def recorded(file_url: str, clock: MovedClock, tmp_path: Path) -> AsyncGenerator[World]:
    """A world that records, with a workspace `api` that has the real agent."""
    settings = Settings(driver="fake", data_dir=tmp_path / "data", recording="require")
    settings.server_dir.mkdir(parents=True)
    driver = AgentProcess(directory=tmp_path)
    db = Database(file_url)
    try:
        async with open_world(db, clock, driver=driver, settings=settings) as world:
            await world.revise(await world.create(name="api"), user="root")
            await world.settle()
            yield world
    finally:
        driver.kill()
        await db.aclose()


def _terminal(line: str) -> Call:
    return Call(command=shell(line), terminal=(80, 24), kind=SessionKind.SSH, stdin=True)


async def _run(world: World, line: str) -> bytes:
    out = b""
    async with execs.process(world.core, ADA, "api", _terminal(line)) as process:
        async for kind, payload in process.frames():
            if kind is Frame.STDOUT:
                out += payload
    return out


async def _all(world: World) -> list[Recording]:
    async with world.core.db.read() as tx:
        return list(await recordings.find(tx, RecordingFilters(), after=None, limit=100))


def _lines(world: World, recording: Recording) -> list[list[object]]:
    text = path_of(world.core, recording).read_text()
    return [json.loads(line) for line in text.splitlines()]


async def test_what_a_terminal_shows_is_in_its_recording(recorded: World) -> None:
    out = await _run(recorded, "echo hello; exit 3")
    [row] = await _all(recorded)
    header, *lines = _lines(recorded, row)
    assert header["version"] == 2
    assert "".join(data for _, kind, data in lines if kind == "o").encode() == out == b"hello\r\n"
    assert (row.state, row.exit_code, row.kind) == (RecordingState.FINISHED, 3, SessionKind.SSH)
