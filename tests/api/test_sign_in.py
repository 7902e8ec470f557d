"""Signing in by password and by link; sessions; requests from other sites."""

import time

import httpx
import pytest

from alcove.core import sign_in, users
from alcove.core.sign_in import by_password, new_link
from alcove.http.access import COOKIE
from alcove.model.errors import TooMany, Unauthenticated
from tests.api.served import ADA, BASE, MAX, ROOT, Served

PASSWORD = "correct horse battery staple"
FORM = {"content-type": "application/x-www-form-urlencoded"}
OWN = {"origin": BASE}


async def give_password(api: Served) -> None:
    await users.set_password(api.core, MAX, "ada", current=None, new=PASSWORD)


async def signed_in(api: Served) -> httpx.AsyncClient:
    await give_password(api)
    browser = api.bare(**OWN)
    fields = {"name": "ada", "password": PASSWORD, "next": "/templates"}
    answer = await browser.post("/sign-in", data=fields)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == "/templates"
    return browser


async def test_a_password_opens_a_session(api: Served) -> None:
    browser = await signed_in(api)
    assert (await browser.get("/api/v2/users/me")).json()["name"] == "ada"


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(api: Served) -> None:
    await give_password(api)
    fields = {"name": "ada", "password": PASSWORD}
    answer = await api.bare(**OWN).post("/sign-in", data=fields)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie


@pytest.mark.parametrize("name", ["ada", "nobody", "bot", "", "\0", "a" * 5000])
async def test_a_wrong_password_and_an_unknown_name_get_the_same_words(
    api: Served, name: str
) -> None:
    await give_password(api)
    answer = await api.bare(**OWN).post("/sign-in", data={"name": name, "password": "wrong"})
    assert answer.status_code == 401
    assert "the name or the password is wrong" in answer.text


async def test_an_unknown_name_takes_as_long_as_a_known_one(api: Served) -> None:
    await give_password(api)

    async def took(name: str) -> float:
        best = 99.0
        for _ in range(2):
            began = time.perf_counter()
            with pytest.raises(Unauthenticated):
                await by_password(api.core, name=name, password="wrong", address="a")
            best = min(best, time.perf_counter() - began)
        return best

    assert await took("nobody") > await took("ada") / 3


async def test_a_disabled_user_does_not_sign_in(api: Served) -> None:
    await give_password(api)
    await users.update(api.core, ROOT, "ada", users.UserChanges(disabled=True))
    with pytest.raises(Unauthenticated):
        await by_password(api.core, name="ada", password=PASSWORD, address="a")


async def test_guessing_is_slowed_down_by_address(api: Served) -> None:
    for _ in range(api.core.settings.sign_in_rate_per_minute):
        with pytest.raises(Unauthenticated):
            await by_password(api.core, name="nobody", password="x" * 300, address="1.2.3.4")
    with pytest.raises(TooMany):
        await by_password(api.core, name="other", password="x", address="1.2.3.4")
    api.world.clock.move(minutes=1)
    with pytest.raises(Unauthenticated):
        await by_password(api.core, name="other", password="x", address="1.2.3.4")


async def test_guessing_is_slowed_down_by_account_from_many_addresses(api: Served) -> None:
    tries = api.core.settings.sign_in_rate_per_minute * sign_in.ACCOUNT_SHARE
    for _ in range(tries):
        api.core.gate.rates.take(
            "sign-in-as:ada", per_minute=tries, burst=tries, now=api.world.clock()
        )
    with pytest.raises(TooMany):
        await by_password(api.core, name="ada", password="x", address="9.9.9.9")


async def test_looking_at_a_link_does_not_use_it_up(api: Served) -> None:
    secret, _ = await new_link(api.core, None, "root")
    browser = api.bare(**OWN)
    for _ in range(3):
        page = await browser.get("/sign-in/link", params={"token": secret.text})
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
    answer = await browser.post("/sign-in/link", data={"token": secret.text})
    assert answer.status_code == 303
    assert (await browser.get("/api/v2/users/me")).json()["name"] == "root"


