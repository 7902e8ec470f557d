"""What tests of recordings share: running something in a terminal, and reading what was kept."""

import json
from dataclasses import replace

from alcove.core import execs
from alcove.core.agent import Call
from alcove.core.execs import shell
from alcove.core.frames import Frame
from alcove.core.recordings import path_of
from alcove.model.event import EventKind
from alcove.model.recording import Recording, SessionKind
from alcove.store import recordings
from alcove.store.recordings import RecordingFilters
from tests.core.world import ADA, World


def terminal(line: str) -> Call:
    return Call(
        command=shell(line), terminal=(80, 24), kind=SessionKind.SSH, stdin=True, shown=(line,)
    )


async def run(world: World, line: str) -> bytes:
    out = b""
    async with execs.process(world.core, ADA, "api", terminal(line)) as process:
        async for kind, payload in process.frames():
            if kind is Frame.STDOUT:
                out += payload
    return out


async def all_of(world: World) -> list[Recording]:
    async with world.core.db.read() as tx:
        return list(await recordings.find(tx, RecordingFilters(), after=None, limit=500))


async def one_of(world: World) -> Recording:
    [found] = await all_of(world)
    return found


def lines_of(world: World, recording: Recording) -> list[list[object]]:
    text = path_of(world.core, recording).read_text()
    return [json.loads(line) for line in text.splitlines()]


def shown_in(world: World, recording: Recording) -> str:
    return "".join(str(line[2]) for line in lines_of(world, recording)[1:] if line[1] == "o")


async def told(world: World, kind: EventKind) -> list[str]:
    await world.core.journal.flush(world.core)
    return [event.subject for event in await world.events() if event.kind == kind]


def under(world: World, **settings: object) -> World:
    """The same world under other settings."""
    changed = replace(world.core.settings, **settings)  # type: ignore[arg-type]
    return replace(world, core=replace(world.core, settings=changed))
