"""What happens to recordings when something fails, or somebody meddles with them."""

import os
import signal
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from alcove.core import execs, recording_keeper, recording_proof, recording_reading
from alcove.core.frames import Frame
from alcove.core.recorder import Recorder, Recorders
from alcove.core.recording_proof import Proof
from alcove.core.recordings import NAME_FILE, directory_of, path_of
from alcove.model.errors import Conflict, NotFound, Unavailable
from alcove.model.event import EventKind
from alcove.model.recording import Recording, RecordingState
from alcove.store import recordings
from tests.conftest import MovedClock
from tests.core.recording_world import (
    all_of,
    lines_of,
    one_of,
    run,
    shown_in,
    terminal,
    told,
    under,
)
from tests.core.world import ADA, World

STREAM = "while :; do echo something to see; sleep 0.01; done"


async def _proof(world: World, recording: Recording) -> Proof:
    return await recording_proof.verify(world.core, ADA, recording.id)


async def _long(world: World) -> Recording:
    """Of several chunks."""
    await run(world, "stty -opost; head -c 4000000 /dev/zero | tr '\\0' x")
    row = await one_of(world)
    assert row.chunks >= 3
    return row


def _fill_up(recorder: object) -> None:
    """From here on the kernel says that the disk is full."""
    assert isinstance(recorder, Recorder)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recorder._file._fd)  # pyright: ignore[reportPrivateUsage]
    os.close(full)


async def test_without_a_place_there_is_no_terminal(recorded: World) -> None:
    directory_of(recorded.core).write_text("in the way")
    with pytest.raises(Unavailable, match="must be recorded here, and cannot be: file exists"):
        await run(recorded, "echo hello")
    assert len(await told(recorded, EventKind.RECORDING_FAILED)) == 1


async def test_where_it_is_only_tried_there_is_one(recorded: World) -> None:
    trying = under(recorded, recording="try")
    directory_of(recorded.core).write_text("in the way")
    assert await run(trying, "echo hello") == b"hello\r\n"
    assert len(await told(recorded, EventKind.RECORDING_FAILED)) == 1
    assert b"alcove_recordings_failed_total 1.0" in trying.core.metrics.render({})


async def test_a_full_disk_ends_a_terminal_that_must_be_recorded(recorded: World) -> None:
    seen = bytearray()

    async def watch() -> None:
        async with execs.process(recorded.core, ADA, "api", terminal(STREAM)) as process:
            async for kind, payload in process.frames():
                if not seen:
                    _fill_up(process)
                if kind is Frame.STDOUT:
                    seen.extend(payload)

    with pytest.raises(Unavailable, match="no space left on device"):
        await watch()
    assert seen.endswith(b"cannot be any more: no space left on device]\r\n")
    row = await one_of(recorded)
    assert row.state is RecordingState.FAILED
    assert row.detail == "no space left on device"
    assert len(await told(recorded, EventKind.RECORDING_FAILED)) == 1


async def test_nothing_is_typed_into_a_terminal_that_must_be_recorded_and_is_not(
    recorded: World,
) -> None:
    async def type_on() -> None:
        async with execs.process(recorded.core, ADA, "api", terminal(STREAM)) as process:
            async for kind, _ in process.frames():
                if kind is Frame.STDOUT:
                    break
            _fill_up(process)
            while True:
                await process.send(Frame.STDIN, b"x")
                await anyio.sleep(0.01)

    with anyio.fail_after(20), pytest.raises(Unavailable, match="no space left"):
        await type_on()


async def test_where_it_is_only_tried_a_terminal_outlives_a_full_disk(recorded: World) -> None:
    trying = under(recorded, recording="try")
    line = "echo before; sleep 0.3; echo after; sleep 0.1; echo end"
    seen = b""
    async with execs.process(trying.core, ADA, "api", terminal(line)) as process:
        async for kind, payload in process.frames():
            if b"before" in payload:
                _fill_up(process)
            seen += payload if kind is Frame.STDOUT else b""
    assert seen == b"before\r\nafter\r\nend\r\n"
    row = await one_of(recorded)
    assert row.state is RecordingState.FAILED
    assert len(await told(recorded, EventKind.RECORDING_FAILED)) == 1
    assert (await _proof(recorded, row)).intact


