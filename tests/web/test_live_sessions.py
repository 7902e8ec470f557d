"""Who is connected, on the fleet's page and on one's own account's."""

from dataclasses import replace

from alcove.model.live_session import LiveKind
from tests.api.live import live
from tests.api.served import ADA, BOB, Served
from tests.conftest import T0
from tests.web.operators import HOSTILE, browser, is_safe


async def test_the_account_shows_ones_own_connections_alone(api: Served) -> None:
    mine = live(api, ADA, await api.workspace(ADA, name="mine"), channels={"shell": 2})
    theirs = live(api, BOB, await api.workspace(BOB, name="theirs"))
    page = (await (await browser(api, "ada")).get("/account")).text
    assert "Where you are connected" in page
    assert "2 shell open" in page
    assert f"/sessions/{mine.id}/end" in page
    assert theirs.id not in page


async def test_an_end_button_ends_it_and_leads_back(api: Served) -> None:
    mine = live(api, ADA, await api.workspace(ADA))
    done = await (await browser(api, "ada")).post(
        f"/sessions/{mine.id}/end", data={"back": "account"}
    )
    assert (done.status_code, done.headers["location"]) == (303, "/account")
    assert api.core.live.get(mine.id, T0) is None


async def test_another_site_ends_nothing(api: Served) -> None:
    mine = live(api, ADA, await api.workspace(ADA))
    client = await browser(api, "ada")
    done = await client.post(
        f"/sessions/{mine.id}/end", data={}, headers={"origin": "https://elsewhere.example"}
    )
    assert done.status_code == 403
    assert api.core.live.get(mine.id, T0) is not None


async def test_somebody_elses_is_not_ended(api: Served) -> None:
    theirs = live(api, BOB, await api.workspace(BOB))
    await (await browser(api, "ada")).post(f"/sessions/{theirs.id}/end", data={})
    assert api.core.live.get(theirs.id, T0) is not None


async def test_the_fleet_shows_everybodys_and_an_operator_ends_one(api: Served) -> None:
    theirs = live(api, BOB, await api.workspace(BOB, name="theirs"), LiveKind.TUNNEL, port=8080)
    client = await browser(api, "max")
    page = (await client.get("/fleet")).text
    for words in ("Who is connected", "port 8080", "192.0.2.7", theirs.server):
        assert words in page
    done = await client.post(f"/sessions/{theirs.id}/end", data={"back": "fleet"})
    assert done.headers["location"] == "/fleet"
    assert api.core.live.get(theirs.id, T0) is None


async def test_an_auditor_sees_and_has_no_button(api: Served) -> None:
    theirs = live(api, BOB, await api.workspace(BOB))
    page = (await (await browser(api, "eve")).get("/fleet")).text
    assert "192.0.2.7" in page
    assert f"/sessions/{theirs.id}/end" not in page


async def test_a_member_does_not_get_the_fleets_part(api: Served) -> None:
    answer = await (await browser(api, "ada")).get("/fleet/sessions")
    assert answer.status_code == 403


async def test_what_a_client_says_of_itself_is_never_markup(api: Served) -> None:
    made = await api.workspace(ADA)
    live(api, replace(ADA, address=HOSTILE), made, LiveKind.EXEC, command=HOSTILE)
    answer = await (await browser(api, "ada")).get("/account/sessions")
    assert answer.status_code == 200
    assert is_safe(answer.text)
