"""`/exec-outputs` over HTTP: who finds what, what is sent of it, and that reading is told of."""

import base64
from typing import Any

import httpx

from alcove.model.access import Permission
from alcove.model.event import EventKind
from alcove.store.events import EventFilters, read
from tests.api.exec_outputs import made_output
from tests.api.served import ADA, BOB, EVE, MAX, Served
from tests.conftest import T0

LIST = "/api/v2/exec-outputs"


async def _ids(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get(LIST, params=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def _reads(api: Served) -> list[str]:
    async with api.core.db.read() as tx:
        found = await read(tx, after=0, filters=EventFilters(kinds=(EventKind.RECORDING_READ,)))
    return [event.subject for event in found]


async def test_one_sees_those_of_ones_own_workspaces(api: Served) -> None:
    mine = await made_output(api, ADA)
    await made_output(api, BOB)
    assert await _ids(await api.client(ADA)) == [mine.id]


async def test_an_auditor_sees_all(api: Served) -> None:
    made = {(await made_output(api, one)).id for one in (ADA, BOB)}
    assert set(await _ids(await api.client(EVE))) == made


async def test_filters_narrow_the_list(api: Served) -> None:
    one = await made_output(api, ADA, by=MAX)
    two = await made_output(api, BOB)
    client = await api.client(MAX)
    assert await _ids(client, owner="bob") == [two.id]
    assert await _ids(client, workspace=one.workspace) == [one.id]
    assert await _ids(client, actor="me") == [one.id]
    assert await _ids(client, until=T0.isoformat()) == []
    assert len(await _ids(client, since=T0.isoformat())) == 2


async def test_the_list_says_nothing_of_what_was_written(api: Served) -> None:
    made = await made_output(api, ADA, b"hunter2", command="cat key")
    answer = await (await api.client(ADA)).get(LIST)
    [item] = answer.json()["items"]
    assert "hunter2" not in answer.text
    assert (item["command"], item["stdout_size"], item["digest"]) == ("cat key", 7, made.digest)


async def test_one_comes_with_its_ends(api: Served) -> None:
    most = api.core.settings.exec_output_bytes
    made = await made_output(api, ADA, b"a" * most + b"-" * 10 + b"z" * most, stderr=b"\xff")
    said = (await (await api.client(EVE)).get(f"{LIST}/{made.id}")).json()
    assert (said["stdout"]["head"], said["stdout"]["tail"]) == ("a" * most, "z" * most)
    assert (said["stdout"]["size"], said["stdout"]["dropped"]) == (2 * most + 10, 10)
    assert said["stdout"]["head_base64"] is None
    assert base64.b64decode(said["stderr"]["head_base64"]) == b"\xff"
    assert said["intact"] is True


async def test_reading_is_told_of_and_listing_is_not(api: Served) -> None:
    made = await made_output(api, ADA)
    client = await api.client(EVE)
    await client.get(LIST)
    assert await _reads(api) == []
    await client.get(f"{LIST}/{made.id}")
    assert await _reads(api) == [made.id]


async def test_who_may_see_events_alone_does_not_see_it(api: Served) -> None:
    made = await made_output(api, ADA, b"hunter2")
    client = await api.client(ADA, scopes=[Permission.WORKSPACE_READ, Permission.AUDIT_READ])
    assert (await client.get(f"{LIST}/{made.id}")).status_code == 403
    events = await client.get("/api/v2/events", params={"subject": made.workspace})
    assert events.status_code == 200
    assert made.id in events.text
    assert "hunter2" not in events.text
    assert await _reads(api) == []


async def test_what_was_changed_says_so(api: Served) -> None:
    made = await made_output(api, ADA)
    async with api.core.db.transaction() as tx:
        await tx.exec_driver_sql("update exec_outputs set stdout_size = 7000")
    said = (await (await api.client(ADA)).get(f"{LIST}/{made.id}")).json()
    assert said["intact"] is False


async def test_a_search_is_told_of_without_its_words(api: Served) -> None:
    made = await made_output(api, ADA, b"token hunter2\n")
    await made_output(api, BOB, b"token hunter2\n")
    assert await _ids(await api.client(ADA), q="HUNTER2") == [made.id]
    assert await _reads(api) == ["exec-outputs"]
    assert "hunter2" not in str([e.detail for e in await api.world.events()]).lower()
