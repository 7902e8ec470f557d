"""Commands, terminals and files through the whole stack, with a real agent at the end."""

import base64
import io
import json
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from alcove.config import Settings
from alcove.core import users
from alcove.core.users import UserChanges
from alcove.model.workspace import Workspace
from alcove.store.db import Database
from alcove.wire.execs import Frame
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.api.served import ADA, BOB, ROOT, Served, listening, served
from tests.api.test_streams import parsed
from tests.conftest import MovedClock

pytestmark = pytest.mark.root


@dataclass
class Real:
    """A running workspace of ADA's with a real agent, behind the real listener."""

    api: Served
    url: str
    token: str
    workspace: Workspace
    http: httpx.AsyncClient
    driver: AgentDriver

    @property
    def path(self) -> str:
        return f"/api/v2/workspaces/{self.workspace.id}"

    def socket(self, path: str, token: str | None = None) -> connect:
        head = {"authorization": f"Bearer {token or self.token}"}
        return connect(f"ws{self.url[4:]}{self.path}{path}", additional_headers=head)


@pytest.fixture
async def real(sqlite: Database, clock: MovedClock) -> AsyncGenerator[Real]:
    driver = AgentDriver()
    small = Settings(driver="fake", body_max_mib=4)
    try:
        async with served(sqlite, clock, driver=driver, settings=small) as api:
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
            workspace = await api.workspace(ADA, template="plain", name="api")
            await api.world.settle()
            secret = await api.token(ADA)
            head = {"authorization": f"Bearer {secret.text}"}
            async with (
                listening(api.app) as url,
                httpx.AsyncClient(base_url=url, headers=head, timeout=30) as http,
            ):
                yield Real(api, url, secret.text, workspace, http, driver)
    finally:
        driver.close()


async def test_a_command_answers_with_its_output_and_code(real: Real) -> None:
    body = {"command": ["sh", "-c", "echo out; echo err >&2; exit 3"]}
    answer = (await real.http.post(f"{real.path}/exec", json=body)).json()
    assert (answer["stdout"], answer["stderr"], answer["exit_code"]) == ("out\n", "err\n", 3)
    assert answer["truncated"] is False


async def test_a_line_is_run_by_a_shell_with_environment_and_stdin(real: Real) -> None:
    body = {"command": "cat; echo $GREETING", "env": {"GREETING": "hello"}, "stdin": "in\n"}
    answer = (await real.http.post(f"{real.path}/exec", json=body)).json()
    assert answer["stdout"] == "in\nhello\n"


async def test_bytes_that_are_no_text_come_back_exactly(real: Real) -> None:
    sent = bytes(range(256))
    body = {"command": ["cat"], "stdin_base64": base64.b64encode(sent).decode()}
    answer = (await real.http.post(f"{real.path}/exec", json=body)).json()
    assert base64.b64decode(answer["stdout_base64"]) == sent
    assert answer["stderr_base64"] is None


async def test_a_command_over_its_time_is_killed(real: Real) -> None:
    body = {"command": ["sleep", "60"], "timeout": "1s"}
    with anyio.fail_after(10):
        answer = (await real.http.post(f"{real.path}/exec", json=body)).json()
    assert answer["signal"] == "KILL"


async def test_output_streams_as_events_and_ends_with_the_code(real: Real) -> None:
    body = {"command": ["sh", "-c", "printf 'caf\\303'; sleep 0.05; printf '\\251'; exit 2"]}
    head = {"accept": "text/event-stream"}
    async with real.http.stream("POST", f"{real.path}/exec", json=body, headers=head) as answer:
        seen = [event async for event in parsed(answer)]
    text = "".join(str(e.json["data"]) for e in seen if e.name == "stdout")
    assert text == "café"
    assert seen[-1].name == "exit"
    assert seen[-1].json["exit_code"] == 2


async def test_a_refusal_before_the_stream_is_an_ordinary_problem(real: Real) -> None:
    await real.api.world.create(ADA, template="python", name="not-yet")
    head = {"accept": "text/event-stream"}
    answer = await real.http.post(
        "/api/v2/workspaces/not-yet/exec", json={"command": ["true"]}, headers=head
    )
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_client_that_goes_away_ends_its_command(real: Real) -> None:
    mark = real.driver.home(real.workspace.id) / "alive"
    line = f"while sleep 0.02; do date +%N > {mark}; echo tick; done"
    head = {"accept": "text/event-stream"}
    body = {"command": ["sh", "-c", line]}
    async with real.http.stream("POST", f"{real.path}/exec", json=body, headers=head) as answer:
        await anext(parsed(answer))
    with anyio.fail_after(10):
        before = ""
        while (now := mark.read_text()) != before:
            before = now
            await anyio.sleep(0.3)


