"""Who may do what through MCP, and what hostile input comes to."""

import json
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import pytest
from mcp import MCPError
from mcp.client.client import Client

from alcove.core import users
from alcove.core.users import UserChanges
from alcove.mcp.endpoint import BODY_MAX
from alcove.model.access import Permission
from tests.api.served import ADA, BOB, EVE, ROOT
from tests.contract.mcp.conftest import MODES, Place

pytestmark = pytest.mark.root
ACCEPT = {"accept": "application/json, text/event-stream"}
START: Mapping[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def raw(place: Place, token: str | None = None, **headers: str) -> httpx.AsyncClient:
    head = {"authorization": f"Bearer {token or place.token}", **ACCEPT, **headers}
    return httpx.AsyncClient(base_url=place.url, headers=head, timeout=30)


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic YTpi", "Bearer"])
async def test_without_a_good_token_it_is_401_and_says_what_to_send(
    place: Place, header: str | None
) -> None:
    head = {**ACCEPT} if header is None else {**ACCEPT, "authorization": header}
    async with httpx.AsyncClient(base_url=place.url, headers=head) as http:
        for method in ("POST", "GET", "DELETE"):
            answer = await http.request(method, "/mcp")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_session_cookie_is_no_credential_here(place: Place) -> None:
    head = {**ACCEPT, "cookie": "alcove_session=anything"}
    async with httpx.AsyncClient(base_url=place.url, headers=head) as http:
        assert (await http.post("/mcp", json=START)).status_code == 401


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
async def test_another_site_s_page_is_refused_whatever_its_host_says(
    place: Place, origin: str
) -> None:
    async with raw(place, origin=origin, host="evil.example") as http:
        assert (await http.post("/mcp", json=START)).status_code == 403
    async with raw(place, origin="http://127.0.0.1:7080") as http:
        assert (await http.post("/mcp", json=START)).status_code == 200


async def test_a_session_belongs_to_its_token(place: Place) -> None:
    async with raw(place) as http:
        session = (await http.post("/mcp", json=START)).headers["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        own = await http.post("/mcp", json=ping, headers={"mcp-session-id": session})
        assert own.status_code == 200
        forged = session[:-1] + ("0" if session[-1] != "0" else "1")
        for id in (forged, "x", session + "0"):
            head = {"mcp-session-id": id}
            assert (await http.post("/mcp", json=ping, headers=head)).status_code == 404
        assert (await http.delete("/mcp", headers={"mcp-session-id": session})).status_code == 204
    other = await place.token_of(ADA)
    async with raw(place, other) as http:
        head = {"mcp-session-id": session}
        assert (await http.post("/mcp", json=ping, headers=head)).status_code == 404
        assert (await http.delete("/mcp", headers=head)).status_code == 404


async def test_it_tells_nothing_by_itself(place: Place) -> None:
    async with raw(place) as http:
        answer = await http.get("/mcp")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST, DELETE")
        assert (await http.put("/mcp", json={})).status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}',
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":7}',
        b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}',
    ],
)
async def test_what_is_no_message_is_refused_and_the_server_goes_on(
    place: Place, body: bytes
) -> None:
    async with raw(place, **{"content-type": "application/json"}) as http:
        answer = await http.post("/mcp", content=body)
        assert answer.status_code in {200, 202, 400}
        assert (await http.post("/mcp", json=START)).status_code == 200


async def test_a_body_over_the_limit_is_413(place: Place) -> None:
    async with raw(place, **{"content-type": "application/json"}) as http:
        answer = await http.post("/mcp", content=b" " * (BODY_MAX + 1))
        assert answer.status_code == 413


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        ("run_command", {"command": ""}, "command"),
        ("run_command", {"command": "a\0b"}, "command"),
        ("run_command", {"command": "true", "timeout_s": 0}, "timeout_s"),
        ("run_command", {"command": "true", "timeout_s": "5"}, "timeout_s"),
        ("run_command", {"command": "true", "user": "root"}, "user"),
        ("run_command", {"command": "true", "env": {"A=B": "c"}}, "env"),
        ("read_file", {"path": ""}, "path"),
        ("read_file", {"path": "a", "lines": 10_000}, "lines"),
        ("read_file", {"path": "x" * 5000}, "path"),
        ("upload_file", {"path": "a", "content_base64": "!"}, "content_base64"),
        ("start_background", {"command": "true", "tag": "../../etc"}, "tag"),
        ("read_background_logs", {"tag": "a;b"}, "tag"),
        ("search_files", {"pattern": "a\nb"}, "pattern"),
        ("search_files", {"pattern": "a", "glob": "--pre=sh"}, "glob"),
        ("create_sandbox", {"sandbox": None, "template": "../x"}, "template"),
    ],
)
async def test_wrong_input_is_a_tool_s_error_that_names_the_field(
    place: Place, tool: str, arguments: dict[str, Any], field: str
) -> None:
    said = await place.error(tool, **arguments)
    assert said.startswith("invalid: ")
    assert field in said


async def test_a_pattern_cannot_become_an_option_or_a_command(place: Place) -> None:
    await place.answer("write_file", path="a", text="--version $(touch /tmp/owned) `id`\n")
    for pattern in ("--version", "$(touch /tmp/owned)", "`id`"):
        asked = {"pattern": pattern, "path": str(place.home), "fixed": True}
        found = await place.answer("search_files", **asked)
        assert [match["path"] for match in found["items"]] == ["a"]


