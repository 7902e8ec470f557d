"""Signing a program in through a browser, and everything that must not get it in."""

import anyio
import httpx
import pytest

from alcove.core import device_login, events, identity, users
from alcove.core.sign_in import new_link
from alcove.core.users import UserChanges
from alcove.model.errors import Denied, NoGrant, NotFound, TooMany
from alcove.store import device_logins
from alcove.store.events import EventFilters
from tests.api.served import ADA, BASE, BOB, BOT, MAX, ROOT, Served
from tests.conftest import MovedClock

CODE = "/api/v2/device/code"
TOKEN = "/api/v2/device/token"
CLIENT = {"client": "alcove on laptop"}


async def browser(api: Served, name: str = "ada") -> httpx.AsyncClient:
    secret, _ = await new_link(api.core, None, name)
    found = api.bare(origin=BASE)
    await found.post("/sign-in/link", data={"token": secret.text})
    return found


async def begin(api: Served, address: str = "127.0.0.1") -> dict[str, str]:
    answer = await api.bare(address).post(CODE, json=CLIENT)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def ask(api: Served, clock: MovedClock, begun: dict[str, str]) -> httpx.Response:
    """As a program does that keeps to the interval."""
    clock.move(seconds=device_login.INTERVAL_S)
    return await api.bare().post(TOKEN, json={"device_code": begun["device_code"]})


async def approve(api: Served, begun: dict[str, str], name: str = "ada") -> httpx.Response:
    fields = {"code": begun["user_code"], "decision": "approve"}
    return await (await browser(api, name)).post("/device", data=fields)


async def kinds(api: Served) -> list[str]:
    return [e.kind for e in await events.newest(api.core, ROOT, filters=EventFilters(), limit=50)]


async def test_a_program_gets_a_token_of_who_let_it_in(api_on: Served, clock: MovedClock) -> None:
    begun = await begin(api_on)
    assert (await ask(api_on, clock, begun)).json()["code"] == "authorization_pending"
    assert (await approve(api_on, begun)).status_code == 200
    granted = await ask(api_on, clock, begun)
    assert granted.status_code == 201, granted.text
    assert granted.json()["name"] == "alcove on laptop"
    assert granted.json()["expires_at"] is not None
    me = api_on.bare(authorization=f"Bearer {granted.json()['token']}")
    assert (await me.get("/api/v2/users/me")).json()["name"] == "ada"
    assert {"device.approved", "token.created"} <= set(await kinds(api_on))


async def test_an_approval_gives_one_token(api_on: Served, clock: MovedClock) -> None:
    begun = await begin(api_on)
    await approve(api_on, begun)
    assert (await ask(api_on, clock, begun)).status_code == 201
    again = await ask(api_on, clock, begun)
    assert (again.status_code, again.json()["code"]) == (400, "expired_token")


async def test_of_many_who_ask_at_once_one_gets_the_token(
    api_on: Served, clock: MovedClock
) -> None:
    begun = await begin(api_on)
    await approve(api_on, begun)
    answers: list[str] = []

    async def one() -> None:
        try:
            await device_login.exchange(api_on.core, begun["device_code"], address="")
            answers.append("token")
        except NoGrant as error:
            answers.append(error.code)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            clock.move(seconds=60)
            tasks.start_soon(one)
    assert answers.count("token") == 1


async def test_what_was_denied_gets_no_token(api_on: Served, clock: MovedClock) -> None:
    begun = await begin(api_on)
    fields = {"code": begun["user_code"], "decision": "deny"}
    assert (await (await browser(api_on)).post("/device", data=fields)).status_code == 200
    answer = await ask(api_on, clock, begun)
    assert (answer.status_code, answer.json()["code"]) == (400, "access_denied")
    assert "device.denied" in await kinds(api_on)


async def test_an_approval_after_the_end_is_none(api_on: Served, clock: MovedClock) -> None:
    begun = await begin(api_on)
    clock.move(seconds=device_login.LIFE.total_seconds())
    assert (await approve(api_on, begun)).status_code == 404
    assert (await ask(api_on, clock, begun)).json()["code"] == "expired_token"


async def test_an_approval_that_is_not_fetched_in_time_is_lost(
    api_on: Served, clock: MovedClock
) -> None:
    begun = await begin(api_on)
    await approve(api_on, begun)
    clock.move(seconds=device_login.LIFE.total_seconds())
    assert (await ask(api_on, clock, begun)).json()["code"] == "expired_token"


async def test_what_is_over_does_not_stay(api_on: Served, clock: MovedClock) -> None:
    await begin(api_on)
    clock.move(seconds=device_login.LIFE.total_seconds())
    await identity.tidy(api_on.core)
    async with api_on.core.db.read() as tx:
        assert await device_logins.count_all(tx) == 0


async def test_who_decided_cannot_be_overruled(api_on: Served, clock: MovedClock) -> None:
    """Bob knows Ada's code, and neither takes her program over nor gets to deny it."""
    begun = await begin(api_on)
    await approve(api_on, begun, "ada")
    assert (await approve(api_on, begun, "bob")).status_code == 404
    granted = (await ask(api_on, clock, begun)).json()
    assert granted["user"] == "ada"


async def test_of_two_who_decide_at_once_one_does(api_on: Served) -> None:
    begun = await begin(api_on)
    decided: list[bool] = []

    async def one(*, approve: bool) -> None:
        try:
            await device_login.decide(api_on.core, ADA, begun["user_code"], approve=approve)
            decided.append(approve)
        except NotFound:
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: one(approve=True))
        tasks.start_soon(lambda: one(approve=False))
    assert len(decided) == 1