async def test_one_that_is_too_large_ends(recorded: World) -> None:
    small = under(recorded, recording_mib_max=1)
    with pytest.raises(Unavailable, match="larger than 1 MiB"):
        await run(small, "head -c 3000000 /dev/zero | tr '\\0' x")
    assert (await one_of(small)).size <= 1 << 20


async def test_more_than_all_may_have_is_like_a_full_disk(recorded: World) -> None:
    await run(recorded, "echo hello")
    with pytest.raises(Unavailable, match="all recordings together have 0 MiB"):
        await run(under(recorded, recordings_mib_max=0), "echo hello")


async def test_what_was_not_touched_is_intact(recorded: World) -> None:
    row = await _long(recorded)
    proof = await _proof(recorded, row)
    assert (proof.intact, proof.chunks, proof.head) == (True, row.chunks, row.digest)


async def test_an_edited_byte_is_found_and_where(recorded: World) -> None:
    row = await _long(recorded)
    with path_of(recorded.core, row).open("r+b") as file:
        file.seek(row.size - 100)
        file.write(b"y")
    proof = await _proof(recorded, row)
    assert not proof.intact
    assert proof.chunk == row.chunks
    assert "are not those that were written" in (proof.broken or "")
    assert proof.offset is not None
    assert proof.offset <= row.size - 100


async def test_a_cut_end_is_found(recorded: World) -> None:
    row = await _long(recorded)
    os.truncate(path_of(recorded.core, row), row.size - 10)
    assert "the file was cut" in ((await _proof(recorded, row)).broken or "")


async def test_something_put_behind_the_end_is_found(recorded: World) -> None:
    row = await _long(recorded)
    with path_of(recorded.core, row).open("ab") as file:
        file.write(b'[99.0, "o", "never happened"]\n')
    assert "put behind its end" in ((await _proof(recorded, row)).broken or "")


async def test_a_missing_chunk_is_found(recorded: World) -> None:
    row = await _long(recorded)
    async with recorded.core.db.transaction() as tx:
        await tx.exec_driver_sql(
            "delete from events where kind = 'recording.extended' and detail like '%\"chunk\":2,%'"
        )
    proof = await _proof(recorded, row)
    assert proof.broken == "the event log does not have chunk 2"
    assert proof.chunk == 2


async def test_a_chain_of_another_recording_does_not_fit(recorded: World) -> None:
    row = await _long(recorded)
    await run(recorded, "echo other")
    other = next(one for one in await all_of(recorded) if one.id != row.id)
    path_of(recorded.core, other).write_bytes(path_of(recorded.core, row).read_bytes())
    async with recorded.core.db.transaction() as tx:
        await tx.exec_driver_sql(f"delete from events where subject = '{other.id}'")
        await tx.exec_driver_sql(
            f"update events set subject = '{other.id}' where subject = '{row.id}'"
        )
    assert not (await _proof(recorded, other)).intact


async def test_a_file_that_is_gone_is_found(recorded: World) -> None:
    row = await _long(recorded)
    path_of(recorded.core, row).unlink()
    assert (await _proof(recorded, row)).broken == "the file is gone"


async def _abandoned(world: World, rest: bytes = b"") -> Recording:
    """A recording as a killed server leaves it: the row is open, and the file has more than the
    log knows."""
    await run(world, "echo hello")
    row = await one_of(world)
    opened = replace(row, state=RecordingState.RECORDING)
    async with world.core.db.transaction() as tx:
        await recordings.remove(tx, row.id)
        await recordings.add(tx, opened)
    with path_of(world.core, row).open("ab") as file:
        file.write(rest)
    return opened


async def test_what_a_killed_server_left_is_ended_with_all_there_is(recorded: World) -> None:
    row = await _abandoned(recorded, b'[1.0, "o", "last words"]\n[1.1, "o", "half a li')
    await recording_keeper.tick(recorded.core)
    ended = await one_of(recorded)
    assert ended.state is RecordingState.LOST
    assert shown_in(recorded, ended).endswith("last words")
    assert ended.chunks == row.chunks + 1
    assert (await _proof(recorded, ended)).intact
    assert ended.expires_at is not None


async def test_one_that_is_being_written_is_left_alone(recorded: World) -> None:
    other_server = replace(recorded.core, recorders=Recorders())
    async with execs.process(recorded.core, ADA, "api", terminal("cat")):
        await recording_keeper.tick(other_server)
        assert (await one_of(recorded)).state is RecordingState.RECORDING
    assert (await one_of(recorded)).state is RecordingState.FINISHED


