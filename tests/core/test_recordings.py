"""Recording of terminals, with the real agent."""

import time
from pathlib import Path

import anyio
import pytest

from alcove.core import (
    execs,
    recorder,
    recording_file,
    recording_proof,
    recording_reading,
    terminals,
)
from alcove.core.agent import Call
from alcove.core.frames import Frame
from alcove.core.recordings import path_of
from alcove.model.event import EventKind
from alcove.model.recording import RecordingState, SessionKind
from tests.conftest import MovedClock
from tests.core.recording_world import all_of, lines_of, one_of, run, shown_in, terminal, under
from tests.core.world import ADA, World


async def test_what_a_terminal_shows_is_in_its_recording(recorded: World) -> None:
    out = await run(recorded, "echo hello; exit 3")
    row = await one_of(recorded)
    assert lines_of(recorded, row)[0]["version"] == 2  # type: ignore[call-overload]
    assert shown_in(recorded, row).encode() == out == b"hello\r\n"
    assert (row.state, row.exit_code, row.kind) == (RecordingState.FINISHED, 3, SessionKind.SSH)
    assert (row.title, row.actor, row.columns) == ("echo hello; exit 3", ADA.id, 80)


async def test_its_beginning_and_end_are_events(recorded: World) -> None:
    await run(recorded, "true")
    row = await one_of(recorded)
    told = [e for e in await recorded.events() if e.subject == row.id]
    assert [e.kind for e in told] == [
        EventKind.RECORDING_STARTED,
        EventKind.RECORDING_EXTENDED,
        EventKind.RECORDING_FINISHED,
    ]
    assert told[1].detail["head"] == told[2].detail["head"] == row.digest


async def test_a_web_terminal_is_recorded(recorded: World) -> None:
    async with terminals.open_terminal(
        recorded.core, ADA, "api", session="main", size=(90, 20)
    ) as process:
        await process.send(Frame.STDIN, b"echo $((6*7)); exit\n")
        async for kind, _ in process.frames():
            if kind is Frame.EXIT:
                break
    row = await one_of(recorded)
    assert (row.kind, row.columns, row.rows) == (SessionKind.TERMINAL, 90, 20)
    assert "42" in shown_in(recorded, row)


async def test_what_is_typed_and_not_echoed_is_not_recorded(recorded: World) -> None:
    call = terminal("stty -echo; echo ready; read secret; echo thanks")
    async with execs.process(recorded.core, ADA, "api", call) as process:
        async for kind, payload in process.frames():
            if b"ready" in payload and kind is Frame.STDOUT:
                await process.send(Frame.STDIN, b"hunter2\n")
    text = path_of(recorded.core, await one_of(recorded)).read_text()
    assert "thanks" in text
    assert "hunter2" not in text


async def test_a_resize_is_recorded(recorded: World) -> None:
    async with execs.process(recorded.core, ADA, "api", terminal("cat")) as process:
        await process.send(Frame.RESIZE, b'{"cols": 120, "rows": 40}')
        await process.send(Frame.STDIN, b"\x04")
        async for _ in process.frames():
            pass
    lines = lines_of(recorded, await one_of(recorded))
    assert ["r", "120x40"] in [line[1:] for line in lines[1:]]


async def test_nothing_is_recorded_without_a_terminal(recorded: World) -> None:
    await execs.run(recorded.core, ADA, "api", Call(command=("/bin/echo", "x")))
    assert await all_of(recorded) == []


async def test_nothing_is_recorded_where_it_is_off(recorded: World) -> None:
    off = under(recorded, recording="off")
    assert await run(off, "echo hello") == b"hello\r\n"
    assert await all_of(off) == []