async def test_a_file_is_written_and_read_back_whole_and_in_part(real: Real) -> None:
    files = f"{real.path}/files"
    data = b"0123456789" * 100_000
    octets = {"content-type": "application/octet-stream"}
    put = await real.http.put(files, params={"path": "a/b.bin"}, content=data, headers=octets)
    assert put.status_code == 204, put.text
    got = await real.http.get(files, params={"path": "a/b.bin"})
    assert got.content == data
    assert got.headers["content-disposition"] == "attachment"
    part = {"range": "bytes=5-14"}
    some = await real.http.get(files, params={"path": "a/b.bin"}, headers=part)
    assert (some.status_code, some.content) == (206, b"5678901234")
    listed = (await real.http.get(f"{files}/list", params={"path": "a"})).json()["items"]
    assert [(f["name"], f["type"], f["size"]) for f in listed] == [("b.bin", "file", len(data))]
    assert (await real.http.delete(files, params={"path": "a"})).status_code == 204
    assert (await real.http.get(files, params={"path": "a/b.bin"})).status_code == 404


async def test_a_range_behind_the_end_of_a_file_is_refused_as_such(real: Real) -> None:
    files, path = f"{real.path}/files", {"path": "~/short"}
    head = {"content-type": "application/octet-stream"}
    await real.http.put(files, params=path, content=b"abc", headers=head)
    answer = await real.http.get(files, params=path, headers={"range": "bytes=10-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")


async def test_an_upload_over_the_limit_is_refused_and_leaves_no_file(real: Real) -> None:
    async def six_mib() -> AsyncIterator[bytes]:
        for _ in range(96):
            yield b"x" * 65536

    head = {"content-type": "application/octet-stream"}
    path = {"path": "big"}
    for body in (six_mib(), b"x" * (6 << 20)):
        answer = await real.http.put(f"{real.path}/files", params=path, content=body, headers=head)
        assert answer.status_code == 413
        assert (await real.http.get(f"{real.path}/files", params=path)).status_code == 404


async def test_a_directory_travels_as_a_tar(real: Real) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("sub/a.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    put = await real.http.put(
        f"{real.path}/archive",
        params={"path": "into"},
        content=buffer.getvalue(),
        headers={"content-type": "application/x-tar"},
    )
    assert put.status_code == 204, put.text
    got = await real.http.get(f"{real.path}/archive", params={"path": "into"})
    with tarfile.open(fileobj=io.BytesIO(got.content)) as archive:
        names = [name for name in archive.getnames() if name.endswith("a.txt")]
    assert len(names) == 1


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped"])
async def test_a_hostile_tar_writes_nothing_outside(real: Real, name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    answer = await real.http.put(
        f"{real.path}/archive",
        params={"path": "into"},
        content=buffer.getvalue(),
        headers={"content-type": "application/x-tar"},
    )
    assert 400 <= answer.status_code < 500, answer.text
    assert not (real.driver.home(real.workspace.id) / "escaped").exists()


async def first(socket: ClientConnection, **asked: object) -> None:
    await socket.send(json.dumps(asked))


async def until_exit(socket: ClientConnection) -> tuple[bytes, dict[str, object]]:
    out = b""
    async for message in socket:
        assert isinstance(message, bytes), message
        if message[0] == Frame.STDOUT:
            out += message[1:]
        if message[0] == Frame.EXIT:
            return out, json.loads(message[1:])
    raise AssertionError("no exit")


async def refusal(socket: ClientConnection) -> dict[str, object]:
    """The problem that comes before close code 4000."""
    last: str | bytes = b""
    try:
        while True:
            last = await socket.recv()
    except ConnectionClosed:
        assert socket.close_code == 4000
    return json.loads(last)


async def test_a_live_process_gets_stdin_byte_for_byte(real: Real) -> None:
    sent = bytes(range(256)) * 300
    async with real.socket("/exec") as socket:
        await first(socket, command=["cat"], stdin=True)
        for start in range(0, len(sent), 50_000):
            await socket.send(bytes((Frame.STDIN,)) + sent[start : start + 50_000])
        await socket.send(bytes((Frame.STDIN_EOF,)))
        out, ended = await until_exit(socket)
    assert out == sent
    assert ended["exit_code"] == 0


async def test_a_signal_reaches_a_live_process(real: Real) -> None:
    async with real.socket("/exec") as socket:
        await first(socket, command=["sleep", "60"], stdin=False)
        await socket.send(bytes((Frame.SIGNAL,)) + b'{"signal": "TERM"}')
        _, ended = await until_exit(socket)
    assert ended["signal"] == "TERM"


async def test_a_live_process_has_a_terminal_of_the_asked_size(real: Real) -> None:
    async with real.socket("/exec") as socket:
        size = {"cols": 91, "rows": 17}
        await first(socket, command=["sh", "-c", "stty size; echo $TERM"], pty=size, term="foo")
        out, _ = await until_exit(socket)
    assert out == b"17 91\r\nfoo\r\n"


@pytest.mark.parametrize(
    "message", ["{}", "nonsense", b"binary", '{"command": [], "stdin": true}', '{"comand": 1}']
)
async def test_a_wrong_first_message_is_answered_with_a_problem(
    real: Real, message: str | bytes
) -> None:
    async with real.socket("/exec") as socket:
        await socket.send(message)
        assert (await refusal(socket))["status"] in {400, 422}


@pytest.mark.parametrize("message", [b"\x01x", b"", b"\x06{}x", "text", b"\x09"])
async def test_a_wrong_later_message_ends_the_process(real: Real, message: str | bytes) -> None:
    async with real.socket("/exec") as socket:
        await first(socket, command=["sleep", "60"], stdin=True)
        await socket.send(message)
        assert (await refusal(socket))["status"] in {400, 422}


async def test_somebody_elses_socket_is_refused_before_the_upgrade(real: Real) -> None:
    token = (await real.api.token(BOB)).text
    for path in ("/exec", "/terminal"):
        with pytest.raises(InvalidStatus) as refused:
            await real.socket(path, token)
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body or b"")["code"] == "not_found"


async def test_a_socket_without_a_credential_is_refused(real: Real) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws{real.url[4:]}{real.path}/exec")
    assert refused.value.response.status_code == 401


async def test_a_terminal_goes_on_while_nobody_looks(real: Real) -> None:
    async with real.socket("/terminal?session=a&cols=80&rows=24") as socket:
        await socket.send(json.dumps({"type": "input", "data": "STATE=kept; echo r''eady\n"}))
        await _read_until(socket, b"ready")
    async with real.socket("/terminal?session=a") as socket:
        await socket.send(json.dumps({"type": "input", "data": "echo state-is-$STATE\n"}))
        await _read_until(socket, b"state-is-kept")
        await socket.send(json.dumps({"type": "input", "data": "exit 5\n"}))
        rest = [message async for message in socket]
    assert isinstance(rest[-1], str)
    assert json.loads(rest[-1]) == {"type": "exit", "exit_code": 5, "signal": None}


async def test_a_terminal_is_resized(real: Real) -> None:
    async with real.socket("/terminal?session=b") as socket:
        await socket.send(json.dumps({"type": "resize", "cols": 99, "rows": 33}))
        await socket.send(json.dumps({"type": "input", "data": "stty size\n"}))
        await _read_until(socket, b"33 99")


async def test_a_disabled_users_process_ends_within_a_second(real: Real) -> None:
    async with real.socket("/exec") as socket:
        await first(socket, command=["sleep", "60"], stdin=True)
        assert (await socket.recv())[:1] == bytes((Frame.STARTED,))
        await users.update(real.api.core, ROOT, "ada", UserChanges(disabled=True))
        with anyio.fail_after(1):
            assert (await refusal(socket))["code"] == "unauthenticated"


async def test_an_exec_is_told_with_command_code_and_duration(real: Real) -> None:
    await real.http.post(f"{real.path}/exec", json={"command": ["sh", "-c", "exit 3"]})
    await real.api.core.journal.flush(real.api.core)
    [told] = [
        e for e in await real.api.world.events(real.workspace.id) if e.kind == "exec.finished"
    ]
    assert told.actor == ADA.id
    assert told.detail["exit_code"] == 3
    assert told.detail["command"] == ["sh", "-c", "exit 3"]


async def _read_until(socket: ClientConnection, wanted: bytes) -> None:
    seen = b""
    with anyio.fail_after(10):
        while wanted not in seen:
            message = await socket.recv()
            assert isinstance(message, bytes), message
            seen += message
