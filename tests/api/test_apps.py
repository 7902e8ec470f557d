"""Apps through the whole server, with a real agent at the end: who gets in, and what passes."""

import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode

from alcove.config import Settings
from alcove.core.proofs import SecretKind, new_secret
from alcove.http.addresses import label_below
from alcove.model.access import Actor, Permission
from alcove.model.identity import Session
from alcove.model.workspace import Workspace
from alcove.store import sessions, tokens
from alcove.store.db import Database
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.api.served import ADA, BOB, EVE, Served, listening, served
from tests.conftest import T0, MovedClock
from tests.http.relayed import head_of
from tests.http.test_relay_sockets import Server

pytestmark = pytest.mark.root
HTML = {"accept": "text/html,*/*"}
OK = b"HTTP/1.1 200 OK\r\n"


@dataclass
class App:
    """What listens inside. It answers with the head that it got, and with `extra` headers."""

    port: int = 0
    heads: list[str] = field(default_factory=list[str])
    extra: str = ""
    closed: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._serve(stream)
            self.closed.set()

    async def _serve(self, stream: SocketStream) -> None:
        head, _ = await head_of(stream)
        self.heads.append(head.decode())
        if b"sec-websocket-key" in head.lower():
            server = Server(stream)
            server.protocol.receive_data(head + b"\r\n\r\n")
            request = server.protocol.events_received()[0]
            server.protocol.send_response(server.protocol.accept(request))  # pyright: ignore[reportArgumentType]
            await server.flush()
            while (frame := await server.frame()).opcode is not Opcode.CLOSE:
                server.protocol.send_text(bytes(frame.data))
                await server.flush()
            return
        body = json.dumps(head.decode().split("\r\n")).encode()
        if " /endless" in self.heads[-1]:
            await stream.send(OK + b"\r\nfirst")
            await stream.receive()
        await stream.send(
            OK + self.extra.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
        )

    @property
    def seen(self) -> str:
        return self.heads[-1].lower()


@dataclass
class World:
    api: Served
    url: str
    workspace: Workspace
    app: App
    clients: list[httpx.AsyncClient] = field(default_factory=list[httpx.AsyncClient])

    @property
    def host(self) -> str:
        return f"{self.app.port}--api--ada.apps.localhost:7080"

    def client(self, **headers: str) -> httpx.AsyncClient:
        made = httpx.AsyncClient(base_url=self.url, headers={"host": self.host, **headers})
        self.clients.append(made)
        return made

    async def bearer(self, actor: Actor = ADA, **limits: Any) -> dict[str, str]:
        secret = await self.api.token(actor, **limits)
        return {"authorization": f"Bearer {secret.text}"}

    async def main(self, actor: Actor = ADA) -> httpx.AsyncClient:
        """The API, on our own host."""
        return self.client(host="127.0.0.1:7080", **await self.bearer(actor))

    async def share(self, level: str, **more: Any) -> None:
        path = f"/api/v2/workspaces/{self.workspace.id}/ports/{self.app.port}/share"
        answer = await (await self.main()).post(path, json={"level": level, **more})
        assert answer.status_code == 200, answer.text

    async def link(self, **asked: Any) -> str:
        path = f"/api/v2/workspaces/{self.workspace.id}/ports/{self.app.port}/links"
        answer = await (await self.main()).post(path, json=asked)
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]

    async def session(self, actor: Actor = ADA) -> str:
        """A browser's cookie on our own host."""
        secret = new_secret(SecretKind.SESSION)
        made = Session(secret.id, actor.id, T0, T0 + timedelta(days=1), "127.0.0.1")
        async with self.api.core.db.transaction() as tx:
            await sessions.add(tx, made, secret_sha256=secret.sha256)
        return f"alcove_session={secret.text}"


@pytest.fixture
async def world(sqlite: Database, clock: MovedClock) -> AsyncGenerator[World]:
    driver, app = AgentDriver(), App()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    app.port = int(listener.extra(SocketAttribute.local_port))
    try:
        async with (
            served(sqlite, clock, driver=driver, settings=Settings(driver="fake")) as api,
            anyio.create_task_group() as tasks,
        ):
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
            workspace = await api.workspace(ADA, template="plain", name="api")
            await api.world.settle()
            tasks.start_soon(listener.serve, app)
            async with listening(api.app) as url:
                made = World(api, url, workspace, app)
                yield made
                for client in made.clients:
                    await client.aclose()
            tasks.cancel_scope.cancel()
    finally:
        await listener.aclose()
        driver.close()


