"""Snapshots and forks over HTTP: what is answered, where, and what a repetition does."""

import anyio
import pytest

from alcove.core.snapshot_keeper import Keeper
from tests.api.served import ADA, Served


async def _running(api: Served, **asked: object) -> str:
    made = await api.workspace(ADA, **asked)
    await api.world.settle()
    return made.id


async def test_a_snapshot_is_taken_listed_used_and_deleted(api: Served) -> None:
    id = await _running(api, name="api")
    client = await api.client(ADA)
    taken = await client.post("/api/v2/workspaces/api/snapshot", json={"name": "base"})
    assert taken.status_code == 201, taken.text
    assert taken.json()["state"] == "taking"
    assert taken.headers["location"] == f"/api/v2/snapshots/{taken.json()['id']}"
    await Keeper(api.core).tick()
    found = (await client.get("/api/v2/snapshots/base?wait=5s")).json()
    assert (found["state"], found["workspace"], found["owner"]) == ("ready", id, "ada")
    listed = (await client.get("/api/v2/snapshots?workspace=api")).json()
    assert [item["name"] for item in listed["items"]] == ["base"]
    made = await client.post("/api/v2/workspaces", json={"snapshot": "base", "name": "two"})
    assert (made.status_code, made.json()["started"]) == (201, "snapshot")
    assert (await client.delete("/api/v2/snapshots/base")).status_code == 204
    assert (await client.get("/api/v2/snapshots/base")).status_code == 404


async def test_the_answer_waits_for_the_snapshot(api: Served) -> None:
    id = await _running(api)
    client = await api.client(ADA)

    async def keep() -> None:
        while not any(verb == "take_snapshot" for verb, _ in api.world.driver.calls):
            await Keeper(api.core).tick()
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(keep)
        answer = await client.post(f"/api/v2/workspaces/{id}/snapshot?wait=30s")
        assert answer.json()["state"] == "ready"


async def test_a_repeated_fork_makes_no_more_of_them(api: Served) -> None:
    id = await _running(api)
    client = await api.client(ADA)
    path, headers = f"/api/v2/workspaces/{id}/fork", {"idempotency-key": "once"}
    first = await client.post(path, json={"count": 3, "name": "try"}, headers=headers)
    again = await client.post(path, json={"count": 3, "name": "try"}, headers=headers)
    assert first.status_code == again.status_code == 201, first.text
    assert first.json() == again.json()
    names = [item["name"] for item in first.json()["items"]]
    assert names == ["try-1", "try-2", "try-3"]
    assert len((await client.get("/api/v2/workspaces")).json()["items"]) == 4


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 101}, "count"),
        ({"name": "a" * 62, "count": 2}, "name"),
        ({"size": 1}, "size"),
    ],
)
async def test_a_fork_that_cannot_be_names_the_field(
    api: Served, body: dict[str, object], field: str
) -> None:
    id = await _running(api)
    client = await api.client(ADA)
    answer = await client.post(f"/api/v2/workspaces/{id}/fork", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_snapshot_and_a_template_are_not_both_asked_for(api: Served) -> None:
    client = await api.client(ADA)
    body = {"snapshot": "base", "template": "python"}
    answer = await client.post("/api/v2/workspaces", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "template")


async def test_the_server_says_what_each_isolation_keeps(api: Served) -> None:
    said = (await (await api.client(ADA)).get("/api/v2/server")).json()
    assert said["isolation_min"] == "container"
    assert said["drivers"][0]["promises"]["container"] == {
        "pause": "memory",
        "pause_survives_host_restart": False,
        "pause_frees_memory": False,
        "snapshot": "files",
    }
