"""The client of the agent, against the real agent."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import anyio
import pytest

from alcove.core.agent import Agents, Call, Reach
from alcove.core.execs import read_exit
from alcove.core.frames import Frame
from alcove.model.errors import AlcoveError, Invalid, NotFound, Unavailable
from alcove.model.workspace import Handle, WorkspaceId
from tests.core.agent_process import AgentProcess

SECRET = b"s" * 32
ID = WorkspaceId("ws-" + "a" * 16)
KEY = Agents(AgentProcess(), secret=SECRET).control_key(ID)
REACH = Reach(ID, Handle("fake", 1, ""), "boot-1")


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncGenerator[AgentProcess]:
    driver = AgentProcess(directory=tmp_path)
    driver.boot(KEY)
    await driver.answering()
    yield driver
    driver.kill()


@pytest.fixture
async def agents(driver: AgentProcess) -> AsyncGenerator[Agents]:
    agents = Agents(driver, secret=SECRET)
    yield agents
    await agents.aclose()


async def _run(agents: Agents, *command: str, **options: object) -> tuple[int, bytes, bytes]:
    out, err, code = b"", b"", -1
    call = Call(command=command, **options)  # pyright: ignore[reportArgumentType]
    async with agents.exec(REACH, call) as frames:
        async for kind, payload in frames:
            if kind is Frame.STDOUT:
                out += payload
            elif kind is Frame.STDERR:
                err += payload
            elif kind is Frame.EXIT:
                code = read_exit(payload).exit_code
    return code, out, err


async def test_a_command_gives_its_output_and_exit_code(agents: Agents) -> None:
    command = ("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert await _run(agents, *command) == (3, b"out\n", b"err\n")


async def test_what_the_claim_gives_reaches_each_process(agents: Agents) -> None:
    await agents.init(REACH, {"env": {"COLOR": "blue"}})
    code, out, _ = await _run(
        agents, "/bin/sh", "-c", "echo $COLOR $TASTE", env={"TASTE": "sweet"}
    )
    assert (code, out) == (0, b"blue sweet\n")


async def test_all_of_stdin_arrives(agents: Agents) -> None:
    text = bytes(range(256)) * 1000
    code, out, _ = await _run(agents, "/usr/bin/wc", "-c", stdin=text)
    assert (code, out.strip()) == (0, b"256000")


async def test_a_command_that_is_not_there_exits_127(agents: Agents) -> None:
    code, _, _ = await _run(agents, "/no/such/program")
    assert code == 127


async def test_many_at_once_all_answer(agents: Agents) -> None:
    codes: list[int] = []

    async def one(number: int) -> None:
        code, out, _ = await _run(agents, "/bin/echo", str(number))
        assert out == f"{number}\n".encode()
        codes.append(code)

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(one, number)
    assert codes == [0] * 100


async def test_going_away_kills_what_was_started(agents: Agents, tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    script = f"while true; do touch {mark}; sleep 0.05; done"
    started = f"touch {mark}; echo started; {script}"
    async with agents.exec(REACH, Call(command=("/bin/sh", "-c", started))) as frames:
        async for kind, _ in frames:
            if kind is Frame.STDOUT:
                break
    with anyio.fail_after(10):
        while True:
            mark.unlink(missing_ok=True)
            await anyio.sleep(0.3)
            if not mark.exists():
                break


async def test_a_slow_reader_holds_the_writer_up(agents: Agents, tmp_path: Path) -> None:
    """Back-pressure: what nobody reads is not produced, so that it costs no memory."""
    progress = tmp_path / "progress"
    script = f"i=0; while [ $i -lt 4000 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > {progress}; done"  # noqa: E501
    async with agents.exec(REACH, Call(command=("/bin/sh", "-c", script))) as frames:
        first = await anext(aiter(frames))
        assert first[0] in (Frame.STARTED, Frame.STDOUT)
        written, before = -1, -2
        with anyio.fail_after(20):
            while written != before or written < 1:
                before = written
                await anyio.sleep(0.5)
                written = int(progress.read_text() or 0) if progress.exists() else 0
    assert written < 400


async def test_a_live_process_reads_what_we_send(agents: Agents) -> None:
    out = b""
    async with agents.process(REACH, Call(command=("/bin/cat",), stdin=True)) as process:
        await process.send(Frame.STDIN, b"hello\n")
        await process.send(Frame.STDIN_EOF)
        async for kind, payload in process.frames():
            if kind is Frame.STDOUT:
                out += payload
            elif kind is Frame.EXIT:
                assert read_exit(payload).exit_code == 0
    assert out == b"hello\n"


async def test_a_terminal_has_the_size_we_say(agents: Agents) -> None:
    out = b""
    call = Call(command=("/bin/sh", "-c", "stty size"), stdin=True, terminal=(100, 30))
    async with agents.process(REACH, call) as process:
        async for kind, payload in process.frames():
            if kind is Frame.STDOUT:
                out += payload
    assert out.strip() == b"30 100"


async def test_files_go_in_and_come_out_whole(agents: Agents, tmp_path: Path) -> None:
    size, piece = 40 << 20, b"0123456789abcdef" * 16384

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    path = tmp_path / "big"
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))]
    async with agents.request(REACH, "POST", f"/files?path={path}", headers, pieces()) as answer:
        await answer.read(limit=1 << 20)
    assert path.stat().st_size == size
    got = 0
    async with agents.request(REACH, "GET", f"/files?path={path}") as answer:
        async for part in answer.body():
            got += len(part)
    assert got == size


async def test_a_connection_is_used_again(agents: Agents, driver: AgentProcess) -> None:
    opened = 0
    connect = driver.connect

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal opened
        opened += 1
        return connect(*args, **kwargs)  # pyright: ignore[reportArgumentType]

    driver.connect = counted  # pyright: ignore[reportAttributeAccessIssue]
    for _ in range(5):
        await _run(agents, "/bin/true")
    assert opened == 1


async def test_an_agent_that_was_started_anew_is_reached(
    agents: Agents, driver: AgentProcess
) -> None:
    """Kept connections of the agent before are not mistaken for its."""
    await agents.stats(REACH)
    driver.kill()
    driver.boot(KEY)
    await driver.answering()
    await agents.stats(REACH)


async def test_an_agent_that_is_gone_is_unavailable(agents: Agents, driver: AgentProcess) -> None:
    driver.kill()
    with pytest.raises(Unavailable):
        await agents.stats(REACH)


async def test_another_key_is_refused(driver: AgentProcess) -> None:
    strangers = Agents(driver, secret=b"x" * 32)
    with pytest.raises(AlcoveError):
        await strangers.stats(REACH)
    await strangers.aclose()


async def test_what_the_agent_refuses_is_one_of_our_errors(agents: Agents) -> None:
    with pytest.raises(NotFound):
        await agents.json(REACH, "POST", "/filesystem.Filesystem/Stat", {"path": "/no/such"})
    with pytest.raises(Invalid):
        await _run(agents, "/bin/true", timeout_s=10**9)


async def test_an_echo_is_quick(agents: Agents) -> None:
    """Generous: against a sleep or a handshake on the way, not against a busy machine."""
    await _run(agents, "/bin/true")
    took: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        await _run(agents, "/bin/echo", "x")
        took.append(time.perf_counter() - started)
    assert sorted(took)[25] < 0.05