async def test_a_server_with_another_directory_says_who_has_it(
    recorded: World, tmp_path: Path
) -> None:
    await run(recorded, "echo hello")
    row = await one_of(recorded)
    (tmp_path / "other/server").mkdir(parents=True)
    other = under(recorded, data_dir=tmp_path / "other")
    other = replace(other, core=replace(other.core, recorders=Recorders()))
    with pytest.raises(Conflict, match=f"is on the server {row.server}"):
        await recording_reading.cast(other.core, ADA, row.id)
    await recording_keeper.tick(other.core)
    assert path_of(recorded.core, row).exists()


async def test_servers_that_share_a_directory_read_each_others(recorded: World) -> None:
    await run(recorded, "echo hello")
    other = replace(recorded.core, recorders=Recorders())
    found = await recording_reading.cast(other, ADA, (await one_of(recorded)).id)
    assert b"hello" in b"".join([piece async for piece in found.pieces])


async def test_its_time_over_it_is_removed_and_told_of(recorded: World, clock: MovedClock) -> None:
    await run(recorded, "echo hello")
    row = await one_of(recorded)
    clock.move(days=29)
    await recording_keeper.tick(recorded.core)
    assert path_of(recorded.core, row).exists()
    clock.move(days=2)
    await recording_keeper.tick(recorded.core)
    assert not path_of(recorded.core, row).exists()
    assert await all_of(recorded) == []
    assert await told(recorded, EventKind.RECORDING_REMOVED) == [row.id]


async def test_a_file_without_a_record_is_removed_after_a_while(recorded: World) -> None:
    await run(recorded, "echo hello")
    month = path_of(recorded.core, await one_of(recorded)).parent
    young, old = month / "rec-young.cast", month / "rec-old.cast"
    for path in (young, old):
        path.write_text("{}")
    os.utime(old, (0, 0))
    await recording_keeper.tick(recorded.core)
    assert (young.exists(), old.exists()) == (True, False)
    assert (directory_of(recorded.core) / NAME_FILE).exists()


async def test_a_row_whose_file_cannot_be_found_is_ended(recorded: World) -> None:
    row = await _abandoned(recorded)
    path_of(recorded.core, row).unlink()
    await recording_keeper.tick(recorded.core)
    ended = await one_of(recorded)
    assert (ended.state, ended.detail) == (RecordingState.LOST, "the file is gone")
    with pytest.raises(NotFound, match="is gone"):
        await recording_reading.cast(recorded.core, ADA, row.id)


KILLED = """
    import sys, time
    from pathlib import Path
    from alcove.core.recording_file import CastFile, Header, Item
    from alcove.model.recording import RecordingId
    path, id = Path(sys.argv[1]), RecordingId(sys.argv[2])
    file = CastFile(path, id, Header(80, 24, 0, "x"), size_max=1 << 20)
    for number in range(100000):
        file.write([Item(number / 100, "o", f"line {number}\\r\\n".encode())])
        print(number, flush=True)
        time.sleep(0.001)
"""


async def test_all_that_was_written_outlives_kill_9(recorded: World) -> None:
    row = await _abandoned(recorded)
    path = path_of(recorded.core, row)
    path.unlink()
    async with recorded.core.db.transaction() as tx:
        await tx.exec_driver_sql("delete from events where kind = 'recording.extended'")
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), row.id]
    last = 0
    async with await anyio.open_process(program) as writer:
        assert writer.stdout is not None
        said = BufferedByteReceiveStream(writer.stdout)
        while last < 50:
            last = int(await said.receive_until(b"\n", 32))
        # While it lives, its file is not taken for lost.
        await recording_keeper.tick(recorded.core)
        assert (await one_of(recorded)).state is RecordingState.RECORDING
        writer.send_signal(signal.SIGKILL)
        await writer.wait()
    await recording_keeper.tick(recorded.core)
    ended = await one_of(recorded)
    assert ended.state is RecordingState.LOST
    assert f"line {last}\r\n" in shown_in(recorded, ended)
    assert lines_of(recorded, ended)[-1][1] == "o"
    assert (await _proof(recorded, ended)).intact