async def test_the_file_is_the_servers_alone(recorded: World) -> None:
    await run(recorded, "true")
    path = path_of(recorded.core, await one_of(recorded))
    modes = [f.stat().st_mode & 0o777 for f in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


async def test_a_byte_is_on_disk_before_it_is_seen(recorded: World) -> None:
    line = "for i in 1 2 3 4 5; do echo number $i; sleep 0.02; done"
    async with execs.process(recorded.core, ADA, "api", terminal(line)) as process:
        row = await one_of(recorded)
        async for kind, payload in process.frames():
            if kind is Frame.STDOUT:
                on_disk = path_of(recorded.core, row).read_bytes()
                for word in payload.split(b"\r\n"):
                    assert word in on_disk


async def test_fifty_megabytes_go_through_in_order_and_in_little_memory(
    recorded: World,
) -> None:
    size = held = 0
    line = "stty -opost; i=0; while [ $i -lt 50 ]; do head -c 1000000 /dev/zero; i=$((i+1)); done"
    async with execs.process(recorded.core, ADA, "api", terminal(line)) as process:
        async for kind, payload in process.frames():
            size += len(payload) if kind is Frame.STDOUT else 0
            held = max(held, process._held)  # type: ignore[attr-defined]
    assert size == 50_000_000
    assert held <= recorder.HELD_MAX + recording_file.CHUNK_BYTES
    row = await one_of(recorded)
    assert len(shown_in(recorded, row)) == size
    assert (await recording_proof.verify(recorded.core, ADA, row.id)).intact


async def test_the_log_is_told_of_many_chunks_of_a_stream_at_once(
    recorded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = recording_file.CastFile.sync, 0

    def counted(file: recording_file.CastFile) -> None:
        nonlocal synced
        synced += 1
        sync(file)

    monkeypatch.setattr(recording_file.CastFile, "sync", counted)
    monkeypatch.setattr(recording_file, "CHUNK_BYTES", 64 << 10)
    monkeypatch.setattr(recorder, "TELL_S", 5.0)
    line = "stty -opost; i=0; while [ $i -lt 30 ]; do head -c 1000000 /dev/zero; i=$((i+1)); done"
    began = time.monotonic()
    async with execs.process(recorded.core, ADA, "api", terminal(line)) as process:
        async for _ in process.frames():
            pass
    # The first one, and the last at the end, whenever those are.
    assert synced <= (time.monotonic() - began) / recorder.TELL_S + 2
    chunks = [e for e in await recorded.events() if e.kind == EventKind.RECORDING_EXTENDED]
    assert len(chunks) > 2 * synced


async def test_two_hundred_at_once_are_each_recorded(recorded: World) -> None:
    done: list[bytes] = []

    async def one(number: int) -> None:
        done.append(await run(recorded, f"echo this is {number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(one, number)
    rows = await all_of(recorded)
    assert len(rows) == 200
    assert {row.state for row in rows} == {RecordingState.FINISHED}
    shown = sorted(shown_in(recorded, row).encode() for row in rows)
    assert shown == sorted(done)


async def test_times_never_go_back_when_the_clock_does(recorded: World, clock: MovedClock) -> None:
    async with execs.process(recorded.core, ADA, "api", terminal("cat")) as process:
        frames = aiter(process.frames())
        await process.send(Frame.STDIN, b"one\n")
        await anext(frames)
        clock.move(seconds=-3600)
        await process.send(Frame.STDIN, b"two\n\x04")
        async for _ in frames:
            pass
    row = await one_of(recorded)
    times = [float(str(line[0])) for line in lines_of(recorded, row)[1:]]
    assert times == sorted(times)
    assert times[0] >= 0


async def test_the_error_of_whoever_watches_comes_out_as_it_is(recorded: World) -> None:
    with pytest.raises(KeyError):
        async with execs.process(recorded.core, ADA, "api", terminal("cat")):
            raise KeyError
    assert (await one_of(recorded)).state is RecordingState.FINISHED


BASH = r"""
PS0='\e]133;C\a'
PROMPT_COMMAND='printf "\e]133;D;%s\a\e]133;A\a" "$?"'
PS1="$PS1\[\e]133;B\a\]"
"""


async def test_bash_marks_its_commands_as_the_documentation_says(
    recorded: World, tmp_path: Path
) -> None:
    rc = tmp_path / "bashrc"
    rc.write_text(BASH)
    call = terminal(f"exec bash --noprofile --rcfile {rc} -i")
    async with execs.process(recorded.core, ADA, "api", call) as process:
        prompts, typed = 0, [b"true\n", b"(exit 7)\n", b"exit\n"]
        async for _, payload in process.frames():
            for _ in range(payload.count(b"\x1b]133;B")):
                await process.send(Frame.STDIN, typed[prompts])
                prompts += 1
    row = await one_of(recorded)
    found = await recording_reading.commands(recorded.core, ADA, row.id)
    assert [(one.text, one.exit_code) for one in found] == [
        ("true", 0),
        ("(exit 7)", 7),
        ("exit", None),
    ]


def test_the_documentation_has_what_was_tried() -> None:
    text = (Path(__file__).parents[2] / "docs/operator/recordings.md").read_text()
    assert all(line in text for line in BASH.strip().splitlines())
