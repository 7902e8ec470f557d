"""The pages of people: what they show, and that each button does what it says."""

import re

import pytest

from alcove.core import users
from alcove.core.users import UserChanges
from alcove.model.access import Role
from tests.api.served import ADA, BASE, ROOT, Served
from tests.web.operators import HOSTILE, browser, is_safe


async def test_everybody_is_listed_with_what_they_have(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    page = (await (await browser(api, "eve")).get("/people")).text
    assert "/people/ada" in page
    assert "/fleet?owner=ada" in page
    assert "Add somebody" not in page, "an auditor adds nobody"


async def test_somebody_is_added_and_gets_a_link_that_works_once(api: Served) -> None:
    admin = await browser(api, "max")
    made = await admin.post("/people", data={"name": "dan", "role": "auditor"})
    assert made.headers["location"] == "/people/dan"
    page = (await admin.post("/people/dan/link")).text
    [token] = set(re.findall(r"/sign-in/link\?token=([\w.-]+)", page))
    dan = api.bare(origin=BASE)
    assert (await dan.post("/sign-in/link", data={"token": token})).status_code == 303
    assert (await dan.get("/fleet")).status_code == 200
    assert (await dan.post("/sign-in/link", data={"token": token})).status_code == 401


async def test_a_service_account_gets_no_link(api: Served) -> None:
    admin = await browser(api, "max")
    await admin.post("/people", data={"name": "robot", "role": "member", "service": "true"})
    page = (await admin.get("/people/robot")).text
    assert "service account" in page
    assert "/people/robot/link" not in page


@pytest.mark.parametrize("name", ["", "ada", "new", "Über", HOSTILE])
async def test_a_bad_name_is_told_beside_it_and_the_rest_is_kept(api: Served, name: str) -> None:
    fields = {"name": name, "role": "member", "email": "dan@example.com"}
    answer = await (await browser(api, "max")).post("/people", data=fields)
    assert answer.status_code == 422
    assert re.search(r'id="name-fault">[^<]', answer.text)
    assert "dan@example.com" in answer.text
    assert is_safe(answer.text)


async def test_no_name_or_address_is_markup(api: Served) -> None:
    changes = UserChanges(display_name=HOSTILE)
    await users.update(api.core, ROOT, "ada", changes)
    client = await browser(api, "max")
    for path in ("/people", "/people/ada", f"/people?q={HOSTILE}"):
        assert is_safe((await client.get(path)).text)


async def test_disabling_names_what_ends_and_what_stays_before_it_happens(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    ada = await browser(api, "ada")
    admin = await browser(api, "max")
    page = (await admin.get("/people/ada/disable")).text
    assert "1 browser signed in as ada" in page
    assert "1 workspace with every file" in page
    assert (await ada.get("/")).status_code == 200
    await admin.post("/people/ada/disable")
    assert (await ada.get("/")).status_code == 303
    await admin.post("/people/ada/enable")
    assert (await users.get(api.core, ROOT, "ada")).disabled is False


async def test_an_owner_is_not_changed_by_others(api: Served) -> None:
    admin = await browser(api, "max")
    page = (await admin.get("/people/root")).text
    assert "only owners change owners" in page
    assert "/people/root/disable" not in page
    for verb in ("disable", "link", "reset", "role"):
        answer = await admin.post(f"/people/root/{verb}", data={"role": "member"})
        assert answer.status_code == 403
    assert (await users.get(api.core, ROOT, "root")).disabled is False


async def test_an_admin_does_not_lock_themselves_out(api: Served) -> None:
    admin = await browser(api, "max")
    for verb in ("disable", "reset", "role"):
        answer = await admin.post(f"/people/max/{verb}", data={"role": "member"})
        assert answer.status_code == 409
    found = await users.get(api.core, ROOT, "max")
    assert (found.disabled, found.role) == (False, Role.ADMIN)


async def test_a_role_is_changed(api: Served) -> None:
    await (await browser(api, "max")).post("/people/ada/role", data={"role": "auditor"})
    assert (await users.get(api.core, ROOT, "ada")).role is Role.AUDITOR


async def test_a_browser_of_somebody_is_signed_out(api: Served) -> None:
    ada = await browser(api, "ada")
    admin = await browser(api, "max")
    [end] = re.findall(
        r'action="(/people/ada/sessions/\w+/end)"', (await admin.get("/people/ada")).text
    )
    await admin.post(end)
    assert (await ada.get("/")).status_code == 303


async def test_a_reset_shows_a_link_once(api: Served) -> None:
    admin = await browser(api, "max")
    page = (await admin.post("/people/ada/reset")).text
    assert f"{api.core.settings.url}/sign-in/link?token=" in page
    assert "sign-in/link?token=" not in (await admin.get("/people/ada")).text
