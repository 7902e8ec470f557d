"""The pages: what they show, what their buttons do, and that no user's words are markup."""

import re

import httpx
import pytest

from alcove.core import users
from alcove.core.sign_in import new_link
from alcove.http.access import COOKIE
from tests.api.served import ADA, BASE, BOB, MAX, Served


async def browser(api: Served, name: str = "ada") -> httpx.AsyncClient:
    secret, _ = await new_link(api.core, None, name)
    found = api.bare(origin=BASE)
    await found.post("/sign-in/link", data={"token": secret.text})
    assert COOKIE in found.cookies
    return found


async def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(api: Served) -> None:
    answer = await api.bare().get("/templates")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/templates"


async def test_the_list_shows_state_in_word_and_shape_with_the_reason(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    await api.workspace(BOB, name="theirs")
    page = (await (await browser(api)).get("/")).text
    assert "mine" in page
    assert "theirs" not in page
    assert re.search(r'href="#s-half"/></svg>provisioning', page)


async def test_a_page_that_is_still_changing_reloads_itself(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    ada = await browser(api)
    assert 'http-equiv="refresh"' in (await ada.get(f"/workspaces/{made.id}")).text
    await api.world.settle()
    assert 'http-equiv="refresh"' not in (await ada.get(f"/workspaces/{made.id}")).text


async def test_stop_start_and_delete_are_buttons(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    await api.world.settle()
    ada = await browser(api)
    for verb, phase in (("stop", "stopped"), ("start", "running"), ("delete", "deleted")):
        answer = await ada.post(f"/workspaces/{made.id}/{verb}", data={"name": "mine"})
        assert answer.status_code == 303
        await api.world.settle()
        assert (await api.world.row(made.id)).phase == phase


async def test_deleting_names_what_is_lost_before_it_happens(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    page = await (await browser(api)).get(f"/workspaces/{made.id}/delete")
    assert "The home of <strong>mine</strong> is lost" in page.text
    assert (await api.world.row(made.id)).desired == "running"


async def test_somebody_elses_workspace_is_not_there(api: Served) -> None:
    made = await api.workspace(BOB, name="theirs")
    ada = await browser(api)
    assert (await ada.get(f"/workspaces/{made.id}")).status_code == 404
    assert (await ada.post(f"/workspaces/{made.id}/delete")).status_code == 404


async def test_the_form_creates_a_workspace(api: Served) -> None:
    ada = await browser(api)
    page = await ada.get("/create/python")
    assert 'name="parameters.cpu"' in page.text
    fields = {"name": "new", "ttl": "4h", "parameters.cpu": "4", "parameters.flavor": "rich"}
    answer = await ada.post("/create/python", data=fields)
    assert answer.status_code == 303
    [made] = (await ada.get("/api/v2/workspaces")).json()["items"]
    assert made["parameters"] == {"cpu": 4, "flavor": "rich"}


async def test_a_wrong_field_is_told_beside_it_and_the_rest_is_kept(api: Served) -> None:
    ada = await browser(api)
    fields = {"name": "new", "parameters.cpu": "99"}
    answer = await ada.post("/create/python", data=fields)
    assert answer.status_code == 422
    assert re.search(r'id="parameters.cpu-fault">[^<]*8', answer.text)
    assert 'value="new"' in answer.text


@pytest.mark.parametrize("field", ["name", "repo", "branch", "ttl", "parameters.cpu"])
async def test_what_users_write_is_never_markup(api: Served, field: str) -> None:
    fields = {field: '"><script>alert(1)</script>'}
    answer = await (await browser(api)).post("/create/python", data=fields)
    assert answer.status_code == 422
    assert "<script>" not in answer.text


async def test_another_sites_form_does_nothing(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    cookie = (await browser(api)).cookies[COOKIE]
    forged = api.bare(origin="http://evil.example", cookie=f"{COOKIE}={cookie}")
    assert (await forged.post(f"/workspaces/{made.id}/delete")).status_code == 403
    assert (await api.world.row(made.id)).desired == "running"


async def test_an_auditor_may_look_and_not_touch(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    eve = await browser(api, "eve")
    assert (await eve.get(f"/workspaces/{made.id}")).status_code == 200
    assert (await eve.post(f"/workspaces/{made.id}/stop")).status_code == 403


async def test_a_disabled_user_is_signed_out(api: Served) -> None:
    ada = await browser(api)
    await users.update(api.core, MAX, "ada", users.UserChanges(disabled=True))
    assert (await ada.get("/")).status_code == 303


async def test_pages_hold_no_code_and_load_nothing_from_elsewhere(api: Served) -> None:
    ada = await browser(api)
    style = ""
    for path in ("/", "/templates", "/create/python", "/sign-in"):
        page = (await ada.get(path)).text
        assert not re.search(r"<script(?! src=)|<[^>]* on[a-z]+=", page)
        assert "style=" not in page
        assert not re.search(r'(src|href)="https?:', page)
        [style] = re.findall(r'href="(/assets/[^"]+[.]css)"', page)
    assert (await ada.get(style)).headers["content-type"].startswith("text/css")


def priced(api: Served, **settings: str) -> None:
    """As an operator would before a start."""
    for name, value in settings.items():
        object.__setattr__(api.core.settings, name, value)


async def test_without_a_price_the_form_shows_none(api: Served) -> None:
    assert "<dt>Price" not in (await (await browser(api)).get("/create/python")).text


async def test_the_estimate_follows_the_answers(api: Served) -> None:
    priced(api, price_per_cpu_hour="0.03", price_per_gib_hour="0.005", price_currency="EUR")
    ada = await browser(api)
    assert "about 0.08 EUR an hour" in (await ada.get("/create/python")).text
    more = await ada.post("/create/python/preview", data={"parameters.cpu": "4"})
    assert "about 0.14 EUR an hour" in more.text
    assert "3.36 EUR a day" in more.text


async def test_looking_first_needs_no_javascript_and_makes_nothing(api: Served) -> None:
    priced(api, price_per_cpu_hour="0.03", price_currency="EUR")
    ada = await browser(api)
    assert '<noscript><button class="big" name="look"' in (await ada.get("/create/python")).text
    fields = {"name": "new", "parameters.cpu": "4", "look": "1"}
    page = await ada.post("/create/python", data=fields)
    assert page.status_code == 200
    assert "about 0.12 EUR an hour" in page.text
    assert 'value="new"' in page.text
    assert (await ada.get("/api/v2/workspaces")).json()["items"] == []


async def started(api: Served, *, seconds: float, many: int = 3) -> None:
    """So many workspaces, each ready after so long."""
    for _ in range(many):
        await api.workspace(ADA)
        api.world.clock.move(seconds=seconds)
        await api.world.settle()


async def test_a_card_says_how_soon_it_is_usually_ready(api: Served) -> None:
    ada = await browser(api)
    await started(api, seconds=9, many=2)
    assert "usually ready" not in (await ada.get("/templates")).text
    api.world.clock.move(minutes=2)
    await started(api, seconds=1.2)
    assert "usually ready in 1.2 s" in (await ada.get("/templates")).text


async def test_the_catalog_asks_once_a_minute_how_soon_things_start(api: Served) -> None:
    ada = await browser(api)
    costs: list[int] = []
    for _ in range(3):
        await started(api, seconds=1, many=1)
        before = api.core.db.queries
        await ada.get("/templates")
        costs.append(api.core.db.queries - before)
    assert costs[1] == costs[2] == costs[0] - 1
    api.world.clock.move(minutes=2)
    assert "usually ready in 1.0 s" in (await ada.get("/templates")).text