async def test_the_owner_gets_in_with_a_token_that_stays_outside(world: World) -> None:
    token = await world.bearer()
    answer = await world.client(**token).get("/a?b=c", headers={"X-Mine": "1"})
    assert answer.status_code == 200, answer.text
    assert answer.json()[0] == "GET /a?b=c HTTP/1.1"
    assert "x-mine: 1" in world.app.seen
    assert "alc_" not in world.app.seen
    assert f"host: {world.host}" in world.app.seen
    assert "x-forwarded-proto: http\r\n" in world.app.seen + "\r\n"


async def test_an_app_may_have_an_authorization_of_its_own(world: World) -> None:
    token = (await world.bearer())["authorization"].removeprefix("Bearer ")
    client = world.client(**{"x-alcove-token": token, "authorization": "Basic YTpi"})
    assert (await client.get("/")).status_code == 200
    assert "authorization: basic ytpi" in world.app.seen
    assert "x-alcove-token" not in world.app.seen


@pytest.mark.parametrize("actor", [BOB, EVE])
async def test_nobody_else_learns_that_there_is_such_an_app(world: World, actor: Actor) -> None:
    token = await world.bearer(actor)
    there = await world.client(**token).get("/")
    nowhere = await world.client(
        **token | {"host": f"{world.app.port}--nothing--ada.apps.localhost"}
    ).get("/")
    assert there.status_code == nowhere.status_code == 404
    assert there.json()["detail"] == nowhere.json()["detail"]
    assert world.app.heads == []


async def test_without_a_credential_all_apps_look_the_same(world: World) -> None:
    there = await world.client().get("/")
    nowhere = await world.client(host=f"{world.app.port}--nothing--ada.apps.localhost").get("/")
    assert there.status_code == nowhere.status_code == 401
    assert there.json()["detail"] == nowhere.json()["detail"]
    assert world.app.heads == []


async def test_a_token_without_the_right_to_enter_does_not_open_ports(world: World) -> None:
    token = await world.bearer(scopes=[Permission.WORKSPACE_READ])
    assert (await world.client(**token).get("/")).status_code == 404


async def test_a_team_port_is_for_who_may_have_workspaces(world: World) -> None:
    await world.share("team")
    bob, eve = await world.bearer(BOB), await world.bearer(EVE)
    assert (await world.client(**bob).get("/")).status_code == 200
    assert (await world.client(**eve).get("/")).status_code == 404
    assert (await world.client().get("/")).status_code == 401


async def test_a_public_port_is_for_everybody_until_it_expires(world: World) -> None:
    await world.share("public", ttl="1h")
    assert (await world.client().get("/")).status_code == 200
    world.api.world.clock.move(hours=2)
    assert (await world.client().get("/")).status_code == 401


async def test_only_who_may_change_a_workspace_shares_its_ports(world: World) -> None:
    path = f"/api/v2/workspaces/{world.workspace.id}/ports/8000/share"
    bob = await world.main(BOB)
    assert (await bob.post(path, json={"level": "public"})).status_code == 404
    ada = world.client(
        host="127.0.0.1:7080",
        **await world.bearer(scopes=[Permission.WORKSPACE_READ, Permission.WORKSPACE_EXEC]),
    )
    assert (await ada.post(path, json={"level": "public"})).status_code == 403


async def test_sharing_is_told_of_and_opening_once(world: World) -> None:
    await world.share("public")
    client = world.client()
    for _ in range(3):
        await client.get("/")
    await world.api.core.journal.flush(world.api.core)
    kinds = [e.kind for e in await world.api.world.events() if e.kind.startswith("port.")]
    assert kinds == ["port.shared", "port.opened"]


async def test_a_stream_ends_when_the_port_is_no_longer_shared(world: World) -> None:
    await world.share("public")
    async with world.client().stream("GET", "/endless") as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first"
        await world.share("private")
        with anyio.fail_after(10):
            with pytest.raises((httpx.RemoteProtocolError, StopAsyncIteration)):
                await anext(pieces)
            await world.app.closed.wait()


