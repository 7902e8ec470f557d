"""What a proxy in front must let through, and what it must not be able to say."""

import json
import ssl
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect

from alcove.core.sign_in import new_link
from tests.proxies.conftest import CLIENT, Fronted

pytestmark = [pytest.mark.timeout(120)]
UPLOAD_MIB = 64


async def test_a_process_with_live_input_runs_over_a_websocket(fronted: Fronted) -> None:
    url = fronted.url.replace("https:", "wss:") + "/api/v2/workspaces/box/exec"
    head = {"authorization": f"Bearer {fronted.token}"}
    async with connect(url, additional_headers=head, ssl=fronted.trusting, proxy=None) as socket:
        await socket.send(json.dumps({"command": ["cat"], "stdin": True}))
        await socket.send(b"\0through")
        with anyio.fail_after(20):
            while (piece := await socket.recv())[:1] != b"\1":
                continue
        assert piece == b"\1through"


async def test_an_event_is_heard_while_the_stream_goes_on(fronted: Fronted) -> None:
    client = fronted.client(accept="text/event-stream")
    async with client.stream("GET", "/api/v2/workspaces/box/events?follow=true") as answer:
        lines = answer.aiter_lines()
        changed = await fronted.client().patch(
            "/api/v2/workspaces/box", json={"labels": {"team": "core"}}
        )
        assert changed.status_code == 200
        with anyio.fail_after(10):
            await _until(lines, "event: workspace.updated")


async def test_a_large_file_goes_up_as_a_stream(fronted: Fronted) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(UPLOAD_MIB):
            yield b"\0" * (1 << 20)

    client = fronted.client()
    path = "/api/v2/workspaces/box/files?path=/tmp/alcove-proxied"
    kind = {"content-type": "application/octet-stream"}
    sent = await client.put(path, content=pieces(), headers=kind)
    assert sent.status_code == 204, sent.text
    done = await client.post(
        "/api/v2/workspaces/box/exec",
        json={"command": "stat -c %s /tmp/alcove-proxied; rm /tmp/alcove-proxied"},
    )
    assert done.json()["stdout"] == f"{UPLOAD_MIB << 20}\n"


async def test_the_log_has_the_clients_address(fronted: Fronted) -> None:
    assert await _address(fronted, fronted.client()) == CLIENT


async def test_a_client_cannot_give_itself_another_address(fronted: Fronted) -> None:
    forged = {"x-forwarded-for": "203.0.113.9"}
    assert await _address(fronted, fronted.client(**forged)) == CLIENT


async def test_nor_past_the_proxy(fronted: Fronted) -> None:
    forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
    client = fronted.client(fronted.behind, **forged)
    assert await _address(fronted, client) == CLIENT
    assert "strict-transport-security" not in (await client.get("/sign-in")).headers


async def test_the_cookie_of_a_sign_in_is_bound_to_the_host(fronted: Fronted) -> None:
    secret, _ = await new_link(fronted.api.core, None, "ada")
    answer = await fronted.client(origin=fronted.url).post(
        "/sign-in/link", data={"token": secret.text}
    )
    assert answer.headers["set-cookie"].startswith("__Host-alcove_session=")


async def test_the_certificate_is_the_proxys(fronted: Fronted) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        async with httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False) as one:
            await one.get(fronted.url)


async def _address(fronted: Fronted, client: httpx.AsyncClient) -> str:
    """Of whoever changed the labels last, as the log has it."""
    changed = await client.patch("/api/v2/workspaces/box", json={"labels": {"a": "b"}})
    assert changed.status_code == 200, changed.text
    found = await fronted.client().get("/api/v2/events?type=workspace.updated&limit=50")
    return str(found.json()["items"][-1]["address"])


async def _until(lines: AsyncIterator[str], wanted: str) -> None:
    async for line in lines:
        if line == wanted:
            return
    raise AssertionError(f"the stream ended without {wanted}")
