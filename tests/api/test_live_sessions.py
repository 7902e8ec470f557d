"""`/sessions`: real terminals, commands and tunnels in the list, and their end."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from alcove.config import Settings
from alcove.model.live_session import LiveKind
from alcove.model.workspace import Workspace
from alcove.store.db import Database
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.api.live import live
from tests.api.served import ADA, BOB, MAX, ROOT, Served, listening, served
from tests.conftest import T0, MovedClock

PATH = "/api/v2/sessions"
WAIT_S = 20


@dataclass
class Real:
    """A running workspace of ADA's with a real agent, behind the real listener."""

    api: Served
    url: str
    token: str
    workspace: Workspace
    http: httpx.AsyncClient

    def socket(self, path: str) -> connect:
        url = f"ws{self.url[4:]}/api/v2/workspaces/{self.workspace.id}{path}"
        return connect(url, additional_headers={"authorization": f"Bearer {self.token}"})

    async def listed(self, **query: str) -> list[dict[str, Any]]:
        answer = await self.http.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def one(self) -> dict[str, Any]:
        """The only one, as soon as it is there."""
        with anyio.fail_after(WAIT_S):
            while not (found := await self.listed()):  # noqa: ASYNC110 - over HTTP
                await anyio.sleep(0.02)
        [only] = found
        return only


@pytest.fixture
async def real(sqlite: Database, clock: MovedClock) -> AsyncGenerator[Real]:
    driver = AgentDriver()
    settings = Settings(driver="fake", recording="off")
    try:
        async with served(sqlite, clock, driver=driver, settings=settings) as api:
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
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


async def last_words(socket: ClientConnection) -> dict[str, Any]:
    """The problem that the server says before it closes the WebSocket."""
    newest: str | bytes = ""
    with anyio.fail_after(WAIT_S):
        try:
            while True:
                newest = await socket.recv()
        except ConnectionClosed:
            return json.loads(newest)


@pytest.mark.root
async def test_a_viewer_of_a_terminal_is_listed_while_it_looks(real: Real) -> None:
    async with real.socket("/terminal?session=build&after=0"):
        one = await real.one()
        assert (one["kind"], one["user"], one["owner"]) == ("terminal", "ada", "ada")
        assert one["workspace"] == {"id": real.workspace.id, "name": "api"}
        assert one["detail"]["terminal"] == "build"
        assert one["address"] == "127.0.0.1"
        assert one["server"] == real.api.core.live.server
    with anyio.fail_after(WAIT_S):
        while await real.listed():  # noqa: ASYNC110 - over HTTP
            await anyio.sleep(0.02)


@pytest.mark.root
async def test_an_ended_viewer_is_told_and_the_terminal_goes_on(real: Real) -> None:
    async with real.socket("/terminal?session=build&after=0") as socket:
        one = await real.one()
        answer = await real.http.delete(f"{PATH}/{one['id']}")
        assert answer.status_code == 204
        said = await last_words(socket)
        assert (said["code"], said["detail"]) == ("session_ended", "ada ended this session")
        assert socket.close_code == 4000
    assert await real.listed() == []
    path = f"/api/v2/workspaces/{real.workspace.id}/terminals"
    [terminal] = (await real.http.get(path)).json()["items"]
    assert terminal["session"] == "build"


@pytest.mark.root
async def test_a_command_that_is_ended_is_killed(real: Real) -> None:
    async with real.socket("/exec") as socket:
        await socket.send(json.dumps({"command": "echo $$; exec sleep 1000"}))
        pid = ""
        with anyio.fail_after(WAIT_S):
            while not pid.strip():
                message = await socket.recv()
                assert isinstance(message, bytes)
                pid = message[1:].decode() if message[0] == 1 else ""
        one = await real.one()
        assert (one["kind"], one["detail"]["command"]) == ("exec", "echo $$; exec sleep 1000")
        await real.http.delete(f"{PATH}/{one['id']}")
        assert (await last_words(socket))["code"] == "session_ended"
    with anyio.fail_after(WAIT_S):
        while await anyio.Path(f"/proc/{pid.strip()}").exists():  # noqa: ASYNC110 - a process
            await anyio.sleep(0.02)


@pytest.mark.root
async def test_a_tunnel_is_listed_with_its_port_and_ended(real: Real) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, real.socket(f"/ports/{port}/connect") as socket:
        one = await real.one()
        assert (one["kind"], one["detail"]["port"]) == ("tunnel", port)
        await real.http.delete(f"{PATH}/{one['id']}")
        assert (await last_words(socket))["code"] == "session_ended"


async def test_the_list_filters_by_workspace_user_and_kind(api: Served) -> None:
    one, other = await api.workspace(ADA, name="one"), await api.workspace(ADA, name="other")
    ssh = live(api, ADA, one)
    tunnel = live(api, ROOT, other, LiveKind.TUNNEL, port=80)
    client = await api.client(ADA)
    for query, found in (
        ("workspace=one", ssh.id),
        ("user=root", tunnel.id),
        ("kind=tunnel", tunnel.id),
    ):
        items = (await client.get(f"{PATH}?{query}")).json()["items"]
        assert [item["id"] for item in items] == [found]


@pytest.mark.parametrize("query", ["kind=telnet", "limit=0", "who=ada", "cursor=x"])
async def test_a_query_that_is_none_is_refused(api: Served, query: str) -> None:
    answer = await (await api.client(ADA)).get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.text


async def test_pages_go_on_where_the_last_one_ended(api: Served) -> None:
    made = await api.workspace(ADA)
    known = {live(api, ADA, made).id for _ in range(3)}
    client = await api.client(ADA)
    first = (await client.get(f"{PATH}?limit=2")).json()
    second = (await client.get(f"{PATH}?limit=2&cursor={first['next_cursor']}")).json()
    assert {item["id"] for item in first["items"] + second["items"]} == known
    assert second["next_cursor"] is None


async def test_a_member_sees_neither_others_nor_what_they_are_in(api: Served) -> None:
    theirs = live(api, BOB, await api.workspace(BOB))
    client = await api.client(ADA)
    assert (await client.get(PATH)).json()["items"] == []
    hidden = await client.delete(f"{PATH}/{theirs.id}")
    absent = await client.delete(f"{PATH}/ssh-none")
    assert hidden.status_code == absent.status_code == 404


async def test_an_operator_ends_what_is_somebody_elses(api: Served) -> None:
    theirs = live(api, BOB, await api.workspace(BOB))
    answer = await (await api.client(MAX)).delete(f"{PATH}/{theirs.id}")
    assert answer.status_code == 204
    assert api.core.live.get(theirs.id, T0) is None