async def test_a_port_on_which_nothing_listens_is_named(world: World) -> None:
    token = await world.bearer()
    host = "9--api--ada.apps.localhost"
    answer = await world.client(**token | {"host": host}).get("/")
    assert answer.status_code == 502
    assert answer.json()["code"] == "not_listening"
    assert "nothing listens on port 9" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host",
    [
        "apps.localhost",
        "evil.apps.localhost",
        "0--api--ada.apps.localhost",
        "70000--api--ada.apps.localhost",
        "a.8000--api--ada.apps.localhost",
        "8000--api--ada--x.apps.localhost",
        "8000--api.apps.localhost",
    ],
)
async def test_no_host_below_the_domain_reaches_the_api(world: World, host: str) -> None:
    token = await world.bearer()
    answer = await world.client(**token | {"host": host}).get("/api/v2/users/me")
    if host == "apps.localhost":
        assert label_below(host, "apps.localhost:7080") is None
    else:
        assert answer.status_code == 404, answer.text


async def test_an_apps_host_has_no_api(world: World) -> None:
    token = await world.bearer()
    answer = await world.client(**token).get("/api/v2/users/me")
    assert answer.json()[0] == "GET /api/v2/users/me HTTP/1.1"


async def _redirected(client: httpx.AsyncClient, path: str = "/deep?x=1") -> httpx.Response:
    answer = await client.get(path, headers=HTML)
    assert answer.status_code == 303, answer.text
    return answer


async def _ticket(world: World, begun: httpx.Response, session: str) -> httpx.Response:
    where = urlsplit(begun.headers["location"])
    main = world.client(host="127.0.0.1:7080", cookie=session)
    return await main.get(f"{where.path}?{where.query}", headers=HTML)


def _cookie(answer: httpx.Response, name: str) -> str:
    found = [c for c in answer.headers.get_list("set-cookie") if c.startswith(f"{name}=")]
    return found[0].partition(";")[0]


async def _arrived(world: World, session: str) -> tuple[httpx.Response, str, str]:
    """The answer at the end, the handshake's cookie, and the address with the ticket."""
    begun = await _redirected(world.client())
    kept = _cookie(begun, "alcove_enter")
    sent = await _ticket(world, begun, session)
    assert sent.status_code == 303, sent.text
    where = urlsplit(sent.headers["location"])
    assert where.netloc == world.host
    path = f"{where.path}?{where.query}"
    return await world.client(cookie=kept).get(path), kept, path


async def test_a_browser_that_is_signed_in_gets_in_and_back_to_where_it_was(world: World) -> None:
    answer, _, _ = await _arrived(world, await world.session())
    assert answer.status_code == 303
    assert answer.headers["location"] == "/deep?x=1"
    mine = _cookie(answer, "alcove_app")
    raw = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("alcove_app="))
    assert "HttpOnly" in raw
    assert "SameSite=lax" in raw
    assert "Domain" not in raw
    got = await world.client(cookie=f"{mine}; theme=dark").get("/", headers=HTML)
    assert got.status_code == 200
    assert "cookie: theme=dark" in world.app.seen
    assert "alcove" not in world.app.seen.replace(world.host, "")


async def test_who_is_not_signed_in_is_sent_to_sign_in(world: World) -> None:
    begun = await _redirected(world.client())
    answer = await _ticket(world, begun, "a=b")
    assert answer.headers["location"].startswith("/sign-in?next=%2Fapps%2F-%2Fenter")


async def test_a_ticket_is_not_made_for_somebody_elses_app(world: World) -> None:
    begun = await _redirected(world.client())
    answer = await _ticket(world, begun, await world.session(BOB))
    assert answer.status_code == 404


async def test_a_ticket_is_good_once_for_one_browser_and_soon_not_at_all(world: World) -> None:
    session = await world.session()
    _, kept, path = await _arrived(world, session)
    assert (await world.client(cookie=kept).get(path)).status_code == 400, "used"
    begun = await _redirected(world.client())
    sent = urlsplit((await _ticket(world, begun, session)).headers["location"])
    fresh = f"{sent.path}?{sent.query}"
    assert (await world.client(cookie=kept).get(fresh)).status_code == 400, "another browser"
    mine = _cookie(begun, "alcove_enter")
    other = world.client(host="9--api--ada.apps.localhost:7080", cookie=mine)
    assert (await other.get(fresh)).status_code == 400, "another app"
    world.api.world.clock.move(seconds=31)
    assert (await world.client(cookie=mine).get(fresh)).status_code == 400, "late"


