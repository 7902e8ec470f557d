"""`/pools` over HTTP: what is shown, set and refused; and a create that is a claim."""

from tests.api.served import ADA, MAX, Served
from tests.core.test_pools import POOLED, fill
from tests.core.world import add_template

PATH = "/api/v2/pools/pooled"


async def _pooled(api: Served) -> None:
    async with api.core.db.transaction() as tx:
        await add_template(tx, POOLED)
    await fill(api.world)


async def test_a_pool_is_shown_with_what_it_has_and_wants(api: Served) -> None:
    await _pooled(api)
    client = await api.client(ADA)
    [pool] = (await client.get("/api/v2/pools")).json()["items"]
    assert pool == (await client.get(PATH)).json()
    assert pool == {
        "template": "pooled", "version": 1, "isolation": "container", "mode": "fixed",
        "min": 3, "max": 3, "schedule": [], "zone": "UTC", "refill_per_second": 20.0,
        "set_by": "template", "wanted": 3, "ready": 3, "starting": 0, "failed": 0,
        "draining": 0, "why": "", "last_hour": {"claimed": 0, "missed": 0},
    }  # fmt: skip


async def test_an_operator_sets_it_and_lets_the_template_decide_again(api: Served) -> None:
    await _pooled(api)
    client = await api.client(MAX)
    window = {"days": "mon-fri", "from": "08:00", "to": "18:00", "min": 4}
    body = {"min": 1, "max": 6, "schedule": [window], "zone": "Europe/Paris"}
    put = (await client.put(PATH, json=body)).json()
    assert (put["mode"], put["set_by"], put["zone"]) == ("adaptive", "operator", "Europe/Paris")
    assert put["schedule"] == [{**window, "days": "mon,tue,wed,thu,fri"}]
    assert (await client.delete(PATH)).json()["set_by"] == "template"


async def test_what_cannot_be_is_refused_by_its_field(api: Served) -> None:
    await _pooled(api)
    client = await api.client(MAX)
    for body, field in (
        ({}, "size"),
        ({"size": 1, "max": 2}, "size"),
        ({"size": 1001}, "size"),
        ({"min": 3, "max": 2}, "min"),
        ({"size": 1, "zone": "Nowhere/Land"}, "zone"),
        ({"size": 1, "schedule": [{"from": "8", "to": "9", "min": 1}]}, "schedule"),
    ):
        answer = await client.put(PATH, json=body)
        assert answer.status_code == 422, answer.text
        assert field in answer.text
    assert (await client.put("/api/v2/pools/none", json={"size": 1})).status_code == 404


async def test_a_create_from_a_pool_answers_a_workspace_that_runs(api: Served) -> None:
    await _pooled(api)
    client = await api.client(ADA)
    body = {"template": "pooled", "env": {"A": "b"}, "ttl": "1h"}
    made = (await client.post("/api/v2/workspaces?wait=30s", json=body)).json()
    assert (made["phase"], made["started"], made["owner"]) == ("running", "pool", "ada")
    assert made["started_at"] is not None
    ran = await client.post(
        f"/api/v2/workspaces/{made['id']}/exec", json={"command": ["echo", "hi"]}
    )
    assert ran.json()["stdout"] == "hi\n"


async def test_a_create_over_http_costs_five_statements(api: Served) -> None:
    """Beginning, count, claim, number, event; who calls is remembered from a moment ago."""
    await _pooled(api)
    client = await api.client(ADA)
    body = {"template": "pooled", "env": {"A": "b"}, "ttl": "1h"}
    await client.post("/api/v2/workspaces", json=body)
    before = api.core.db.queries
    made = (await client.post("/api/v2/workspaces?wait=30s", json=body)).json()
    assert made["started"] == "pool"
    assert api.core.db.queries - before == 5
