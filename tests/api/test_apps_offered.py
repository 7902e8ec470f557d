"""A template's apps through the whole server: their names, their health, their shares, and what
an attacker would try on them, with a real agent at the end."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import SocketAttribute
from websockets.exceptions import InvalidStatus

from alcove.config import Settings
from alcove.model.app import App as Offer
from alcove.model.app import AppStart, AppState, HealthCheck, Level
from alcove.model.template import TemplateVersion
from alcove.model.workspace import UserId
from alcove.recipes.native import read
from alcove.store import templates
from alcove.store.db import Database, Tx
from tests.api.agent_process import PLAIN, AgentDriver
from tests.api.served import ADA, BOB, EVE, listening, served
from tests.api.test_apps import (
    HTML,
    App,
    World,
    _arrived,  # pyright: ignore[reportPrivateUsage]
    _cookie,  # pyright: ignore[reportPrivateUsage]
    _talk,  # pyright: ignore[reportPrivateUsage]
)
from tests.conftest import T0, MovedClock

pytestmark = pytest.mark.root
SOON_S = 20


async def add(tx: Tx, *apps: Offer) -> None:
    recipe = read({"template.yaml": PLAIN}, "plain").recipe
    assert recipe is not None
    await templates.add(tx, "plain", now=T0)
    version = TemplateVersion(
        template="plain",
        number=1,
        recipe=replace(recipe, user="root", apps=apps),
        digest="sha256:0",
        message="",
        created_at=T0,
        created_by=UserId("system"),
    )
    await templates.add_version(tx, version, {"template.yaml": PLAIN})
    await templates.promote(tx, "plain", 1, now=T0)


@pytest.fixture
async def world(sqlite: Database, clock: MovedClock) -> AsyncGenerator[World]:
    """A workspace `api` of ada's with three apps: `web` listens, `lazy` and `team` need not."""
    driver, app = AgentDriver(), App()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    other = await anyio.create_tcp_listener(local_host="127.0.0.1")
    app.port = int(listener.extra(SocketAttribute.local_port))
    team = int(other.extra(SocketAttribute.local_port))
    checked = HealthCheck(interval_s=1, threshold=2)
    apps = (
        Offer("web", "Web", port=app.port, health=checked),
        Offer("team", "Team", port=team, share=Level.TEAM, health=checked),
        Offer("broken", "Broken", port=9, command="echo why >&2; exit 7", health=checked),
        Offer("lazy", "Lazy", port=10, command="sleep 1000", start=AppStart.FIRST_USE),
        Offer("book", "Book", url="https://docs.example.com/"),
    )
    try:
        async with (
            served(sqlite, clock, driver=driver, settings=Settings(driver="fake")) as api,
            anyio.create_task_group() as tasks,
        ):
            async with sqlite.transaction() as tx:
                await add(tx, *apps)
            workspace = await api.workspace(ADA, template="plain", name="api")
            await api.world.settle()
            tasks.start_soon(listener.serve, app)
            tasks.start_soon(other.serve, app)
            async with listening(api.app) as url:
                made = World(api, url, workspace, app)
                yield made
                for client in made.clients:
                    await client.aclose()
            tasks.cancel_scope.cancel()
    finally:
        await listener.aclose()
        await other.aclose()
        driver.close()


NAMED = "web--api--ada.apps.localhost:7080"
TEAM = "team--api--ada.apps.localhost:7080"


async def offered(world: World) -> dict[str, Any]:
    path = f"/api/v2/workspaces/{world.workspace.id}/apps"
    answer = await (await world.main()).get(path)
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["items"]}


async def until(world: World, name: str, state: AppState) -> dict[str, Any]:
    with anyio.fail_after(SOON_S):
        while True:
            found = (await offered(world))[name]
            if found["state"] == state:
                return found
            await anyio.sleep(0.1)


async def test_apps_are_told_with_their_address_health_and_share(world: World) -> None:
    web = await until(world, "web", AppState.HEALTHY)
    assert web["url"] == f"http://{NAMED}/"
    assert web["level"] == "private"
    await until(world, "broken", AppState.UNHEALTHY)
    found = await offered(world)
    assert list(found) == ["web", "team", "broken", "lazy", "book"]
    assert (found["team"]["level"], found["book"]["external"]) == ("team", True)
    assert found["lazy"]["state"] == "waiting"


