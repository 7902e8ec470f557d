"""Creating, looking and asking, as clients do it."""

from typing import Any

import pytest

from alcove.core import identity
from tests.api.served import ADA, BOB, ROOT, Served

W = "/api/v2/workspaces"
FIELDS = {
    *("id", "name", "owner", "kind", "template", "template_version", "phase", "desired"),
    *("reason", "health", "isolation", "parameters", "labels", "repo", "branch", "ephemeral"),
    *("created_at", "started_at", "last_used_at", "expires_at", "stop_at", "node", "ports"),
    *("urls", "usage", "on_expiry", "auto_resume", "started", "started_why"),
    *("generation",),
}


async def test_a_workspace_has_exactly_the_promised_fields(api_on: Served) -> None:
    answer = await (await api_on.client()).post(W, json={"template": "python", "name": "api"})
    assert answer.status_code == 201
    assert answer.json().keys() == FIELDS
    assert answer.json()["owner"] == "ada"
    assert answer.json()["phase"] == "provisioning"


async def test_times_are_utc_with_z(api: Served) -> None:
    made = (await (await api.client()).post(W, json={"template": "python"})).json()
    assert made["created_at"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "body",
    [
        {"template": "python", "parameters": {"cpu": 4}, "ttl": "4h", "branch": "main"},
        {"template": "python", "parameters": {"cpu": 4, "ttl": "4h", "branch": "main"}},
        {
            "template_id": "python",
            "rich_parameters": {"cpu": "4", "ttl_hours": "4", "branch": "main"},
        },
        {
            "template_id": "python",
            "rich_parameters": [
                {"name": "cpu", "value": "4"},
                {"name": "ttl_hours", "value": "4"},
                {"name": "branch", "value": "main"},
            ],
        },
    ],
)
async def test_every_orchestrators_body_means_the_same(api: Served, body: dict[str, Any]) -> None:
    at_top: Any = body.get("parameters") or body["rich_parameters"]
    repo = "https://git.example.com/api.git"
    named = {"name": "repo", "value": repo}
    given: Any = [*at_top, named] if isinstance(at_top, list) else {**at_top, "repo": repo}
    key = "parameters" if "parameters" in body else "rich_parameters"
    body = {**body, key: given}
    made = (await (await api.client()).post(W, json=body)).json()
    assert made["parameters"]["cpu"] == 4
    assert made["repo"] == "https://git.example.com/api.git"
    assert made["branch"] == "main"
    assert made["expires_at"] == "2026-01-01T04:00:00Z"


async def test_waiting_for_creation_answers_when_it_runs(api: Served) -> None:
    client = await api.client()
    # Nothing reconciles here: the wait ends by itself and says how far it is.
    made = await client.post(f"{W}?wait=1s", json={"template": "python"})
    assert made.status_code == 201
    await api.world.settle()
    seen = await client.get(f"{W}/{made.json()['id']}")
    assert seen.json()["phase"] == "running"


async def test_pages_hold_everything_once_although_more_are_made(api_on: Served) -> None:
    client = await api_on.client()
    for number in range(5):
        await client.post(W, json={"template": "python", "name": f"w{number}"})
        api_on.world.clock.move(seconds=1)
    first = (await client.get(f"{W}?limit=2")).json()
    await client.post(W, json={"template": "python", "name": "late"})
    names = [item["name"] for item in first["items"]]
    cursor = first["next_cursor"]
    while cursor:
        page = (await client.get(W, params={"limit": 2, "cursor": cursor})).json()
        names += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert names == ["w4", "w3", "w2", "w1", "w0"]


