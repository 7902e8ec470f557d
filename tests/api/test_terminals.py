"""Terminals through the whole stack, with a real agent at the end: offsets, viewers, bounds."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from alcove.api.app import create_app
from alcove.config import Settings
from alcove.core import sign_in
from alcove.core.app import Core
from alcove.core.sign_in import SignedIn
from alcove.http.access import COOKIE
from alcove.model.workspace import Workspace
from alcove.store.db import Database
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.api.served import ADA, BOB, ROOT, Served, listening, served
from tests.conftest import MovedClock
from tests.core.world import SECRET

pytestmark = pytest.mark.root
WAIT_S = 20


@dataclass
class Real:
    """A running workspace of ADA's with a real agent, behind the real listener."""

    api: Served
    url: str
    token: str
    workspace: Workspace
    http: httpx.AsyncClient

    @property
    def path(self) -> str:
        return f"/api/v2/workspaces/{self.workspace.id}"

    def socket(self, query: str, **headers: str) -> connect:
        head = headers or {"authorization": f"Bearer {self.token}"}
        url = f"ws{self.url[4:]}{self.path}/terminal?{query}"
        # With output unread the other's goodbye does not come through.
        options: dict[str, Any] = {"compression": None, "max_queue": 1, "close_timeout": 0.2}
        return connect(url, additional_headers=head, **options)

    @asynccontextmanager
    async def viewer(self, query: str = "after=0") -> AsyncGenerator["Viewer"]:
        async with self.socket(query) as socket:
            yield Viewer(socket)

    async def listed(self) -> list[dict[str, Any]]:
        answer = await self.http.get(f"{self.path}/terminals")
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]


@dataclass
class Viewer:
    """What a client makes of the messages. `at` is the offset behind the newest byte."""

    socket: ClientConnection
    said: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    output: bytearray = field(default_factory=bytearray)
    at: int = 0

    async def one(self) -> None:
        message = await self.socket.recv()
        if isinstance(message, bytes):
            self.output += message
            self.at += len(message)
            return
        told = json.loads(message)
        self.said.append(told)
        if told["type"] in {"attached", "resync"}:
            self.at = told["offset"]

    async def until(self, wanted: bytes) -> None:
        looked = 0
        with anyio.fail_after(WAIT_S):
            while self.output.find(wanted, looked) < 0:
                looked = max(0, len(self.output) - len(wanted) + 1)
                await self.one()

    async def told(self, kind: str, **values: object) -> dict[str, Any]:
        """The newest message of this kind that says so."""
        with anyio.fail_after(WAIT_S):
            while True:
                for said in reversed(self.said):
                    if said["type"] == kind and values.items() <= said.items():
                        return said
                await self.one()

    async def filled(self, offset: int) -> None:
        """Output comes up to this offset, and then none for a while."""
        with anyio.fail_after(WAIT_S):
            while self.at < offset:
                await self.one()
        with anyio.move_on_after(0.3):
            await self.one()
        assert self.at == offset

    async def send(self, **message: object) -> None:
        await self.socket.send(json.dumps(message))

    async def type(self, line: str) -> None:
        await self.send(type="input", data=line + "\n")

    @property
    def place(self) -> str:
        attached = next(said for said in self.said if said["type"] == "attached")
        return f"{attached['id']}:{self.at}"


@pytest.fixture
async def real(sqlite: Database, clock: MovedClock) -> AsyncGenerator[Real]:
    driver = AgentDriver()
    try:
        async with served(
            sqlite, clock, driver=driver, settings=Settings(driver="fake", recording="off")
        ) as api:
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
            # A shell that does not run what this machine's root has in its profile.
            env = {"SHELL": "/bin/sh", "HOME": str(driver.directory)}
            workspace = await api.workspace(ADA, template="plain", name="api", env=env)
            await api.world.settle()
            secret = await api.token(ADA)
            head = {"authorization": f"Bearer {secret.text}"}
            async with (
                listening(api.app) as url,
                httpx.AsyncClient(base_url=url, headers=head, timeout=30) as http,
            ):
                yield Real(api, url, secret.text, workspace, http)
    finally:
        driver.close()


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(real: Real) -> None:
    async with real.viewer() as first:
        await first.type("echo first-$((1+1)); sleep 0.3; echo missed-$((2+2)) done")
        await first.until(b"first-2\r\n")
        place = first.place
    async with real.viewer(f"after={place}") as second:
        await second.until(b"missed-4 done")
        attached = await second.told("attached")
    assert f"{attached['id']}:{attached['offset']}" == place
    assert b"first-2" not in second.output