async def test_the_short_code_gets_no_token(api: Served) -> None:
    begun = await begin(api)
    await approve(api, begun)
    for guess in (begun["user_code"], begun["user_code"].replace("-", "")):
        answer = await api.bare().post(TOKEN, json={"device_code": guess})
        assert answer.json()["code"] == "expired_token"


async def test_guessing_short_codes_ends_soon(api: Served) -> None:
    for _ in range(device_login.LOOKS_PER_MINUTE):
        with pytest.raises(NotFound):
            await device_login.look(api.core, BOB, "BCDF-GHJK")
    with pytest.raises(TooMany):
        await device_login.look(api.core, BOB, "BCDF-GHJK")


async def test_a_token_lets_no_program_in(api: Served) -> None:
    """Else it would make itself one that lives longer."""
    begun = await begin(api)
    answer = await (await api.client(ADA, expires_at=None)).get("/api/v2/users/me")
    assert answer.status_code == 200
    made = await identity.authenticate_bearer(
        api.core, (await api.token(ADA, expires_at=api.core.clock() + device_login.LIFE)).text
    )
    for actor in (made, BOT):
        with pytest.raises(Denied):
            await device_login.decide(api.core, actor, begun["user_code"], approve=True)


async def test_a_disabled_user_s_approval_gives_nothing(api: Served, clock: MovedClock) -> None:
    begun = await begin(api)
    await approve(api, begun)
    await users.update(api.core, MAX, "ada", UserChanges(disabled=True))
    assert (await ask(api, clock, begun)).json()["code"] == "access_denied"


async def test_who_asks_too_often_is_told_to_slow_down(api: Served, clock: MovedClock) -> None:
    begun = await begin(api)
    codes = [
        (await api.bare().post(TOKEN, json={"device_code": begun["device_code"]})).json()["code"]
        for _ in range(4)
    ]
    assert codes[0] == "authorization_pending"
    assert codes[-1] == "slow_down"


async def test_an_address_begins_only_so_often(api: Served) -> None:
    rate = api.core.settings.sign_in_rate_per_minute
    for _ in range(rate):
        await begin(api)
    answer = await api.bare().post(CODE, json=CLIENT)
    assert answer.status_code == 429
    assert "retry-after" in answer.headers
    await begin(api, "192.0.2.9")


async def test_one_address_does_not_fill_the_table(
    api: Served, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_login, "PENDING_MAX_PER_ADDRESS", 3)
    for _ in range(3):
        await begin(api)
    assert (await api.bare().post(CODE, json=CLIENT)).status_code == 429
    await begin(api, "192.0.2.9")
    monkeypatch.setattr(device_login, "PENDING_MAX", 4)
    assert (await api.bare("192.0.2.10").post(CODE, json=CLIENT)).status_code == 429
    clock.move(seconds=device_login.LIFE.total_seconds())
    await begin(api)


@pytest.mark.parametrize("client", ["", "a" * 65, "<script>", "a\nb", "\x1b[2J", "-rf"])
async def test_a_program_s_name_is_plain(api: Served, client: str) -> None:
    answer = await api.bare().post(CODE, json={"client": client})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "client"


@pytest.mark.parametrize("code", ["", "x" * 300, 7, None, "ald_" + "a" * 16 + "_" + "b" * 43])
async def test_what_was_never_a_code_gets_nothing(api: Served, code: object) -> None:
    answer = await api.bare().post(TOKEN, json={"device_code": code})
    assert answer.status_code in {400, 422}


async def test_the_database_does_not_have_the_program_s_code(api: Served) -> None:
    begun = await begin(api)
    async with api.core.db.read() as tx:
        row = await device_logins.by_user_code(tx, begun["user_code"].replace("-", ""))
    assert row is not None
    assert begun["device_code"] not in repr(row)


async def test_looking_shows_what_asks_and_decides_nothing(api: Served, clock: MovedClock) -> None:
    begun = await begin(api, "192.0.2.7")
    page = await (await browser(api)).get("/device", params={"code": begun["user_code"].lower()})
    assert page.status_code == 200
    assert "alcove on laptop" in page.text
    assert "192.0.2.7" in page.text
    assert begun["user_code"] in page.text
    assert (await ask(api, clock, begun)).json()["code"] == "authorization_pending"


async def test_who_is_not_signed_in_keeps_the_code_on_the_way(api: Served) -> None:
    answer = await api.bare().get("/device?code=BCDF-GHJK")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/device%3Fcode%3DBCDF-GHJK"


async def test_another_site_s_form_lets_nothing_in(api: Served, clock: MovedClock) -> None:
    begun = await begin(api)
    ada = await browser(api)
    fields = {"code": begun["user_code"], "decision": "approve"}
    answer = await ada.post("/device", data=fields, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert (await ask(api, clock, begun)).json()["code"] == "authorization_pending"


async def test_a_form_without_a_decision_decides_nothing(api: Served, clock: MovedClock) -> None:
    begun = await begin(api)
    answer = await (await browser(api)).post("/device", data={"code": begun["user_code"]})
    assert answer.status_code == 422
    assert (await ask(api, clock, begun)).json()["code"] == "authorization_pending"


async def test_a_code_that_was_typed_is_no_markup(api: Served) -> None:
    page = await (await browser(api)).get(
        "/device", params={"code": '"><script>alert(1)</script>'}
    )
    assert page.status_code == 404
    assert "<script>alert" not in page.text