async def test_a_tool_that_is_not_there_is_a_protocol_error(place: Place) -> None:
    async with place.client() as client:
        with pytest.raises(MCPError, match="there is no tool 'rm'"):
            await client.call_tool("rm", {})


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("get_sandbox", {}),
        ("run_command", {"command": "id"}),
        ("start_background", {"command": "id"}),
        ("list_background", {}),
        ("read_background_logs", {"tag": "a"}),
        ("stop_background", {"tag": "a"}),
        ("read_file", {"path": "/etc/passwd"}),
        ("write_file", {"path": "a", "text": "b"}),
        ("edit_file", {"path": "a", "old_text": "b", "new_text": "c"}),
        ("list_files", {}),
        ("search_files", {"pattern": "a"}),
        ("upload_file", {"path": "a", "content_base64": ""}),
        ("download_file", {"path": "a"}),
        ("pause_sandbox", {}),
        ("expose_port", {"port": 80}),
        ("snapshot_sandbox", {}),
        ("fork_sandbox", {}),
        ("resume_sandbox", {}),
        ("delete_sandbox", {}),
    ],
)
async def test_another_owner_s_sandbox_is_not_there(
    place: Place, tool: str, arguments: dict[str, Any]
) -> None:
    token = await place.token_of(BOB)
    for ref in (place.sandbox.id, "ada/box"):
        said = await place.error(tool, token, **{"sandbox": ref, **arguments})
        assert said.startswith("not_found: there is no workspace")


async def test_a_list_holds_nothing_of_others(place: Place) -> None:
    async with place.client(await place.token_of(BOB)) as client:
        found = await client.call_tool("list_sandboxes", {})
    assert found.structured_content["items"] == []


async def test_a_token_shows_only_the_tools_it_can_use(place: Place) -> None:
    scopes = [Permission.WORKSPACE_READ, Permission.WORKSPACE_FILES]
    token = await place.token_of(ADA, scopes=scopes)
    async with place.client(token) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert "read_file" in names
    assert not names & {"run_command", "create_sandbox", "delete_sandbox"}
    assert "denied" in await place.error("run_command", token, command="id")


async def test_a_token_of_one_sandbox_reaches_no_other(place: Place) -> None:
    other = await place.api.workspace(ADA, template="plain", name="other")
    await place.api.world.settle()
    token = await place.token_of(ADA, workspace=place.sandbox.id)
    async with place.client(token) as client:
        asked = {"sandbox": place.sandbox.id, "command": "true"}
        assert not (await client.call_tool("run_command", asked)).is_error
        listed = await client.call_tool("list_sandboxes", {})
        assert [i["name"] for i in listed.structured_content["items"]] == ["box"]
        made = await client.call_tool("create_sandbox", {"template": "plain"})
        assert made.is_error
    said = await place.error("run_command", token, sandbox=other.id, command="id")
    assert said.startswith("not_found")


async def test_an_auditor_sees_and_does_nothing(place: Place) -> None:
    token = await place.token_of(EVE)
    assert "denied" in await place.error(
        "run_command", token, sandbox=place.sandbox.id, command="id"
    )


async def test_a_command_of_a_user_who_is_disabled_ends(place: Place) -> None:
    async def disable() -> None:
        await anyio.sleep(0.5)
        await users.update(place.api.core, ROOT, "ada", UserChanges(disabled=True))

    said = ""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(disable)
        with anyio.fail_after(15):
            said = await place.error("run_command", command="sleep 61; echo survived")
    assert said.startswith("unauthenticated")
    await gone("sleep 6[1]")


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_ends_what_it_ran(place: Place, mode: str) -> None:
    async with place.client(mode=mode) as client:
        await cancelled(place, client, "sleep 62")
        await gone("sleep 6[2]")


async def test_a_client_s_word_cancels_its_call_and_no_other_s(place: Place) -> None:
    ended: list[str] = []
    async with raw(place) as http, anyio.create_task_group() as tasks:
        session = (await http.post("/mcp", json=START)).headers["mcp-session-id"]
        foreign = (await http.post("/mcp", json=START)).headers["mcp-session-id"]
        over = anyio.Event()

        async def call() -> None:
            arguments = {"sandbox": "box", "command": "touch began; sleep 63"}
            params = {"name": "run_command", "arguments": arguments}
            message = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}
            answer = await http.post("/mcp", json=message, headers={"mcp-session-id": session})
            ended.append(answer.text)
            over.set()

        tasks.start_soon(call)
        await there(place, "began")
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
        cancel |= {"params": {"requestId": 9}}
        await http.post("/mcp", json=cancel, headers={"mcp-session-id": foreign})
        await anyio.sleep(0.3)
        assert not ended
        answer = await http.post("/mcp", json=cancel, headers={"mcp-session-id": session})
        assert answer.status_code == 202
        with anyio.fail_after(10):
            await over.wait()
    said = json.loads(ended[0].partition("data: ")[2].partition("\n")[0])
    assert said["error"]["code"] == -32800
    await gone("sleep 6[3]")


async def cancelled(place: Place, client: Client, line: str) -> None:
    """Call it, and give the call up once it runs."""
    async with anyio.create_task_group() as tasks:
        asked = {"sandbox": "box", "command": f"touch began; {line}"}
        tasks.start_soon(client.call_tool, "run_command", asked)
        await there(place, "began")
        tasks.cancel_scope.cancel()


async def there(place: Place, name: str) -> None:
    """Until the file is in the home."""
    with anyio.fail_after(15):
        while not (place.home / name).exists():  # noqa: ASYNC110 - another process makes it
            await anyio.sleep(0.05)


async def gone(pattern: str) -> None:
    """Until no process fits the pattern."""
    with anyio.fail_after(10):
        while True:
            left = await anyio.run_process(["pgrep", "-f", pattern], check=False)
            if left.returncode == 1:
                return
            await anyio.sleep(0.1)