async def test_a_whole_stream_is_the_same_in_pieces(real: Real) -> None:
    async with real.viewer() as seen:
        await seen.type("stty -echo; seq 1 20000; echo all-$((1+1))")
        await seen.until(b"1000\r\n")
        pieces, place = seen.output, seen.place
    while b"all-2" not in pieces:
        async with real.viewer(f"after={place}") as again:
            with anyio.move_on_after(0.05):
                await again.until(b"all-2")
            await again.told("attached")
            pieces, place = pieces + again.output, again.place
    async with real.viewer() as whole:
        await whole.until(b"all-2")
    assert pieces == whole.output[: len(pieces)]
    assert b"".join(b"%d\r\n" % n for n in range(1, 20001)) in pieces


async def test_another_process_is_seen_from_its_beginning(real: Real) -> None:
    async with real.viewer() as first:
        await first.type("exit 3")
        ended = await first.told("exit")
        place = first.place
    assert ended == {"type": "exit", "exit_code": 3, "signal": None}
    async with real.viewer(f"after={place}") as second:
        attached = await second.told("attached")
    assert attached["offset"] == 0
    assert attached["id"] != place.partition(":")[0]


async def test_a_terminal_outlives_its_server(real: Real, sqlite: Database) -> None:
    async with real.viewer() as first:
        await first.type("LIVES=on; echo first-$((1+1))")
        await first.until(b"first-2\r\n")
        place = first.place
    old = real.api.core
    core = Core.build(
        settings=old.settings, driver=old.driver, secret=SECRET, db=sqlite, clock=old.clock
    )
    async with listening(create_app(core)) as url:
        real.url = url
        async with real.viewer(f"after={place}") as second:
            await second.type("echo still-$LIVES")
            await second.until(b"still-on")
    await core.agents.aclose()
    assert b"first-2" not in second.output


@pytest.mark.parametrize("after", ["x", "-1", "1-a", "1-a:b", "1-a:1;", "9" * 40])
async def test_a_place_that_is_none_is_refused(real: Real, after: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await real.socket(f"after={after}")
    assert refused.value.response.status_code == 422
    assert b"after" in (refused.value.response.body or b"")


@pytest.mark.parametrize("window", ["0", "1", "99999999", "x"])
async def test_a_window_has_bounds(real: Real, window: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await real.socket(f"after=0&window={window}")
    assert refused.value.response.status_code == 422


async def test_no_more_is_sent_than_was_acknowledged(real: Real) -> None:
    window = 16384
    async with real.viewer(f"after=0&window={window}") as viewer:
        await viewer.type("stty -echo; seq 1 100000; echo all-$((1+1))")
        await viewer.filled(window)
        with anyio.fail_after(WAIT_S):
            while b"all-2" not in viewer.output:
                await viewer.send(type="ack", offset=viewer.at)
                before = viewer.at
                while viewer.at - before < window and b"all-2" not in viewer.output:
                    await viewer.one()
    assert b"\r\n99999\r\n100000\r\n" in viewer.output


async def test_an_acknowledgement_of_what_was_not_sent_is_none(real: Real) -> None:
    async with real.viewer("after=0&window=16384") as viewer:
        await viewer.told("attached")
        await viewer.send(type="ack", offset=2**50)
        await viewer.type("stty -echo; seq 1 100000")
        await viewer.filled(16384)


async def test_a_slow_viewer_is_told_where_it_goes_on_and_holds_up_nobody(real: Real) -> None:
    async with real.viewer("after=0&window=16384") as slow, real.viewer() as quick:
        await slow.told("attached")
        await quick.type("stty -echo; seq 1 500000; echo all-$((1+1))")
        await quick.until(b"all-2")
        with anyio.fail_after(WAIT_S):
            while not any(said["type"] == "resync" for said in slow.said):
                await slow.send(type="ack", offset=slow.at)
                await slow.one()
        said = await slow.told("resync")
        assert said["offset"] > 16384
        assert said["end"] >= said["offset"]
        assert not any(said["type"] == "resync" for said in quick.said)


async def test_the_smallest_screen_wins_until_it_leaves(real: Real) -> None:
    async with real.viewer("after=0&cols=120&rows=40") as wide:
        await wide.told("view", cols=120, rows=40, viewers=1, leads=True)
        async with real.viewer("after=0&cols=50&rows=60") as narrow:
            await wide.told("view", cols=50, rows=40, viewers=2)
            await narrow.told("view", cols=50, rows=40, leads=False)
            await narrow.type("stty size")
            await wide.until(b"40 50")
            await narrow.told("view", leads=True)
        await wide.told("view", cols=120, rows=40, viewers=1, leads=True)


async def test_a_ping_is_answered(real: Real) -> None:
    async with real.viewer() as viewer:
        await viewer.send(type="ping")
        await viewer.told("pong")


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "input"}',
        '{"type": "input", "data": 1}',
        '{"type": "resize", "cols": 0, "rows": 24}',
        '{"type": "resize", "cols": 100000, "rows": 24}',
        '{"type": "ack", "offset": -1}',
        '{"type": "else"}',
        '{"type": "ping", "more": 1}',
        "[" * 1000,
        "text",
        json.dumps({"type": "input", "data": "x" * 65537}),
    ],
)
async def test_a_message_that_is_none_ends_the_connection(real: Real, message: str) -> None:
    async with real.viewer() as viewer:
        await viewer.told("attached")
        await viewer.socket.send(message)
        with pytest.raises(ConnectionClosed):
            await viewer.told("pong")
    assert viewer.said[-1]["code"] == "invalid"


