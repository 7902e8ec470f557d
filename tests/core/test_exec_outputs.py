"""What commands without a terminal wrote, with the real agent, on both databases."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import anyio
import pytest

from alcove.core import (
    exec_output_reading,
    exec_outputs,
    execs,
    journal,
    recording_keeper,
    workspaces,
)
from alcove.core.agent import Call
from alcove.core.exec_outputs import Keeping, Ran, detail_of
from alcove.core.execs import shell
from alcove.core.frames import Frame
from alcove.core.pages import PageRequest
from alcove.core.recording_reading import Wanted
from alcove.model.access import Permission
from alcove.model.errors import Denied, Invalid, NotFound, Unavailable
from alcove.model.event import Event, EventKind, NewEvent
from alcove.model.exec_output import ExecOutput
from alcove.store import exec_outputs as store
from alcove.store.db import Database
from alcove.store.recordings import RecordingFilters
from tests.conftest import MovedClock
from tests.core.agent_process import AgentProcess
from tests.core.recording_world import under
from tests.core.world import ADA, BOB, ROOT, World, open_world
from tests.model.test_lifecycle import WORKSPACE


@pytest.fixture
async def world(db: Database, clock: MovedClock, tmp_path: Path) -> AsyncGenerator[World]:
    """With a workspace `api` that has the real agent."""
    driver = AgentProcess(directory=tmp_path)
    try:
        async with open_world(db, clock, driver=driver) as world:
            await world.revise(await world.create(name="api"), user="root")
            await world.settle()
            yield world
    finally:
        driver.kill()


async def _run(world: World, line: str) -> None:
    await execs.run(world.core, ADA, "api", Call(command=shell(line)))
    await world.core.journal.flush(world.core)


async def _all(world: World) -> list[ExecOutput]:
    async with world.core.db.read() as tx:
        return list(await store.find(tx, RecordingFilters(), after=None, limit=500))


async def _told(world: World, kind: EventKind) -> list[Event]:
    return [event for event in await world.events() if event.kind == kind]


async def test_what_a_command_wrote_is_kept(world: World) -> None:
    await _run(world, "echo out; echo err >&2; exit 3")
    [one] = await _all(world)
    assert (one.stdout.kept, one.stderr.kept, one.exit_code) == (b"out\n", b"err\n", 3)
    assert (one.command, one.actor) == ("echo out; echo err >&2; exit 3", ADA.id)


async def test_the_log_has_its_digest_and_nothing_of_it(world: World) -> None:
    await _run(world, "echo hun''ter2")
    [one] = await _all(world)
    [event] = await _told(world, EventKind.EXEC_FINISHED)
    assert (event.detail["output"], event.detail["digest"]) == (one.id, one.digest)
    assert event.detail["stdout_bytes"] == 8
    assert "hunter2" not in str([e.detail for e in await world.events()])


async def test_much_output_is_kept_at_its_ends(world: World) -> None:
    await _run(world, "printf begin; head -c 300000 /dev/zero; printf end")
    [one] = await _all(world)
    assert len(one.stdout.kept) == 2 * world.core.settings.exec_output_bytes
    assert (one.stdout.head[:5], one.stdout.tail[-3:]) == (b"begin", b"end")
    assert one.stdout.size == 300_008


async def test_bytes_are_kept_as_they_came(world: World) -> None:
    await _run(world, r"printf '\000\377\033[2J'")
    [one] = await _all(world)
    assert one.stdout.kept == b"\x00\xff\x1b[2J"


async def test_what_goes_in_is_not_kept(world: World) -> None:
    call = Call(command=("/bin/sh", "-c", "read secret; echo thanks"), stdin=b"hunter2\n")
    await execs.run(world.core, ADA, "api", call)
    await world.core.journal.flush(world.core)
    [one] = await _all(world)
    assert one.stdout.kept == b"thanks\n"
    assert "hunter2" not in str(one)


async def test_a_silent_command_keeps_nothing(world: World) -> None:
    await _run(world, "true")
    assert await _all(world) == []
    [event] = await _told(world, EventKind.EXEC_FINISHED)
    assert "output" not in event.detail


@pytest.mark.parametrize("settings", [{"recording": "off"}, {"exec_output_bytes": 0}])
async def test_nothing_is_kept_where_it_is_off(world: World, settings: dict[str, object]) -> None:
    off = under(world, **settings)
    await _run(off, "echo out")
    assert await _all(off) == []
    [event] = await _told(off, EventKind.EXEC_FINISHED)
    assert event.detail["exit_code"] == 0


async def test_a_live_process_without_a_terminal_is_kept(world: World) -> None:
    call = Call(command=("/bin/cat",), stdin=True)
    async with execs.process(world.core, ADA, "api", call) as process:
        await process.send(Frame.STDIN, b"said back")
        await process.send(Frame.STDIN_EOF)
        async for _ in process.frames():
            pass
    await world.core.journal.flush(world.core)
    assert [one.stdout.kept for one in await _all(world)] == [b"said back"]


async def test_a_terminal_is_not_kept_twice(world: World) -> None:
    call = Call(command=shell("echo shown"), terminal=(80, 24), stdin=True)
    async with execs.process(world.core, ADA, "api", call) as process:
        async for _ in process.frames():
            pass
    await world.core.journal.flush(world.core)
    assert await _all(world) == []


async def test_what_a_detached_process_says_as_it_starts_is_not_its_output(world: World) -> None:
    call = Call(command=shell("echo ready; sleep 60"), tag="t", detach=True)
    async with execs.stream(world.core, ADA, "api", call) as frames:
        async for kind, _ in frames:
            if kind is Frame.STDOUT:
                break
    await world.core.journal.flush(world.core)
    assert await _all(world) == []


async def test_what_was_written_before_the_caller_left_is_kept(world: World) -> None:
    call = Call(command=shell("echo begun; sleep 60"))
    async with execs.stream(world.core, ADA, "api", call) as frames:
        async for kind, _ in frames:
            if kind is Frame.STDOUT:
                break
    await world.core.journal.flush(world.core)
    [one] = await _all(world)
    assert (one.stdout.kept, one.exit_code) == (b"begun\n", None)


async def test_a_command_costs_no_query_before_the_journal_writes(world: World) -> None:
    async def cost(core: World) -> int:
        before = core.core.db.queries
        await execs.run(core.core, ADA, "api", Call(command=shell("echo out")))
        return core.core.db.queries - before

    await cost(world)
    assert await cost(world) == await cost(under(world, exec_output_bytes=0))


async def test_many_cost_one_statement_more_than_without(world: World) -> None:
    async def cost(core: World) -> int:
        for _ in range(20):
            await execs.run(core.core, ADA, "api", Call(command=shell("echo out")))
        before = core.core.db.queries
        await core.core.journal.flush(core.core)
        return core.core.db.queries - before

    await cost(world)
    assert await cost(world) == await cost(under(world, exec_output_bytes=0)) + 1


async def test_event_and_output_are_written_together_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise Unavailable("scripted")

    await execs.run(world.core, ADA, "api", Call(command=shell("echo out")))
    with monkeypatch.context() as patch:
        patch.setattr("alcove.store.events.append", broken)
        with pytest.raises(Unavailable):
            await world.core.journal.flush(world.core)
    assert await _all(world) == []
    await world.core.journal.flush(world.core)
    assert len(await _all(world)) == len(await _told(world, EventKind.EXEC_FINISHED)) == 1


async def test_an_orderly_stop_writes_all_output(world: World) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(world.core.journal.run, world.core)
        await anyio.wait_all_tasks_blocked()
        for number in range(30):
            await execs.run(world.core, ADA, "api", Call(command=shell(f"echo {number}")))
        group.cancel_scope.cancel()
    assert len(await _all(world)) == 30


def _made(world: World, workspace: str, text: bytes, ran: Ran | None = None) -> ExecOutput:
    kept = Keeping(world.core.settings.exec_output_bytes)
    kept.stdout.add(text)
    ran = ran or Ran(["echo"], 0, 1.0, world.core.clock())
    row = replace(WORKSPACE, id=workspace, owner=ADA.id)  # type: ignore[arg-type]
    made = exec_outputs.made(world.core, ADA, row, ran, kept)
    assert made is not None
    return made


async def _add(world: World, workspace: str, text: bytes, ran: Ran | None = None) -> ExecOutput:
    made = _made(world, workspace, text, ran)
    event = NewEvent(
        EventKind.EXEC_FINISHED,
        ADA.id,
        workspace,
        owner=ADA.id,
        detail=detail_of(made),
        at=made.at,
    )
    await world.core.journal.record(event, made)
    await world.core.journal.flush(world.core)
    return made


@pytest.mark.parametrize("code", [10**30, -(10**30)])
@pytest.mark.parametrize("took", [float("nan"), float("inf")])
async def test_an_end_that_no_database_has_is_written_all_the_same(
    world: World, code: int, took: float
) -> None:
    made = await _add(world, "ws-1", b"x", Ran(["a"], code, took, world.core.clock()))
    [one] = await _all(world)
    assert (one.id, one.exit_code, one.duration_ms) == (made.id, None, 0.0)


async def test_output_that_waits_is_bounded_in_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "WAITING_BYTES_MAX", 3)
    event = NewEvent(EventKind.EXEC_FINISHED, ADA.id, "ws-1")
    await world.core.journal.record(event, _made(world, "ws-1", b"1234"))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for text in (b"5678", b"9"):
                group.start_soon(world.core.journal.record, event, _made(world, "ws-1", text))
            await anyio.wait_all_tasks_blocked()
            assert world.core.journal.waiting == 1
            while world.core.journal.waiting:
                await world.core.journal.flush(world.core)
                await anyio.wait_all_tasks_blocked()
    assert len(await _all(world)) == 3


async def test_a_batch_with_much_output_is_small(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BATCH_BYTES", 5)
    event = NewEvent(EventKind.EXEC_FINISHED, ADA.id, "ws-1")
    for _ in range(4):
        await world.core.journal.record(event, _made(world, "ws-1", b"123"))
    before = world.core.db.queries
    await world.core.journal.flush(world.core)
    cost = world.core.db.queries - before
    for _ in range(4):
        await world.core.journal.record(event, _made(world, "ws-1", b"1"))
    before = world.core.db.queries
    await world.core.journal.flush(world.core)
    assert cost == 2 * (world.core.db.queries - before)


async def test_it_goes_when_its_time_is_over(world: World) -> None:
    await _add(world, "ws-1", b"old")
    world.clock.move(days=15)
    young = await _add(world, "ws-1", b"young")
    world.clock.move(days=16)
    await recording_keeper.tick(world.core)
    assert [one.id for one in await _all(world)] == [young.id]
    [event] = await _told(world, EventKind.RECORDING_REMOVED)
    assert (event.subject, event.detail["count"]) == (exec_outputs.SUBJECT, 1)


async def test_the_oldest_go_when_there_are_too_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_outputs, "BATCH", 3)
    small = under(world, exec_outputs_mib_max=1, exec_output_bytes=65_536)
    made: list[str] = []
    for _ in range(12):
        made.append((await _add(small, "ws-1", b"\0" * 131_072)).id)
        small.clock.move(seconds=1)
    await recording_keeper.tick(small.core)
    assert [one.id for one in reversed(await _all(small))] == made[-7:]
    async with small.core.db.scan() as tx:
        assert await store.used(tx) <= 1 << 20


async def test_reading_it_is_told_of_and_listing_is_not(world: World) -> None:
    made = await _add(world, "ws-1", b"text")
    await exec_output_reading.find(world.core, ADA, PageRequest(), Wanted())
    assert await _told(world, EventKind.RECORDING_READ) == []
    found = await exec_output_reading.read(world.core, ADA, made.id)
    assert (found.output, found.intact) == (made, True)
    [event] = await _told(world, EventKind.RECORDING_READ)
    assert (event.subject, event.detail["how"]) == (made.id, "output")


async def test_what_was_changed_is_not_intact(world: World) -> None:
    made = await _add(world, "ws-1", b"text")
    async with world.core.db.transaction() as tx:
        await tx.exec_driver_sql("update exec_outputs set exit_code = 1")
    assert not (await exec_output_reading.read(world.core, ADA, made.id)).intact


async def test_only_who_may_reads_it(world: World) -> None:
    made = await _add(world, "ws-1", b"text")
    without = replace(ADA, scopes=frozenset({Permission.AUDIT_READ, Permission.WORKSPACE_EXEC}))
    for actor in (BOB, without):
        with pytest.raises(NotFound):
            await exec_output_reading.read(world.core, actor, made.id)
        assert not (
            await exec_output_reading.find(world.core, actor, PageRequest(), Wanted())
        ).items
    assert await _told(world, EventKind.RECORDING_READ) == []


async def test_an_admin_deletes_it_and_its_owner_does_not(world: World) -> None:
    made = await _add(world, "ws-1", b"text")
    with pytest.raises(Denied):
        await exec_output_reading.delete(world.core, ADA, made.id)
    await exec_output_reading.delete(world.core, ROOT, made.id)
    assert await _all(world) == []
    [event] = await _told(world, EventKind.RECORDING_REMOVED)
    assert (event.subject, event.detail["digest"]) == (made.id, made.digest)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (b"error: Disk on FIRE\n", "disk on"),
        (b"\x1b[31mer\x1b[0mror\n", "error"),
        ("GRÜSSE\n".encode(), "grüße"),
        (b"100% done_\n", "0% done_"),
    ],
)
async def test_a_search_finds_what_was_written(world: World, text: bytes, asked: str) -> None:
    made = await _add(world, "ws-1", text)
    await _add(world, "ws-1", b"nothing of the kind, 100 done!\n")
    page = await exec_output_reading.find(world.core, ADA, PageRequest(), Wanted(text=asked))
    assert [one.id for one in page.items] == [made.id]
    [event] = await _told(world, EventKind.RECORDING_READ)
    assert event.detail == {"how": "search", "found": [made.id]}


async def test_a_search_goes_on_behind_its_window(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_output_reading, "SEARCH_WINDOW", 2)
    made = await _add(world, "ws-1", b"wanted")
    for _ in range(4):
        world.clock.move(seconds=1)
        await _add(world, "ws-1", b"other")
    cursor, pages, found = None, 0, list[str]()
    while cursor is not None or not pages:
        request = PageRequest(10, cursor)
        page = await exec_output_reading.find(world.core, ADA, request, Wanted(text="wanted"))
        found += [one.id for one in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert (found, pages) == ([made.id], 3)


async def test_the_pages_of_a_list_have_each_once(world: World) -> None:
    made = {(await _add(world, "ws-1", b"x")).id for _ in range(5)}
    cursor, seen = None, list[str]()
    while cursor is not None or not seen:
        page = await exec_output_reading.find(world.core, ADA, PageRequest(2, cursor), Wanted())
        seen += [one.id for one in page.items]
        cursor = page.next_cursor
    assert (len(seen), set(seen)) == (5, made)


async def test_what_nobody_sees_is_not_searched(world: World) -> None:
    with pytest.raises(Invalid, match="q"):
        await exec_output_reading.find(world.core, ADA, PageRequest(), Wanted(text="a\x00b"))


async def test_it_outlives_its_workspace(world: World) -> None:
    await _run(world, "echo out")
    await workspaces.delete(world.core, ADA, "api")
    await world.settle()
    page = await exec_output_reading.find(world.core, ADA, PageRequest(), Wanted())
    assert len(page.items) == 1


async def test_it_is_intact_however_the_clock_goes_on(world: World) -> None:
    def ticking() -> datetime:
        world.clock.move(microseconds=1)
        return world.clock()

    going = replace(world, core=replace(world.core, clock=ticking))
    await _run(going, "echo out")
    [one] = await _all(going)
    assert (await exec_output_reading.read(going.core, ADA, one.id)).intact
