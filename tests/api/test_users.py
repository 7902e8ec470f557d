"""Users: who may make and change whom."""

import pytest

from tests.api.served import ADA, EVE, MAX, ROOT, Served

U = "/api/v2/users"
PASSWORD = "correct horse battery staple"


async def test_an_administrator_makes_a_user(api_on: Served) -> None:
    body = {"name": "zoe", "display_name": "Zoë", "email": "zoe@example.com"}
    made = await (await api_on.client(MAX)).post(U, json=body)
    assert made.status_code == 201
    assert made.json()["role"] == "member"
    [told] = await api_on.world.events(made.json()["id"])
    assert told.kind == "user.created"


async def test_a_name_is_taken_once(api_on: Served) -> None:
    client = await api_on.client(MAX)
    assert (await client.post(U, json={"name": "zoe"})).status_code == 201
    assert (await client.post(U, json={"name": "zoe"})).status_code == 409


@pytest.mark.parametrize("name", ["me", "system", "new", "us-abc", "ws-abc"])
async def test_a_name_with_another_meaning_is_refused(api: Served, name: str) -> None:
    answer = await (await api.client(MAX)).post(U, json={"name": name})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "name"


async def test_a_password_never_comes_back(api: Served) -> None:
    body = {"name": "zoe", "password": PASSWORD}
    made = await (await api.client(MAX)).post(U, json=body)
    assert made.status_code == 201
    assert PASSWORD not in made.text


async def test_a_short_password_is_refused_by_its_field(api: Served) -> None:
    answer = await (await api.client(MAX)).post(U, json={"name": "zoe", "password": "short"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "password"
    assert "'short'" not in answer.text


@pytest.mark.parametrize("change", [{"role": "member"}, {"disabled": True}])
async def test_the_last_owner_stays_one(api_on: Served, change: dict[str, object]) -> None:
    admin = await api_on.client(ROOT)
    await admin.post(U, json={"name": "two", "role": "owner"})
    assert (await admin.patch(f"{U}/two", json=change)).status_code == 200
    answer = await admin.patch(f"{U}/me", json=change)
    assert answer.status_code == 409


@pytest.mark.parametrize("change", [{"role": "member"}, {"disabled": True}, {"email": "x@y"}])
async def test_an_admin_does_not_touch_an_owner(api: Served, change: dict[str, object]) -> None:
    answer = await (await api.client(MAX)).patch(f"{U}/root", json=change)
    assert answer.status_code == 403


async def test_an_admin_makes_no_owner(api: Served) -> None:
    client = await api.client(MAX)
    assert (await client.post(U, json={"name": "z", "role": "owner"})).status_code == 403
    assert (await client.patch(f"{U}/ada", json={"role": "owner"})).status_code == 403


async def test_nobody_raises_themselves(api: Served) -> None:
    for actor in (ADA, EVE):
        answer = await (await api.client(actor)).patch(f"{U}/me", json={"role": "admin"})
        assert answer.status_code == 403


async def test_a_new_role_counts_at_once(api: Served) -> None:
    client = await api.client(ADA)
    assert (await client.post(U, json={"name": "z"})).status_code == 403
    await (await api.client(ROOT)).patch(f"{U}/ada", json={"role": "admin"})
    assert (await client.post(U, json={"name": "z"})).status_code == 201


async def test_members_do_not_read_each_others_addresses(api: Served) -> None:
    seen = (await (await api.client(ADA)).get(f"{U}/max")).json()
    assert seen["email"] == ""
    assert (await (await api.client(EVE)).get(f"{U}/max")).json()["email"] == "max@example.com"


async def test_users_are_listed_page_by_page(api_on: Served) -> None:
    client = await api_on.client(EVE)
    names: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get(U, params=query)).json()
        names += [user["name"] for user in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert names == ["ada", "bob", "bot", "eve", "max", "root"]


async def test_a_service_account_has_no_password(api: Served) -> None:
    admin = await api.client(MAX)
    made = await admin.post(U, json={"name": "z", "service": True, "password": PASSWORD})
    assert made.status_code == 422
    answer = await admin.post(f"{U}/bot/password", json={"new": PASSWORD})
    assert answer.status_code == 422
    assert (await admin.post(f"{U}/bot/sign-in-link")).status_code == 403


async def test_changing_ones_own_password_asks_for_the_present_one(api: Served) -> None:
    client = await api.client(ADA)
    assert (await client.post(f"{U}/me/password", json={"new": PASSWORD})).status_code == 204
    wrong = {"current": "something else", "new": PASSWORD + "2"}
    answer = await client.post(f"{U}/me/password", json=wrong)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "current"
    right = {"current": PASSWORD, "new": PASSWORD + "2"}
    assert (await client.post(f"{U}/me/password", json=right)).status_code == 204