async def test_the_list_tells_what_runs(real: Real) -> None:
    async with real.viewer("session=build&after=0&cols=100&rows=30") as viewer:
        await viewer.type("printf '\\033]0;making\\a'; echo shown-$((1+1))")
        await viewer.until(b"shown-2")
        [one] = await real.listed()
    assert (one["session"], one["title"], one["name"]) == ("build", "making", "")
    assert (one["cols"], one["rows"], one["viewers"]) == (100, 30, 1)
    assert one["pid"] > 0


async def test_a_title_cannot_be_long_or_hold_control_characters(real: Real) -> None:
    async with real.viewer() as viewer:
        await viewer.type("printf '\\033]2;a\\tb\\a\\033]2;%02000d\\a' 0; echo x-$((1+1))")
        await viewer.until(b"x-2")
        [one] = await real.listed()
    assert one["title"] == "ab"


async def test_a_terminal_is_renamed_and_keeps_its_session(real: Real) -> None:
    async with real.viewer() as viewer:
        await viewer.told("attached")
        answer = await real.http.patch(f"{real.path}/terminals/main", json={"name": "tests"})
        assert answer.status_code == 204
        [one] = await real.listed()
    assert (one["session"], one["name"]) == ("main", "tests")


@pytest.mark.parametrize("name", ["x" * 65, "a\nb", "\x1b[2J", 5])
async def test_a_name_that_is_none_is_refused(real: Real, name: object) -> None:
    answer = await real.http.patch(f"{real.path}/terminals/main", json={"name": name})
    assert answer.status_code == 422
    assert "name" in answer.text


async def test_what_does_not_run_cannot_be_renamed(real: Real) -> None:
    answer = await real.http.patch(f"{real.path}/terminals/none", json={"name": "x"})
    assert answer.status_code == 404


async def test_a_closed_terminal_is_gone_for_its_viewers_and_the_list(real: Real) -> None:
    async with real.viewer() as viewer:
        await viewer.told("attached")
        answer = await real.http.delete(f"{real.path}/terminals/main")
        assert answer.status_code == 204
        assert (await viewer.told("exit"))["signal"] == "KILL"
    assert await real.listed() == []
    assert (await real.http.delete(f"{real.path}/terminals/main")).status_code == 204


async def test_somebody_elses_terminals_are_not_found(real: Real) -> None:
    other = await real.api.client(BOB)
    for answer in (
        await other.get(f"{real.path}/terminals"),
        await other.patch(f"{real.path}/terminals/main", json={"name": "x"}),
        await other.delete(f"{real.path}/terminals/main"),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_a_cookie_opens_no_terminal_for_another_site(real: Real, origin: str) -> None:
    cookie = f"{COOKIE}={(await _signed_in(real)).secret.text}"
    own = {"cookie": cookie, "origin": real.url}
    async with real.socket("after=0", **own) as socket:
        await Viewer(socket).told("attached")
    with pytest.raises(InvalidStatus) as refused:
        await real.socket("after=0", cookie=cookie, **({"origin": origin} if origin else {}))
    assert refused.value.response.status_code == 403


async def test_opening_and_leaving_are_told(real: Real) -> None:
    async with real.viewer("session=told&after=0") as viewer:
        await viewer.told("attached")
    kinds: list[str] = []
    with anyio.fail_after(WAIT_S):
        while "session.closed" not in kinds:
            await real.api.core.journal.flush(real.api.core)
            events = await real.api.world.events(real.workspace.id)
            kinds = [e.kind for e in events if e.detail.get("session") == "told"]
            await anyio.sleep(0.01)
    assert kinds == ["session.opened", "session.closed"]


async def _signed_in(real: Real) -> SignedIn:
    secret, _ = await sign_in.new_link(real.api.core, ROOT, "ada")
    return await sign_in.by_link(real.api.core, secret.text, address="")
