"""Running things and reaching files in a workspace, with the real agent in it."""

import io
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from alcove.core import execs, files, logs, startups, workspaces
from alcove.core.agent import Call
from alcove.core.execs import shell, told
from alcove.core.frames import Frame
from alcove.model.access import Permission
from alcove.model.errors import Conflict, Denied, Invalid, NotFound
from alcove.model.event import Event
from alcove.model.workspace import Phase, Script, Workspace
from tests.core.world import ADA, BOB, World


async def _made(world: World) -> Workspace:
    """The agent runs on this machine, where there is no user `dev`."""
    row = await world.revise(await world.create(name="api"), user="root")
    await world.settle()
    return row


async def _told(world: World, kind: str) -> list[Event]:
    await world.core.journal.flush(world.core)
    return [event for event in await world.events() if event.kind == kind]


async def _bytes(pieces: bytes) -> AsyncIterator[bytes]:
    yield pieces


async def test_a_command_runs_and_is_told_of(inhabited: World) -> None:
    made = await _made(inhabited)
    result = await execs.run(inhabited.core, ADA, "api", Call(command=shell("echo $((6*7))")))
    assert (result.exit_code, result.stdout, result.truncated) == (0, b"42\n", False)
    [event] = await _told(inhabited, "exec.finished")
    assert (event.subject, event.actor, event.detail["exit_code"]) == (made.id, ADA.id, 0)
    assert "echo $((6*7))" in event.detail["command"]  # pyright: ignore[reportOperatorIssue]


async def test_too_much_output_is_cut_and_said_so(inhabited: World) -> None:
    await _made(inhabited)
    call = Call(command=("/usr/bin/head", "-c", "100000", "/dev/zero"), output_limit=1000)
    result = await execs.run(inhabited.core, ADA, "api", call)
    assert (len(result.stdout), result.truncated, result.exit_code) == (1000, True, 0)


async def test_a_command_that_takes_too_long_is_killed(inhabited: World) -> None:
    await _made(inhabited)
    call = Call(command=("/bin/sleep", "60"), timeout_s=0.2)
    result = await execs.run(inhabited.core, ADA, "api", call)
    assert result.exit_code != 0
    assert result.signal is not None


async def test_a_long_command_is_told_of_while_it_runs(inhabited: World) -> None:
    await _made(inhabited)
    call = Call(command=("/bin/cat",), stdin=True)
    async with execs.process(inhabited.core, ADA, "api", call) as process:
        assert inhabited.core.running.overdue() == []
        late = replace(
            next(iter(inhabited.core.running._entries.values())),  # pyright: ignore[reportPrivateUsage]
            tell_at=0.0,
        )
        inhabited.core.running._entries[0] = late  # pyright: ignore[reportPrivateUsage]
        [started] = inhabited.core.running.overdue()
        assert started.kind == "exec.started"
        await process.send(Frame.STDIN_EOF)
        async for _ in process.frames():
            pass
    assert inhabited.core.running.overdue() == []
    assert len(await _told(inhabited, "exec.finished")) == 1


async def test_a_caller_who_went_away_is_told_of(inhabited: World) -> None:
    await _made(inhabited)
    async with execs.stream(inhabited.core, ADA, "api", Call(command=("/bin/sleep", "60"))):
        pass
    [event] = await _told(inhabited, "exec.finished")
    assert event.detail["ended"] == "the caller went away"


async def test_a_stopped_workspace_is_not_started_by_an_exec(inhabited: World) -> None:
    await _made(inhabited)
    await workspaces.stop(inhabited.core, ADA, "api")
    await inhabited.settle()
    with pytest.raises(
        Conflict, match=r"is stopped \(stopped: ada asked for it\); start it first"
    ):
        await execs.run(inhabited.core, ADA, "api", Call(command=("/bin/true",)))


async def test_who_may_not_may_not(inhabited: World) -> None:
    await _made(inhabited)
    call = Call(command=("/bin/true",))
    with pytest.raises(NotFound):
        await execs.run(inhabited.core, BOB, "ada/api", call)
    reader = replace(ADA, scopes=frozenset({Permission.WORKSPACE_READ}))
    with pytest.raises(Denied):
        await execs.run(inhabited.core, reader, "api", call)
    with pytest.raises(Denied):
        await files.remove(inhabited.core, reader, "api", "/tmp/x")