async def test_filters_narrow_the_list(api_on: Served) -> None:
    client = await api_on.client()
    await client.post(W, json={"template": "python", "name": "a", "labels": {"team": "core"}})
    await client.post(W, json={"template": "agent", "name": "b", "labels": {"team": "web"}})

    async def named(query: str) -> list[str]:
        return [w["name"] for w in (await client.get(f"{W}?{query}")).json()["items"]]

    assert await named("label=team=core") == ["a"]
    assert await named("template=agent") == ["b"]
    assert await named("phase=running") == []
    assert sorted(await named("phase=running&phase=provisioning&owner=me")) == ["a", "b"]
    assert await named("owner=bob") == []


async def test_an_administrator_names_it_by_owner_and_name(api: Served) -> None:
    made = await api.workspace(ADA, name="api")
    client = await api.client(ROOT)
    for ref in ("ada%2Fapi", "ada:api", made.id):
        assert (await client.get(f"{W}/{ref}")).json()["id"] == made.id


async def test_deleting_is_accepted_again_and_again(api: Served) -> None:
    client = await api.client()
    made = (await client.post(W, json={"template": "python"})).json()
    for _ in range(2):
        answer = await client.delete(f"{W}/{made['id']}")
        assert answer.status_code == 202
        assert answer.json()["desired"] == "deleted"


async def test_a_change_of_the_time_to_live_moves_the_end(api: Served) -> None:
    client = await api.client()
    made = (await client.post(W, json={"template": "python", "ttl": "4h"})).json()
    longer = (await client.patch(f"{W}/{made['id']}", json={"ttl": "2d"})).json()
    assert longer["expires_at"] == "2026-01-03T00:00:00Z"


async def test_stopping_and_starting_are_asked_for_and_come_true(api: Served) -> None:
    client = await api.client()
    made = (await client.post(W, json={"template": "python", "name": "api"})).json()
    await api.world.settle()
    stopping = (await client.post(f"{W}/api/stop")).json()
    assert stopping["desired"] == "stopped"
    await api.world.settle()
    assert (await client.get(f"{W}/{made['id']}")).json()["phase"] == "stopped"
    assert (await client.post(f"{W}/api/start")).json()["desired"] == "running"


async def test_what_the_driver_cannot_do_is_unsupported_with_the_reason(api: Served) -> None:
    body = {"template": "python", "isolation": "gvisor"}
    answer = await (await api.client()).post(W, json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "unsupported"
    assert "gvisor" in answer.json()["detail"]


async def test_a_running_workspace_tells_what_it_listens_on(api: Served) -> None:
    made = await api.workspace(ADA, name="api")
    await api.world.settle()
    api.world.driver.runtimes[made.id].agent.stats = {
        "listening_ports": [{"port": 8000, "address": "0.0.0.0", "command": "python3"}]
    }
    client = await api.client()
    ports = (await client.get(f"{W}/api/ports")).json()["items"]
    assert [(p["port"], p["address"], p["process"], p["level"]) for p in ports] == [
        (8000, "0.0.0.0", "python3", "private")
    ]
    assert ports[0]["url"] == "http://8000--api--ada.apps.localhost:7080/"
    assert (await client.get(f"{W}/api")).json()["ports"] == ports


async def test_a_list_costs_the_same_number_of_queries_however_long_it_is(
    api: Served,
) -> None:
    client = await api.client(ROOT)
    counts: list[int] = []
    for round in range(2):
        for number in range(8):
            await api.workspace(ADA if number % 2 else BOB, name=f"w{round}-{number}")
        api.core.gate.names.clear()
        before = api.core.db.queries
        assert len((await client.get(W)).json()["items"]) == 8 * (round + 1)
        counts.append(api.core.db.queries - before)
        api.world.clock.move(seconds=1)
    assert counts[0] == counts[1] <= 4


async def test_last_use_of_a_token_is_written_down_later(api: Served) -> None:
    client = await api.client()
    await client.get(W)
    api.world.clock.move(minutes=5)
    await identity.tidy(api.core)
    [token] = (await client.get("/api/v2/tokens")).json()["items"]
    assert token["last_used_at"] == "2026-01-01T00:00:00Z"