async def test_the_workspace_says_where_its_apps_are(world: World) -> None:
    answer = await (await world.main()).get(f"/api/v2/workspaces/{world.workspace.id}")
    urls = answer.json()["urls"]
    assert urls["app:web"] == f"http://{NAMED}/"
    assert urls["app:book"] == "https://docs.example.com/"


async def test_an_app_is_opened_by_its_name(world: World) -> None:
    token = await world.bearer()
    answer = await world.client(**token | {"host": NAMED}).get("/x")
    assert answer.status_code == 200, answer.text
    assert f"host: {NAMED}" in world.app.seen


async def test_a_browser_gets_in_by_the_name_too(world: World) -> None:
    world.app.heads.clear()
    begun = await world.client(host=NAMED).get("/deep", headers=HTML)
    kept = _cookie(begun, "alcove_enter")
    session = await world.session()
    main = world.client(host="127.0.0.1:7080", cookie=session)
    where = urlsplit(begun.headers["location"])
    sent = await main.get(f"{where.path}?{where.query}", headers=HTML)
    assert sent.status_code == 303, sent.text
    path = sent.headers["location"].removeprefix(f"http://{NAMED}")
    arrived = await world.client(host=NAMED, cookie=kept).get(path)
    mine = _cookie(arrived, "alcove_app")
    answer = await world.client(host=NAMED, cookie=mine).get("/deep", headers=HTML)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("label", ["none--api--ada", "book--api--ada", "web--api--bob"])
async def test_a_name_that_is_no_app_looks_like_one_that_is_not_yours(
    world: World, label: str
) -> None:
    there = await world.client(**await world.bearer(BOB) | {"host": NAMED}).get("/")
    host = f"{label}.apps.localhost:7080"
    nowhere = await world.client(**await world.bearer(BOB) | {"host": host}).get("/")
    assert (there.status_code, nowhere.status_code) == (404, 404)
    assert there.json()["detail"] == nowhere.json()["detail"]


async def test_the_template_shares_until_the_owner_says_otherwise(world: World) -> None:
    bob = await world.bearer(BOB)
    assert (await world.client(**bob | {"host": TEAM}).get("/")).status_code == 200
    assert (await world.client(**bob | {"host": NAMED}).get("/")).status_code == 404
    port = (await offered(world))["team"]["port"]
    path = f"/api/v2/workspaces/{world.workspace.id}/ports/{port}/share"
    assert (await (await world.main()).delete(path)).status_code == 204
    assert (await offered(world))["team"]["level"] == "private"
    assert (await world.client(**bob | {"host": TEAM}).get("/")).status_code == 404


async def test_a_team_app_is_not_for_who_may_have_no_workspaces(world: World) -> None:
    eve = await world.bearer(EVE)
    assert (await world.client(**eve | {"host": TEAM}).get("/")).status_code == 404
    assert (await world.client(host=TEAM).get("/")).status_code == 401


async def test_an_app_that_waits_for_its_first_use_is_started_by_it(world: World) -> None:
    token = await world.bearer()
    with anyio.move_on_after(3):
        # Nothing ever listens there: what counts is that the command was started for it.
        await world.client(**token | {"host": "lazy--api--ada.apps.localhost"}).get("/")
    lazy = (await offered(world))["lazy"]
    assert lazy["state"] in ("starting", "unhealthy")


@pytest.mark.parametrize(
    "origin",
    [
        "http://web--api--ada.evil.example",
        "http://web--api--ada.apps.localhost.evil.example",
        "http://evil.example/web--api--ada.apps.localhost",
        "http://evil.example#web--api--ada.apps.localhost:7080",
        "http://web--api--ada@evil.example",
        "http://web--api--bob.apps.localhost:7080",
        "http://x.web--api--ada.apps.localhost:7080",
        "http://127.0.0.1:7080",
        "null",
    ],
)
async def test_a_name_that_embeds_the_victims_reads_nothing(world: World, origin: str) -> None:
    arrived, _, _ = await _arrived(world, await world.session())
    mine = _cookie(arrived, "alcove_app")
    world.app.heads.clear()
    got = await world.client(cookie=mine).get("/", headers={"origin": origin})
    assert got.status_code == 403
    assert "access-control-allow-origin" not in got.headers
    with pytest.raises(InvalidStatus):
        await _talk(world, cookie=mine, origin=origin)
    assert world.app.heads == []


