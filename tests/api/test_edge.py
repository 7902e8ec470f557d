"""The outermost layer: who the client is, request ids, headers, what is logged."""

import contextlib
import json
import logging

import anyio
import pytest
from structlog.testing import capture_logs

from alcove.config import Settings
from alcove.core.sign_in import new_link
from alcove.store.db import Database
from tests.api.served import Served, listening, served
from tests.conftest import MovedClock


async def address_seen(api: Served, peer: str, **headers: str) -> str:
    with capture_logs() as logs:
        await api.bare(peer, **headers).get("/api/v2/nothing")
    return str(logs[-1]["address"])


@pytest.fixture
def proxied() -> Settings:
    return Settings(driver="fake", trusted_proxies=("10.0.0.0/8",))


async def test_a_stranger_does_not_choose_its_address(api: Served) -> None:
    head = {"x-forwarded-for": "6.6.6.6"}
    assert await address_seen(api, "192.0.2.1", **head) == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
    ],
)
async def test_a_trusted_proxy_says_who_the_client_is(
    sqlite: Database, clock: MovedClock, proxied: Settings, peer: str, forwarded: str, seen: str
) -> None:
    async with served(sqlite, clock, settings=proxied) as api:
        assert await address_seen(api, peer, **{"x-forwarded-for": forwarded}) == seen


async def test_only_a_trusted_proxy_gives_a_request_its_id(
    sqlite: Database, clock: MovedClock, proxied: Settings
) -> None:
    async with served(sqlite, clock, settings=proxied) as api:
        head = {"x-request-id": "chosen"}
        trusted = await api.bare("10.0.0.1", **head).get("/healthz")
        stranger = await api.bare("192.0.2.1", **head).get("/healthz")
        forged = await api.bare("10.0.0.1", **{"x-request-id": "a b\x7f"}).get("/healthz")
    assert trusted.headers["x-request-id"] == "chosen"
    assert stranger.headers["x-request-id"] != "chosen"
    assert forged.headers["x-request-id"].isalnum()


async def test_behind_tls_cookies_are_bound_to_the_host(
    sqlite: Database, clock: MovedClock, proxied: Settings
) -> None:
    async with served(sqlite, clock, settings=proxied) as api:
        secret, _ = await new_link(api.core, None, "root")
        head = {"x-forwarded-proto": "https", "origin": "https://127.0.0.1:7080"}
        browser = api.bare("10.0.0.1", **head)
        answer = await browser.post("/sign-in/link", data={"token": secret.text})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-alcove_session=")
    assert "Secure" in cookie
    assert "strict-transport-security" in answer.headers


async def test_every_answer_forbids_sniffing_framing_and_caching(api: Served) -> None:
    for path in ("/healthz", "/api/v2/nothing", "/sign-in", "/api/v2/users/me"):
        head = (await api.bare().get(path)).headers
        assert head["x-content-type-options"] == "nosniff"
        assert head["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in head["content-security-policy"]
        assert head["cache-control"] == "no-store"


async def test_the_log_holds_the_route_and_no_secret(api: Served) -> None:
    secret = await api.token()
    client = api.bare(authorization=f"Bearer {secret.text}")
    with capture_logs() as logs:
        await client.get("/api/v2/workspaces/my-plan?cursor=abc")
        await client.post("/api/v2/users", json={"name": "x", "password": "hush hush hush"})
        await client.get("/sign-in/link?token=all_abc")
    said = json.dumps(logs, default=str)
    routes = [log["route"] for log in logs]
    assert routes == ["/api/v2/workspaces/{workspace}", "/api/v2/users", "/sign-in/link"]
    for hidden in (secret.text, "hush", "all_abc", "cursor", "my-plan"):
        assert hidden not in said


async def test_probes_do_not_fill_the_log(api: Served) -> None:
    with capture_logs() as logs:
        await api.bare().get("/healthz")
    assert logs == []


async def test_an_endless_head_is_cut_off(api: Served) -> None:
    async with listening(api.app) as url:
        port = int(url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            received = b""
            with anyio.fail_after(10):
                try:
                    for number in range(100_000):
                        await stream.send(b"x-%d: %s\r\n" % (number, b"a" * 1000))
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass
                with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    received = await stream.receive()
    assert received == b"" or received.startswith(b"HTTP/1.1 431")


async def test_nonsense_instead_of_http_is_a_400(
    api: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with listening(api.app) as url:
        port = int(url.rpartition(":")[2])
        for sent in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9\r\n\r\n", b"GET\r\n\r\n"):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(sent)
                with anyio.fail_after(5):
                    assert (await stream.receive()).startswith(b"HTTP/1.1 400")