async def test_a_link_works_once(api_on: Served) -> None:
    secret, _ = await new_link(api_on.core, None, "root")
    first = await api_on.bare(**OWN).post("/sign-in/link", data={"token": secret.text})
    again = await api_on.bare(**OWN).post("/sign-in/link", data={"token": secret.text})
    assert (first.status_code, again.status_code) == (303, 401)


async def test_a_link_ends_after_ten_minutes(api: Served) -> None:
    secret, _ = await new_link(api.core, None, "root")
    api.world.clock.move(minutes=10)
    answer = await api.bare(**OWN).post("/sign-in/link", data={"token": secret.text})
    assert answer.status_code == 401


async def test_an_admin_makes_a_link_for_a_member_and_none_for_an_owner(api: Served) -> None:
    client = await api.client(MAX)
    made = await client.post("/api/v2/users/ada/sign-in-link")
    assert made.status_code == 201
    assert made.json()["url"].startswith(f"{BASE}/sign-in/link?token=all_")
    assert (await client.post("/api/v2/users/root/sign-in-link")).status_code == 403


async def test_a_session_ends_after_twelve_hours(api: Served) -> None:
    browser = await signed_in(api)
    api.world.clock.move(hours=12)
    assert (await browser.get("/api/v2/users/me")).status_code == 401


async def test_signing_out_ends_the_session_on_the_server(api: Served) -> None:
    browser = await signed_in(api)
    cookie = browser.cookies[COOKIE]
    assert (await browser.post("/sign-out")).status_code == 303
    stolen = api.bare(cookie=f"{COOKIE}={cookie}")
    assert (await stolen.get("/api/v2/users/me")).status_code == 401


async def test_a_new_password_ends_the_other_sessions(api: Served) -> None:
    browser = await signed_in(api)
    await users.set_password(api.core, MAX, "ada", current=None, new=PASSWORD + "2")
    assert (await browser.get("/api/v2/users/me")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:7081"},
        {"origin": "http://127.0.0.1:7080.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {},
    ],
)
async def test_a_cookie_from_another_site_changes_nothing(
    api: Served, headers: dict[str, str]
) -> None:
    cookie = (await signed_in(api)).cookies[COOKIE]
    forged = api.bare(cookie=f"{COOKIE}={cookie}", **headers)
    answer = await forged.post("/api/v2/workspaces", json={"template": "python"})
    assert answer.status_code == 403
    assert (await forged.get("/api/v2/workspaces")).json()["items"] == []


async def test_our_own_page_may_use_the_cookie(api: Served) -> None:
    browser = await signed_in(api)
    answer = await browser.post("/api/v2/workspaces", json={"template": "python"})
    assert answer.status_code == 201


async def test_nobody_is_signed_in_by_another_site(api: Served) -> None:
    await give_password(api)
    fields = {"name": "ada", "password": PASSWORD}
    answer = await api.bare(origin="http://evil.example").post("/sign-in", data=fields)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_token_needs_no_origin(api: Served) -> None:
    client = await api.client(ADA)
    assert (await client.post("/api/v2/workspaces", json={"template": "python"})).is_success


@pytest.mark.parametrize(
    "next", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/\r\nx: y"]
)
async def test_after_signing_in_one_stays_here(api: Served, next: str) -> None:
    await give_password(api)
    fields = {"name": "ada", "password": PASSWORD, "next": next}
    answer = await api.bare(**OWN).post("/sign-in", data=fields)
    assert answer.headers["location"] == "/"


async def test_refused_tries_are_told_without_the_name_of_a_stranger(api: Served) -> None:
    with pytest.raises(Unauthenticated):
        await by_password(api.core, name="my-secret", password="x", address="1.2.3.4")
    [told] = [e for e in await api.world.events() if e.kind == "session.refused"]
    assert "my-secret" not in str(told)
    assert told.address == "1.2.3.4"