async def test_a_hundred_at_once_make_no_error(inhabited: World) -> None:
    await _made(inhabited)
    codes: list[int] = []

    async def one(number: int) -> None:
        call = Call(command=("/bin/echo", str(number)))
        codes.append((await execs.run(inhabited.core, ADA, "api", call)).exit_code)

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(one, number)
    assert codes == [0] * 100
    assert len(await _told(inhabited, "exec.finished")) == 100


async def test_files_are_written_read_listed_and_removed(inhabited: World, tmp_path: Path) -> None:
    await _made(inhabited)
    core, path = inhabited.core, f"{tmp_path}/deep/down/x.bin"
    await files.write(core, ADA, "api", path, _bytes(b"0123456789"), size=10)
    async with files.read(core, ADA, "api", path) as body:
        assert b"".join([piece async for piece in body.pieces]) == b"0123456789"
    async with files.read(core, ADA, "api", path, range="bytes=2-4") as body:
        assert (body.status, b"".join([p async for p in body.pieces])) == (206, b"234")
    [entry] = await files.find(core, ADA, "api", f"{tmp_path}/deep/down")
    assert (entry.name, entry.type, entry.size) == ("x.bin", "file", 10)
    await files.remove(core, ADA, "api", path)
    with pytest.raises(NotFound):
        await files.stat(core, ADA, "api", path)
    told = [await _told(inhabited, f"file.{verb}") for verb in ("written", "read", "removed")]
    assert [len(events) for events in told] == [1, 2, 1]


async def test_an_archive_goes_in_and_comes_out(inhabited: World, tmp_path: Path) -> None:
    await _made(inhabited)
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a.txt").write_text("hello")
    (tmp_path / "to").mkdir()
    async with files.read_archive(inhabited.core, ADA, "api", f"{tmp_path}/from") as body:
        packed = b"".join([piece async for piece in body.pieces])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert any(name.endswith("a.txt") for name in archive.getnames())
    await files.write_archive(inhabited.core, ADA, "api", f"{tmp_path}/to", _bytes(packed))
    assert [p.read_text() for p in (tmp_path / "to").rglob("a.txt")] == ["hello"]


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
async def test_what_is_no_path_is_invalid(inhabited: World, path: str) -> None:
    await _made(inhabited)
    with pytest.raises(Invalid, match="path"):
        await files.remove(inhabited.core, ADA, "api", path)


async def test_using_it_moves_its_last_use_and_nothing_else_does(inhabited: World) -> None:
    made = await _made(inhabited)
    inhabited.clock.move(minutes=5)
    await workspaces.get(inhabited.core, ADA, "api")
    await inhabited.core.journal.flush(inhabited.core)
    assert (await inhabited.row(made.id)).last_used_at < inhabited.clock()
    await execs.run(inhabited.core, ADA, "api", Call(command=("/bin/true",)))
    await inhabited.core.journal.flush(inhabited.core)
    assert (await inhabited.row(made.id)).last_used_at == inhabited.clock()


async def test_the_start_up_is_followed_to_its_end(inhabited: World) -> None:
    made = await inhabited.create(name="api")
    scripts = (
        Script("tools", "echo ready", blocks_login=False, timeout_s=60),
        Script("broken", "echo oh >&2; exit 3", blocks_login=False, timeout_s=60),
    )
    await inhabited.revise(made, user="root", scripts=scripts)
    await inhabited.settle()
    running = await inhabited.row(made.id)
    assert (running.phase, running.health) == (Phase.RUNNING, "starting")
    with anyio.fail_after(20):
        await startups.follow(inhabited.core, running, wait_s=1)
    after = await inhabited.row(made.id)
    assert after.health.startswith("degraded: broken failed")
    [event] = await _told(inhabited, "workspace.health_changed")
    steps = event.detail["steps"]
    assert [(s["name"], s["state"]) for s in steps] == [  # pyright: ignore
        ("tools", "done"),
        ("broken", "failed"),
    ]
    lines = [line.line async for line in logs.read(inhabited.core, ADA, "api")]
    assert "ready" in lines
    assert "oh" in lines


def test_a_command_in_an_event_is_short_and_printable() -> None:
    assert told(["a\x1b[31mb", "c\nd", "ü"]) == ["a\\x1b[31mb", "c\\nd", "ü"]
    assert sum(len(word) for word in told(["x" * 10_000, "y"])) < 3000
