"""Tokens: what they may, how long, and that they end at once."""

import re
from datetime import timedelta

from alcove.model.access import Permission
from alcove.store import tokens
from tests.api.served import ADA, BOT, MAX, ROOT, Served
from tests.conftest import T0

T = "/api/v2/tokens"


async def test_the_secret_is_shown_once(api: Served) -> None:
    client = await api.client()
    made = (await client.post(T, json={"name": "ci"})).json()
    assert re.fullmatch(r"alc_[a-z2-7]{16}_[0-9A-Za-z]{43}", made["token"])
    again = await client.get(f"{T}/{made['id']}")
    assert "token" not in again.json()
    assert made["token"] not in (await client.get(T)).text


async def test_a_new_token_works(api_on: Served) -> None:
    made = (await (await api_on.client()).post(T, json={"name": "ci"})).json()
    me = await api_on.bare(authorization=f"Bearer {made['token']}").get("/api/v2/users/me")
    assert me.json()["name"] == "ada"


async def test_the_right_id_with_another_secret_is_refused(api: Served) -> None:
    made = (await (await api.client()).post(T, json={"name": "ci"})).json()
    forged = made["token"][:-1] + ("a" if made["token"][-1] != "a" else "b")
    answer = await api.bare(authorization=f"Bearer {forged}").get("/api/v2/users/me")
    assert answer.status_code == 401


async def test_a_revoked_token_ends_at_once(api: Served) -> None:
    client = await api.client()
    made = (await client.post(T, json={"name": "ci"})).json()
    holder = api.bare(authorization=f"Bearer {made['token']}")
    assert (await holder.get("/api/v2/users/me")).status_code == 200
    await client.delete(f"{T}/{made['id']}")
    assert (await holder.get("/api/v2/users/me")).status_code == 401


async def test_what_another_server_revoked_ends_within_a_second(api: Served) -> None:
    secret = await api.token()
    holder = api.bare(authorization=f"Bearer {secret.text}")
    assert (await holder.get("/api/v2/users/me")).status_code == 200
    async with api.core.db.transaction() as tx:
        await tokens.revoke(tx, secret.id, now=T0)
    api.world.clock.move(seconds=1)
    assert (await holder.get("/api/v2/users/me")).status_code == 401


async def test_a_token_ends_when_its_time_is_over(api: Served) -> None:
    made = (await (await api.client()).post(T, json={"name": "x", "expires_in": "1h"})).json()
    holder = api.bare(authorization=f"Bearer {made['token']}")
    assert (await holder.get("/api/v2/users/me")).status_code == 200
    api.world.clock.move(hours=1)
    assert (await holder.get("/api/v2/users/me")).status_code == 401


async def test_disabling_a_user_ends_all_their_tokens_for_good(api: Served) -> None:
    holder, admin = await api.client(ADA), await api.client(ROOT)
    assert (await holder.get("/api/v2/users/me")).status_code == 200
    await admin.patch("/api/v2/users/ada", json={"disabled": True})
    assert (await holder.get("/api/v2/users/me")).status_code == 401
    await admin.patch("/api/v2/users/ada", json={"disabled": False})
    assert (await holder.get("/api/v2/users/me")).status_code == 401


async def test_a_token_makes_none_with_more_rights(api: Served) -> None:
    scopes = [Permission.TOKEN_MANAGE, Permission.WORKSPACE_READ]
    client = await api.client(ADA, scopes=scopes)
    asked = {"name": "more", "scopes": ["workspace:read", "workspace:exec"]}
    answer = await client.post(T, json=asked)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "scopes"


async def test_a_token_with_scopes_passes_on_no_more_than_those(api: Served) -> None:
    scopes = [Permission.TOKEN_MANAGE, Permission.WORKSPACE_READ]
    made = await (await api.client(ADA, scopes=scopes)).post(T, json={"name": "same"})
    assert made.json()["scopes"] == ["token:manage", "workspace:read"]


async def test_a_token_makes_none_that_outlives_it(api: Served) -> None:
    client = await api.client(ADA, expires_at=T0 + timedelta(hours=1))
    made = await client.post(T, json={"name": "long", "expires_in": "30d"})
    assert made.json()["expires_at"] == "2026-01-01T01:00:00Z"


async def test_a_persons_token_ends_after_ninety_days_unless_told(api: Served) -> None:
    made = await (await api.client()).post(T, json={"name": "x"})
    assert made.json()["expires_at"] == "2026-04-01T00:00:00Z"


async def test_a_service_accounts_token_lasts_and_is_made_by_an_administrator(
    api: Served,
) -> None:
    made = await (await api.client(MAX)).post(T, json={"name": "x", "user": "bot"})
    assert made.json()["expires_at"] is None
    assert made.json()["user"] == BOT.name


async def test_an_admin_makes_no_token_of_an_owner(api: Served) -> None:
    answer = await (await api.client(MAX)).post(T, json={"name": "x", "user": "root"})
    assert answer.status_code == 403


async def test_a_token_of_one_workspace_names_one_that_its_maker_may_see(api: Served) -> None:
    theirs = await api.workspace(MAX)
    answer = await (await api.client()).post(T, json={"name": "x", "workspace": theirs.id})
    assert answer.status_code == 404


async def test_making_and_revoking_are_told_without_the_secret(api_on: Served) -> None:
    client = await api_on.client()
    made = (await client.post(T, json={"name": "ci"})).json()
    await client.delete(f"{T}/{made['id']}")
    told = await api_on.world.events(made["id"])
    assert [event.kind for event in told] == ["token.created", "token.revoked"]
    assert made["token"] not in str(told)


async def test_the_database_holds_no_secret(api: Served) -> None:
    made = (await (await api.client()).post(T, json={"name": "ci"})).json()
    async with api.core.db.scan() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM tokens")).all()
    assert made["token"] not in str(rows)
    assert made["token"].rpartition("_")[2] not in str(rows)
