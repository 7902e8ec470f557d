"""SSH connections in the list of live sessions, with the stock OpenSSH client."""

from datetime import timedelta

import anyio
import pytest

from alcove.core import live_sessions
from alcove.core.live_sessions import Wanted
from alcove.core.pages import PageRequest
from alcove.gateway.caller import Caller
from alcove.model.event import EventKind
from alcove.model.live_session import LiveKind, LiveSession
from tests.core.world import ADA, ROOT
from tests.gateway.reached import Reached, eventually, read_until

API = "api@127.0.0.1"
STAY = "echo up; exec sleep 1000"


async def listed(gate: Reached) -> list[LiveSession]:
    found = await live_sessions.find(gate.core, ROOT, PageRequest(), Wanted())
    return list(found.items)


async def test_a_connection_is_listed_until_it_closes(ssh: Reached) -> None:
    async with ssh.client(API, STAY) as process:
        await read_until(process, b"up")
        (one,) = await listed(ssh)
        (told,) = await ssh.told("session.opened")
        assert (one.kind, one.user, one.address) == (LiveKind.SSH, ADA.id, "127.0.0.1")
        assert one.id == told.detail["session"]
        assert one.detail["method"] == "key"
        assert str(one.detail["client"]).startswith("SSH-2.0-OpenSSH")
        assert one.detail["channels"] == {"exec": 1}

    async def gone() -> bool:
        return await listed(ssh) == []

    await eventually(gone)


async def test_a_certificate_is_said_to_be_one(gate: Reached) -> None:
    await gate.workspace("api")
    key = await gate.key(owner=None)
    actor, _ = await gate.token()
    await gate.certify(key, actor)
    async with gate.client(API, STAY) as process:
        await read_until(process, b"up")
        (one,) = await listed(gate)
        assert one.detail["method"] == "certificate"


@pytest.mark.parametrize(
    ("words", "kind"), [(("-T", API), "shell"), (("-s", API, "sftp"), "sftp")]
)
async def test_channels_are_counted_by_kind(
    ssh: Reached, words: tuple[str, ...], kind: str
) -> None:
    async with ssh.client(*words):

        async def counted() -> bool:
            found = await listed(ssh)
            return [one.detail["channels"] for one in found] == [{kind: 1}]

        await eventually(counted)


async def test_a_closed_channel_is_counted_no_more(ssh: Reached) -> None:
    control = str(ssh.home / "control")
    async with ssh.client("-M", "-S", control, API, STAY) as process:
        await read_until(process, b"up")
        assert (await ssh.ssh("-S", control, API, "true")).code == 0

        async def one_left() -> bool:
            return [one.detail["channels"] for one in await listed(ssh)] == [{"exec": 1}]

        await eventually(one_left)


async def test_an_ended_connection_closes_within_a_second_and_says_by_whom(ssh: Reached) -> None:
    async with ssh.client(API, STAY) as process:
        await read_until(process, b"up")
        (one,) = await listed(ssh)
        before = ssh.clock()
        await live_sessions.end(ssh.core, ROOT, one.id)
        assert process.stderr is not None
        said = b"".join([piece async for piece in process.stderr])
        await process.wait()
        # The client's own end takes a moment on a busy machine.
        assert ssh.clock() - before < timedelta(seconds=2.5)
        assert b"root ended this session" in said
        assert process.returncode == 255
    assert await listed(ssh) == []


async def test_one_that_goes_while_it_arrives_has_left(
    ssh: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving, told = anyio.Event(), Caller.tell

    async def slow(caller: Caller, event: EventKind, kind: str, detail: dict[str, object]) -> None:
        if event is EventKind.SESSION_OPENED:
            arriving.set()
            await anyio.sleep(0.3)
        await told(caller, event, kind, detail)

    monkeypatch.setattr(Caller, "tell", slow)
    async with ssh.client(API, STAY) as process:
        with anyio.fail_after(20):
            await arriving.wait()
        process.kill()

        async def left() -> bool:
            return len(await ssh.told("session.closed")) == 1

        await eventually(left)
    await anyio.sleep(0.5)  # until the telling is over, after which nobody may be counted
    assert ssh.gateway._watch.of(ADA) == 0  # pyright: ignore[reportPrivateUsage]
    assert await listed(ssh) == []
