"""Whoever does not show a sandbox's secret learns nothing; what makes no sense is refused."""

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from alcove.core import envd
from alcove.model.access import Permission
from alcove.model.event import EventKind
from alcove.store import events
from tests.contract.e2b.conftest import E2bServer

CONNECT = {"content-type": "application/connect+json", "connect-protocol-version": "1"}
NOBODY = "ws-aaaaaaaaaaaaaaaa"
TRUE = b'{"process":{"cmd":"/bin/true","args":[]},"stdin":false}'


def enveloped(message: bytes, *, flags: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", flags, len(message) if length is None else length) + message


@pytest.fixture
async def client(e2b: E2bServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=e2b.base, timeout=30) as made:
        yield made


async def created(client: httpx.AsyncClient, e2b: E2bServer, **more: Any) -> dict[str, Any]:
    answer = await client.post(
        "/v2/sandboxes",
        headers={"x-api-key": e2b.token},
        json={"templateID": "base", "timeout": 300, **more},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def entering(sandbox: dict[str, Any], **more: str) -> dict[str, str]:
    return {
        "e2b-sandbox-id": sandbox["sandboxID"],
        "e2b-sandbox-port": "49983",
        "x-access-token": sandbox["envdAccessToken"],
        **more,
    }


async def alive(client: httpx.AsyncClient, sandbox: dict[str, Any]) -> bool:
    answer = await client.post(
        "/process.Process/Start",
        headers={**entering(sandbox), **CONNECT},
        content=enveloped(TRUE),
    )
    return answer.status_code == 200 and b'"exited":true' in answer.content


async def test_a_wrong_secret_gets_one_answer_whatever_it_is_for(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    mine = await created(client, e2b)
    other = await created(client, e2b)
    wrong = [
        entering(mine, **{"x-access-token": other["envdAccessToken"]}),
        entering(mine, **{"x-access-token": "0" * 64}),
        entering(mine, **{"x-access-token": ""}),
        entering(mine, **{"x-access-token": e2b.token}),
        {"e2b-sandbox-id": mine["sandboxID"], "x-api-key": e2b.token},
        {"e2b-sandbox-id": NOBODY, "x-access-token": mine["envdAccessToken"]},
        {"e2b-sandbox-id": "../" + mine["sandboxID"], "x-access-token": "0"},
        {"x-access-token": mine["envdAccessToken"][:-1]},
        {"x-access-token": other["envdAccessToken"].partition("_")[0]},
    ]
    said: set[tuple[int, bytes]] = set()
    for headers in wrong:
        for method, path in (("GET", "/health"), ("GET", "/files?path=x")):
            answer = await client.request(method, path, headers=headers)
            said.add((answer.status_code, answer.content))
    assert [status for status, _ in said] == [401], said


async def test_thousands_of_wrong_secrets_harm_nobody(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    mine = await created(client, e2b)

    async def guess(number: int) -> None:
        headers = entering(mine, **{"x-access-token": f"{number:064x}"})
        async with httpx.AsyncClient(base_url=e2b.base, timeout=60) as own:
            for _ in range(250):
                assert (
                    await own.get("/files?path=/etc/passwd", headers=headers)
                ).status_code == 401

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(guess, number)
    assert await alive(client, mine)


async def test_a_foreign_sandbox_is_as_one_that_is_not_there(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    mine = (await created(client, e2b))["sandboxID"]
    key = {"x-api-key": e2b.other_token}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/sandboxes/{}", None),
        ("DELETE", "/sandboxes/{}", None),
        ("POST", "/sandboxes/{}/timeout", {"timeout": 1}),
        ("POST", "/v2/sandboxes/{}/connect", {"timeout": 1}),
        ("POST", "/sandboxes/{}/pause", {}),
        ("POST", "/sandboxes/{}/resume", {}),
        ("POST", "/sandboxes/{}/fork", {}),
        ("POST", "/sandboxes/{}/snapshots", {}),
        ("PUT", "/sandboxes/{}/network", {"allow_internet_access": False}),
        ("GET", "/sandboxes/{}/metrics", None),
    ]
    for method, path, body in calls:
        found = await client.request(method, path.format(mine), headers=key, json=body)
        none = await client.request(method, path.format(NOBODY), headers=key, json=body)
        assert (found.status_code, none.status_code) == (404, 404), (path, found.text)
        assert found.text.replace(mine, NOBODY) == none.text
    listed = await client.get("/v2/sandboxes", headers=key)
    assert listed.json() == []


@pytest.mark.parametrize(
    "path",
    [
        *("/init", "/freeze", "/unfreeze", "/collapse", "/fsfreeze", "/fsthaw", "/upgrade"),
        *("/alcove/exec", "/alcove/stream?port=22", "/alcove/archive?path=/", "/alcove/stats"),
        *("/alcove/posture", "/alcove/shutdown", "/alcove/logs", "/envs", "/metrics"),
        *("/files/../init", "/files/%2e%2e/init", "//init", "/process.Process/../../init"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_control_routes_of_the_agent_are_not_there(
    e2b: E2bServer, client: httpx.AsyncClient, path: str, method: str
) -> None:
    mine = await created(client, e2b)
    control = e2b.core.agents.control_key(mine["sandboxID"])
    headers = entering(mine, **{"x-alcove-control": control})
    answer = await client.request(method, path, headers=headers, content=b"{}")
    assert answer.status_code == 404, answer.text


async def test_a_control_key_or_wrong_user_does_not_pass_through(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    """Only the name of a user inside goes on from `Authorization`."""
    mine = await created(client, e2b)
    headers = entering(mine, authorization=f"Bearer {e2b.token}")
    answer = await client.post(
        "/process.Process/Start",
        headers={**headers, **CONNECT},
        content=enveloped(b'{"process":{"cmd":"/usr/bin/env","args":[]},"stdin":false}'),
    )
    assert answer.status_code == 200
    assert e2b.token.encode() not in answer.content


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0",
        TRUE,
        enveloped(TRUE, length=0xFFFFFFFF),
        enveloped(TRUE, length=len(TRUE) - 1),
        enveloped(TRUE, flags=1),
        enveloped(TRUE, flags=2),
        enveloped(b"no json"),
        enveloped(b"[1]"),
        enveloped(b"{}"),
        enveloped(b'{"process":7}'),
        enveloped(b"[" * 200_000),
        enveloped(TRUE) + enveloped(TRUE),
    ],
)
async def test_a_malformed_envelope_is_refused(
    e2b: E2bServer, client: httpx.AsyncClient, body: bytes
) -> None:
    mine = await created(client, e2b)
    answer = await client.post(
        "/process.Process/Start", headers={**entering(mine), **CONNECT}, content=body
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "invalid_argument"
    assert await alive(client, mine)


async def test_an_oversized_message_is_refused(e2b: E2bServer, client: httpx.AsyncClient) -> None:
    mine = await created(client, e2b)
    big = enveloped(b'{"process":{"cmd":"' + b"x" * (5 << 20) + b'"}}')
    answer = await client.post(
        "/process.Process/Start", headers={**entering(mine), **CONNECT}, content=big
    )
    assert answer.status_code == 413
    unary = await client.post(
        "/process.Process/List",
        headers=entering(mine, **{"content-type": "application/json"}),
        content=b'{"x":"' + b"x" * (5 << 20) + b'"}',
    )
    assert unary.status_code == 413
    assert await alive(client, mine)


async def test_half_an_upload_leaves_no_file(e2b: E2bServer, client: httpx.AsyncClient) -> None:
    mine = await created(client, e2b)
    host, _, port = e2b.url.removeprefix("http://").partition(":")
    head = (
        "POST /e2b/files?path=half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        "Content-Type: application/octet-stream\r\n"
    )
    head += "".join(f"{name}: {value}\r\n" for name, value in entering(mine).items())
    for _ in range(20):
        async with await anyio.connect_tcp(host, int(port)) as raw:
            await raw.send(head.encode() + b"\r\n" + b"x" * 100_000)
    answer = await client.get("/files?path=half", headers=entering(mine))
    assert answer.status_code == 404
    assert await alive(client, mine)


async def test_a_body_that_is_not_as_asked_names_the_field(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    key = {"x-api-key": e2b.token}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"templateID": "base", "timeout": -1}, "timeout"),
        ({"templateID": "base", "timeout": "300"}, "timeout"),
        ({"templateID": "base", "metadata": {"a": 1}}, "metadata"),
        ({"templateID": "base", "unheard_of": True}, "unheard_of"),
        ({"templateID": "base", "iam": {"tokens": {"a": {}}}}, "iam"),
        ({"templateID": "base", "mcp": {"x": {}}}, "mcp"),
        ({"templateID": "base", "volumeMounts": [{"name": "a", "path": "/a"}]}, "volumeMounts"),
        ({"templateID": "base", "network": {"denyOut": ["10.0.0.0/8"]}}, "network.denyOut"),
        ({"templateID": "base", "network": {"rules": {"a": []}}}, "network.rules"),
        ({"templateID": "base", "network": {"egressProxy": {}}}, "network.egressProxy"),
        ({"templateID": "base", "autoPause": True, "autoPauseMemory": False}, "autoPauseMemory"),
        ({"templateID": "base", "autoResume": {"enabled": True}}, "autoResume"),
        ({"timeout": 5}, "templateID"),
    ]
    for body, field in wrong:
        answer = await client.post("/v2/sandboxes", headers=key, json=body)
        assert answer.status_code in (400, 501), (body, answer.text)
        assert answer.json()["message"].startswith(field), answer.text
        assert answer.json()["code"] == answer.status_code


async def test_a_browsers_session_is_no_key(e2b: E2bServer, client: httpx.AsyncClient) -> None:
    answer = await client.get("/v2/sandboxes", headers={"cookie": "alcove_session=als_x"})
    assert answer.status_code == 401
    assert set(answer.json()) == {"code", "message", "error_code"}


async def test_a_token_without_the_right_to_enter_is_given_no_secret(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    mine = await created(client, e2b)
    reader = await e2b.limited(Permission.WORKSPACE_READ)
    seen = await client.get(f"/sandboxes/{mine['sandboxID']}", headers={"x-api-key": reader})
    assert seen.status_code == 200
    assert mine["envdAccessToken"] not in seen.text


async def test_the_same_idempotency_key_makes_one_sandbox(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    headers = {"x-api-key": e2b.token, "idempotency-key": "once-only"}
    body = {"templateID": "base", "timeout": 300}
    first = await client.post("/v2/sandboxes", headers=headers, json=body)
    again = await client.post("/v2/sandboxes", headers=headers, json=body)
    assert first.json() == again.json()
    other = await client.post("/v2/sandboxes", headers=headers, json={**body, "timeout": 301})
    assert other.status_code == 409
    listed = await client.get("/v2/sandboxes", headers={"x-api-key": e2b.token})
    assert len(listed.json()) == 1


async def test_commands_and_files_are_in_the_log(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    mine = await created(client, e2b)
    assert await alive(client, mine)
    await client.post("/files?path=note", headers=entering(mine), files={"file": b"x"})
    await client.get("/files?path=note", headers=entering(mine))
    await e2b.core.journal.flush(e2b.core)
    async with e2b.core.db.read() as tx:
        filters = events.EventFilters(subject=mine["sandboxID"])
        seen = list(await events.read(tx, after=0, filters=filters, limit=100))
    told = {event.kind: event.detail for event in seen}
    assert told[EventKind.EXEC_STARTED]["command"] == ["/bin/true"]
    assert told[EventKind.FILE_WRITTEN]["path"] == "note"
    assert told[EventKind.FILE_READ]["path"] == "note"


async def test_a_client_that_leaves_a_stream_leaves_nothing_open(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    mine = await created(client, e2b)
    start = enveloped(
        json.dumps({"process": {"cmd": "/bin/sleep", "args": ["60"]}, "stdin": False}).encode()
    )
    for _ in range(10):
        async with client.stream(
            "POST", "/process.Process/Start", headers={**entering(mine), **CONNECT}, content=start
        ) as answer:
            await anext(answer.aiter_raw())
    id = mine["sandboxID"]
    with anyio.fail_after(10):
        while e2b.core.running.count(id):  # noqa: ASYNC110 - nothing tells of its end
            await anyio.sleep(0.02)


async def test_a_secret_says_nothing_about_the_next(e2b: E2bServer) -> None:
    tokens = {envd.token(e2b.core, f"ws-{number:016d}") for number in range(100)}
    traffic = {envd.traffic_token(e2b.core, f"ws-{number:016d}") for number in range(100)}
    assert len(tokens | traffic) == 200
    assert len({token.rpartition("_")[2] for token in tokens | traffic}) == 200


def bound(e2b: E2bServer, level: str) -> None:
    """As an operator would before a start."""
    object.__setattr__(e2b.core.settings, "share_level_max", level)  # frozen in a real server


async def test_a_sandbox_is_not_made_public_over_the_operators_bound(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    bound(e2b, "team")
    answer = await client.post(
        "/v2/sandboxes",
        headers={"x-api-key": e2b.token},
        json={"templateID": "base", "network": {"allowPublicTraffic": True}},
    )
    assert answer.status_code == 400, answer.text
    assert "network.allowPublicTraffic: public is wider than team" in answer.json()["message"]


async def test_a_public_sandbox_is_closed_when_the_bound_is_set(
    e2b: E2bServer, client: httpx.AsyncClient
) -> None:
    made = await created(client, e2b, network={"allowPublicTraffic": True})
    way = {"e2b-sandbox-id": made["sandboxID"], "e2b-sandbox-port": "9"}
    # Nothing listens there: E2B's own answer to who is let in.
    assert (await client.get("/", headers=way)).status_code == 502
    bound(e2b, "team")
    assert (await client.get("/", headers=way)).status_code == 401