async def test_the_way_in_ends_with_the_session(world: World) -> None:
    session = await world.session()
    answer, _, _ = await _arrived(world, session)
    mine = _cookie(answer, "alcove_app")
    assert (await world.client(cookie=mine).get("/")).status_code == 200
    async with world.api.core.db.transaction() as tx:
        await sessions.end_all(tx, ADA.id)
    world.api.world.clock.move(seconds=1)
    assert (await world.client(cookie=mine).get("/")).status_code == 401


async def test_a_cookie_of_one_port_does_not_open_another(world: World) -> None:
    answer, _, _ = await _arrived(world, await world.session())
    mine = _cookie(answer, "alcove_app")
    other = world.client(host=f"{world.app.port + 1}--api--ada.apps.localhost", cookie=mine)
    assert (await other.get("/")).status_code == 401


async def test_the_session_of_our_own_host_opens_no_app(world: World) -> None:
    session = await world.session()
    assert (await world.client(cookie=session).get("/")).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", **HTML}, 200),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, 403),
        (
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "iframe",
            },
            403,
        ),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://8000--api--bob.apps.localhost:7080"}, 403),
        ({"origin": "http://8000--api--ada.apps.localhost:7080"}, 200),
    ],
)
async def test_pages_of_other_sites_may_lead_to_an_app_and_no_more(
    world: World, headers: dict[str, str], status: int
) -> None:
    answer, _, _ = await _arrived(world, await world.session())
    mine = _cookie(answer, "alcove_app")
    got = await world.client(cookie=mine).get("/", headers=headers)
    assert got.status_code == status, got.text


async def _talk(world: World, path: str = "/", **headers: str) -> str:
    url = f"ws://{world.host.partition(':')[0]}{path}"
    where = urlsplit(world.url)
    async with connect(
        url, host=where.hostname, port=where.port, additional_headers=headers, proxy=None
    ) as socket:
        await socket.send("hello")
        return str(await socket.recv())


async def test_a_websocket_gets_in_as_other_requests_do(world: World) -> None:
    assert await _talk(world, **await world.bearer()) == "hello"
    with pytest.raises(InvalidStatus) as caught:
        await _talk(world)
    assert caught.value.response.status_code == 401


async def test_a_websocket_of_another_sites_page_is_refused(world: World) -> None:
    answer, _, _ = await _arrived(world, await world.session())
    mine = _cookie(answer, "alcove_app")
    own = f"http://{world.host.partition(':')[0]}"
    assert await _talk(world, cookie=mine, origin=own) == "hello"
    for origin in ("http://evil.example", "http://127.0.0.1:7080", "null"):
        with pytest.raises(InvalidStatus) as caught:
            await _talk(world, cookie=mine, origin=origin)
        assert caught.value.response.status_code == 403