async def test_another_app_of_the_same_workspace_may_ask(world: World) -> None:
    arrived, _, _ = await _arrived(world, await world.session())
    mine = _cookie(arrived, "alcove_app")
    got = await world.client(cookie=mine).get("/", headers={"origin": f"http://{NAMED}"})
    assert got.status_code == 200


async def test_a_cookie_that_somebody_tossed_in_front_does_not_shut_the_owner_out(
    world: World,
) -> None:
    arrived, _, _ = await _arrived(world, await world.session())
    mine = _cookie(arrived, "alcove_app")
    tossed = "; ".join([*(["alcove_app=tossed"] * 3), mine])
    assert (await world.client(cookie=tossed).get("/")).status_code == 200
    assert "alcove_app" not in world.app.seen


async def test_cookies_that_somebody_tossed_open_nothing(world: World) -> None:
    answer = await world.client(cookie="alcove_app=tossed; alcove_app=link.tossed").get("/")
    assert answer.status_code == 401


PATHS = [
    "//x",
    "/%2f%2fx",
    "/a%2f..%2fb",
    "/..;/x",
    "/%2e%2e/x",
    "/a/../../x",
    "/%00",
    "/a%0d%0ab",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_reaches_the_app_as_it_was_asked_for(world: World, path: str) -> None:
    token = (await world.bearer())["authorization"]
    status, _ = await raw(world, f"GET {path} HTTP/1.1", f"Authorization: {token}")
    assert status == 200
    assert world.app.heads[-1].startswith(f"GET {path} HTTP/1.1\r\n")


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_out_of_a_links_prefix(world: World, path: str) -> None:
    token = await world.link(path="/only/")
    world.app.heads.clear()
    status, _ = await raw(world, f"GET /apps/{token}/only{path} HTTP/1.1", host="127.0.0.1:7080")
    if status == 200:
        assert world.app.heads[-1].startswith("GET /only/")
    await raw(world, f"GET /apps/{token}{path}../other HTTP/1.1", host="127.0.0.1:7080")
    assert not any("other" in head.partition("\r\n")[0] for head in world.app.heads)


async def test_an_absolute_address_does_not_choose_another_host(world: World) -> None:
    token = (await world.bearer())["authorization"]
    line = "GET http://127.0.0.1:7080/api/v2/users/me HTTP/1.1"
    status, body = await raw(world, line, f"Authorization: {token}")
    assert b'"role"' not in body
    assert status in (200, 400, 404)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Content-Length: +5",),
        ("Host: evil.example",),
    ],
)
async def test_a_request_that_could_be_read_in_two_ways_stays_outside(
    world: World, headers: tuple[str, ...]
) -> None:
    token = (await world.bearer())["authorization"]
    world.app.heads.clear()
    smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    status, _ = await raw(
        world, "POST / HTTP/1.1", f"Authorization: {token}", *headers, body=smuggled
    )
    assert not any("/smuggled" in head.partition("\r\n")[0] for head in world.app.heads)
    assert status in (0, 400, 401, 404, 200)
    assert len(world.app.heads) <= 1


async def raw(
    world: World, line: str, *headers: str, host: str = "", body: bytes = b""
) -> tuple[int, bytes]:
    """Status (0 when the connection is cut) and body of a request that no library would send."""
    name, _, port = world.url.removeprefix("http://").partition(":")
    head = "\r\n".join([line, f"Host: {host or world.host}", "Connection: close", *headers])
    async with await anyio.connect_tcp(name, int(port)) as stream:
        await stream.send(head.encode() + b"\r\n\r\n" + body)
        got = bytearray()
        with anyio.move_on_after(5):
            try:
                while True:
                    got += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
    first, _, rest = bytes(got).partition(b"\r\n")
    return int(first.split(b" ")[1]) if first else 0, rest
