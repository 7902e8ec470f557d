"""What lasts: events that resume without a gap, and streams that end with the right to them."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx
import pytest

from alcove.core import identity, users
from alcove.core.users import UserChanges
from alcove.store import tokens
from tests.api.served import ADA, BOB, ROOT, Served, listening
from tests.conftest import T0

EVENTS = "/api/v2/events"


@dataclass(frozen=True)
class Seen:
    """One server-sent event; `name` is empty for a comment."""

    name: str
    data: str
    id: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.data)


async def parsed(answer: httpx.Response) -> AsyncIterator[Seen]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Seen(fields.get("event", ""), fields.get("data", ""), fields.get("id", ""))
            fields = {}


@asynccontextmanager
async def following(
    api: Served, url: str, path: str, token: str, **headers: str
) -> AsyncGenerator[AsyncIterator[Seen]]:
    head = {"authorization": f"Bearer {token}", "accept": "text/event-stream", **headers}
    async with (
        httpx.AsyncClient(base_url=url, headers=head, timeout=20) as client,
        client.stream("GET", path) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        found = parsed(answer)
        first = await anext(found)
        assert first.name == "", "a stream begins with a comment, so that one knows it is open"
        yield found


async def test_events_come_as_they_happen(api_on: Served) -> None:
    secret = await api_on.token(ADA)
    async with listening(api_on.app) as url, following(api_on, url, EVENTS, secret.text) as seen:
        made = await api_on.workspace(ADA, name="api")
        with anyio.fail_after(10):
            event = await anext(seen)
        assert event.name == "workspace.created"
        assert event.json["subject"] == made.id
        assert event.id == str(event.json["seq"])


async def test_a_follower_that_comes_back_misses_nothing_and_gets_nothing_twice(
    api_on: Served,
) -> None:
    secret = await api_on.token(ADA)
    numbers: list[int] = []
    async with listening(api_on.app) as url:
        last = "0"
        for round in range(3):
            await api_on.workspace(ADA, name=f"before-{round}")
            again = {"last-event-id": last}
            async with following(api_on, url, EVENTS, secret.text, **again) as seen:
                await api_on.workspace(ADA, name=f"during-{round}")
                with anyio.fail_after(10):
                    for _ in range(2):
                        event = await anext(seen)
                        numbers.append(int(event.id))
                        last = event.id
    told = [e.seq for e in await api_on.world.events() if e.owner == ADA.id]
    assert numbers == told


async def test_nobody_follows_what_they_may_not_read(api: Served) -> None:
    secret = await api.token(ADA)
    async with listening(api.app) as url, following(api, url, EVENTS, secret.text) as seen:
        await api.workspace(BOB, name="secret")
        await api.workspace(ADA, name="mine")
        with anyio.fail_after(10):
            event = await anext(seen)
        assert event.json["owner"] == "ada"


async def test_a_disabled_users_stream_ends_within_a_second(api: Served) -> None:
    secret = await api.token(ADA)
    async with listening(api.app) as url, following(api, url, EVENTS, secret.text) as seen:
        await users.update(api.core, ROOT, "ada", UserChanges(disabled=True))
        with anyio.fail_after(1):
            names = [event.name async for event in seen]
        assert names[-1] == "error"


async def test_a_stream_ends_when_another_server_revoked_its_token(api: Served) -> None:
    secret = await api.token(ADA)
    async with listening(api.app) as url, following(api, url, EVENTS, secret.text) as seen:
        async with api.core.db.transaction() as tx:
            await tokens.revoke(tx, secret.id, now=T0)
        api.world.clock.move(seconds=1)
        with anyio.fail_after(1):
            [problem] = [event async for event in seen if event.name == "error"]
        assert problem.json["code"] == "unauthenticated"


async def test_a_session_may_follow_too(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    actor = await identity.authenticate_bearer(api.core, (await api.token(ADA)).text)
    assert (await identity.recheck(api.core, actor)).id == ADA.id
    assert made.owner == ADA.id


async def test_streams_end_when_the_server_is_told_to_stop(api: Served) -> None:
    secret = await api.token(ADA)
    async with listening(api.app) as url, following(api, url, EVENTS, secret.text) as seen:
        api.core.gate.closing = True
        with anyio.fail_after(1):
            [last] = [event async for event in seen if event.name == "error"]
        assert last.json["code"] == "unavailable"


async def test_a_page_of_events_goes_on_where_the_last_one_ended(api_on: Served) -> None:
    for number in range(5):
        await api_on.workspace(ADA, name=f"w{number}")
    client = await api_on.client(ADA)
    seen: list[int] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get(EVENTS, params=query)).json()
        seen += [event["seq"] for event in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [e.seq for e in await api_on.world.events() if e.owner == ADA.id]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("type=workspace.created", {"workspace.created"}),
        ("actor=root", {"workspace.created"}),
        ("actor=ada", {"workspace.delete_requested"}),
        ("actor=nobody", set[str]()),
        ("type=token.created", set[str]()),
    ],
)
async def test_events_are_found_by_type_and_actor(
    api: Served, query: str, kinds: set[str]
) -> None:
    await api.workspace(ADA, name="w")
    client = await api.client(ADA)
    await client.delete("/api/v2/workspaces/w")
    found = (await client.get(f"{EVENTS}?{query}")).json()["items"]
    assert {event["type"] for event in found} == kinds