async def test_a_websocket_ends_with_the_token_that_opened_it(world: World) -> None:
    token = await world.bearer()
    where = urlsplit(world.url)
    async with connect(
        f"ws://{world.host.partition(':')[0]}/",
        host=where.hostname,
        port=where.port,
        additional_headers=token,
        proxy=None,
    ) as socket:
        await socket.send("hello")
        await socket.recv()
        async with world.api.core.db.transaction() as tx:
            await tokens.revoke_all(tx, ADA.id, now=T0)
        world.api.world.clock.move(seconds=1)
        with anyio.fail_after(10), pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_a_link_opens_an_app_for_a_browser_and_for_a_program(world: World) -> None:
    token = await world.link()
    got = await world.client().get(f"/a?b=c&alcove_link={token}")
    assert got.json()[0] == "GET /a?b=c HTTP/1.1"
    assert token.lower() not in world.app.seen
    answer = await world.client().get(f"/a?alcove_link={token}&b=c", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/a?b=c")
    mine = _cookie(answer, "alcove_app")
    assert (await world.client(cookie=mine).get("/")).status_code == 200


async def test_a_link_is_good_for_its_port_its_path_and_its_time(world: World) -> None:
    token = await world.link(ttl="1m", path="/docs/")
    other = world.client(host=f"{world.app.port + 1}--api--ada.apps.localhost")
    assert (await other.get(f"/docs/?alcove_link={token}")).status_code == 404
    for path in ("/", "/docs/../secret", "/docs/%2e%2e/secret", "/docs/%252e%252e/x"):
        raw = httpx.URL(world.url).copy_with(raw_path=f"{path}?alcove_link={token}".encode())
        assert (await world.client().get(raw)).status_code == 404, path
    assert (await world.client().get(f"/docs/a?alcove_link={token}")).status_code == 200
    world.api.world.clock.move(seconds=61)
    assert (await world.client().get(f"/docs/a?alcove_link={token}")).status_code == 404


async def test_a_link_ends_with_its_makers_right_to_share(world: World) -> None:
    token = await world.link()
    path = f"/apps/{token}/"
    main = world.client(host="127.0.0.1:7080")
    assert (await main.get(path)).status_code == 200
    deleted = await (await world.main()).delete(f"/api/v2/workspaces/{world.workspace.id}")
    assert deleted.status_code == 202
    assert (await main.get(path)).status_code == 404


async def test_on_our_own_origin_an_app_is_in_a_sandbox_without_cookies(world: World) -> None:
    token = await world.link()
    world.app.extra = (
        "Set-Cookie: sid=1; Path=/\r\nLocation: /login\r\nClear-Site-Data: *\r\n"
        "Service-Worker-Allowed: /\r\nContent-Type: text/html\r\n"
    )
    session = await world.session()
    main = world.client(host="127.0.0.1:7080", cookie=f"{session}; a=b")
    answer = await main.get(f"/apps/{token}/x?y=z")
    assert answer.status_code == 200, answer.text
    assert answer.json()[0] == "GET /x?y=z HTTP/1.1"
    policies = answer.headers.get_list("content-security-policy")
    assert "sandbox allow-scripts allow-forms allow-popups" in policies
    for name in ("set-cookie", "clear-site-data", "service-worker-allowed"):
        assert name not in answer.headers
    assert answer.headers["location"] == f"/apps/{token}/login"
    assert "cookie" not in world.app.seen
    assert f"x-forwarded-prefix: /apps/{token.lower()}" in world.app.seen
    assert f"host: localhost:{world.app.port}" in world.app.seen


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
        {"service-worker": "script"},
    ],
)
async def test_what_an_app_sends_is_never_part_of_our_own_pages(
    world: World, headers: dict[str, str]
) -> None:
    main = world.client(host="127.0.0.1:7080")
    answer = await main.get(f"/apps/{await world.link()}/x.js", headers=headers)
    assert answer.status_code == 403


async def test_a_forged_link_is_nothing(world: World) -> None:
    token = await world.link()
    main = world.client(host="127.0.0.1:7080")
    changed = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    for forged in (changed, "x", "-", "%00", token + "A", "a" * 3000):
        assert (await main.get(f"/apps/{forged}/")).status_code == 404, forged


async def test_a_tunnel_carries_bytes_and_each_direction_ends_by_itself(world: World) -> None:
    path = f"/api/v2/workspaces/{world.workspace.id}/ports/{world.app.port}/connect"
    head = await world.bearer()
    async with connect(f"ws{world.url[4:]}{path}", additional_headers=head, proxy=None) as socket:
        await socket.send(b"GET /raw HTTP/1.1\r\nHost: x\r\n\r\n")
        await socket.send(b"")
        data = b""
        while piece := await socket.recv():
            assert isinstance(piece, bytes)
            data += piece
    assert data.startswith(OK)
    with pytest.raises(InvalidStatus) as caught:
        async with connect(
            f"ws{world.url[4:]}{path}", additional_headers=await world.bearer(BOB), proxy=None
        ):
            pass
    assert caught.value.response.status_code == 404


async def test_a_tunnel_to_nothing_is_refused_before_it_opens(world: World) -> None:
    path = f"/api/v2/workspaces/{world.workspace.id}/ports/9/connect"
    with pytest.raises(InvalidStatus) as caught:
        async with connect(
            f"ws{world.url[4:]}{path}", additional_headers=await world.bearer(), proxy=None
        ):
            pass
    assert caught.value.response.status_code == 502


async def test_the_redirect_to_our_own_host_names_the_app_and_a_state(world: World) -> None:
    begun = await _redirected(world.client(), "/" + "x" * 2000)
    where = urlsplit(begun.headers["location"])
    assert f"{where.scheme}://{where.netloc}" == "http://127.0.0.1:7080"
    asked = parse_qs(where.query)
    assert asked["to"] == [world.host.partition(".")[0]]
    assert "xxx" not in begun.headers["location"]
