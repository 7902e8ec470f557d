"""`alcove mcp`, started as a desktop client starts it."""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from alcove.sdk.credentials import Credentials
from tests.contract.mcp.conftest import MODES, Place
from tests.contract.mcp.test_limits import cancelled, gone, there

pytestmark = pytest.mark.root
ALCOVE = str(Path(sys.executable).with_name("alcove"))


@asynccontextmanager
async def started(place: Place, *, mode: str = "auto", **env: str) -> AsyncGenerator[Client]:
    given = {"ALCOVE_URL": place.url, "ALCOVE_TOKEN": place.token, **env}
    command = StdioServerParameters(command=ALCOVE, args=["mcp"], env=given)
    async with Client(command, mode=mode) as client:
        yield client


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_of_either_era_works_over_stdio(place: Place, mode: str) -> None:
    said: list[str] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        said.append(message or "")

    async with started(place, mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        line = "for i in 1 2 3 4 5 6 7 8; do echo café $i; sleep 0.5; done"
        asked = {"sandbox": "box", "command": line}
        result = await client.call_tool("run_command", asked, progress_callback=step)
    assert "run_command" in names
    assert result.structured_content["stdout"].endswith("café 8\n")
    assert any("café" in text for text in said)


async def test_it_takes_the_token_that_was_stored(place: Place, tmp_path: Path) -> None:
    Credentials(tmp_path / "alcove").store(place.url, place.token)
    env = {"ALCOVE_TOKEN": "", "XDG_CONFIG_HOME": str(tmp_path)}
    async with started(place, **env) as client:
        result = await client.call_tool("get_sandbox", {"sandbox": "box"})
    assert result.structured_content["name"] == "box"


async def test_calls_run_side_by_side(place: Place) -> None:
    async with started(place) as client, anyio.create_task_group() as tasks:
        await client.list_tools()

        async def call() -> None:
            asked = {
                "sandbox": "box",
                "command": "touch waiting; while [ -e waiting ]; do sleep 0.1; done",
            }
            result = await client.call_tool("run_command", asked)
            assert result.structured_content["exit_code"] == 0

        tasks.start_soon(call)
        await there(place, "waiting")
        with anyio.fail_after(10):
            asked = {"sandbox": "box", "command": "rm waiting"}
            assert not (await client.call_tool("run_command", asked)).is_error


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_ends_what_it_ran(place: Place, mode: str) -> None:
    async with started(place, mode=mode) as client:
        await client.list_tools()
        await cancelled(place, client, "sleep 64")
        await gone("sleep 6[4]")
        assert not (await client.call_tool("get_sandbox", {"sandbox": "box"})).is_error


async def test_a_refused_token_is_told_in_words(place: Place) -> None:
    messages: tuple[dict[str, object], ...] = (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
    )
    lines = "".join(json.dumps(message) + "\n" for message in messages) + "no json\n[]\n"
    env = {"ALCOVE_URL": place.url, "ALCOVE_TOKEN": "alc_wrong", "PATH": "/usr/bin:/bin"}
    done = await anyio.run_process(
        [ALCOVE, "mcp"], input=lines.encode(), env=env, stderr=subprocess.PIPE
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    errors = {answer["id"]: answer["error"] for answer in answers if answer["id"] is not None}
    assert errors[1]["data"] == {"code": "unauthenticated", "status": 401}
    assert "alcove token create" in errors[1]["message"]
    assert {a["error"]["code"] for a in answers if a["id"] is None} == {-32700, -32600}


async def test_a_server_that_is_away_is_an_error_and_no_hang(place: Place) -> None:
    with (
        anyio.fail_after(20),
        pytest.RaisesGroup(
            pytest.RaisesExc(MCPError, match="cannot reach"),
            allow_unwrapped=True,
            flatten_subgroups=True,
        ),
    ):
        async with started(place, ALCOVE_URL="http://127.0.0.1:9"):
            pass
