"""Who may open which page and press which button: the whole matrix, and other sites' forms."""

import re

import pytest

from alcove.core import users
from alcove.core.users import UserChanges
from tests.api.served import ADA, MAX, ROOT, Served
from tests.web.operators import browser, forged, statuses

# By page: what owner, admin, auditor and member get.
PAGES = {
    "/fleet": (200, 200, 200, 403),
    "/fleet/numbers": (200, 200, 200, 403),
    "/fleet/rows": (200, 200, 200, 403),
    "/fleet/sessions": (200, 200, 200, 403),
    "/audit": (200, 200, 200, 200),
    "/audit/list": (200, 200, 200, 200),
    "/audit/export": (200, 200, 200, 200),
    "/people": (200, 200, 200, 403),
    "/people/ada": (200, 200, 200, 403),
    "/people/ada/disable": (200, 200, 403, 403),
    "/people/ada/reset": (200, 200, 403, 403),
    "/account": (200, 200, 200, 200),
    "/tokens": (200, 200, 200, 200),
    "/keys": (200, 200, 200, 200),
    "/templates/python": (200, 200, 200, 200),
    "/templates/python/diff": (200, 200, 200, 200),
    "/templates/python/pool": (200, 200, 200, 200),
    "/templates/python/versions/1/promote": (200, 200, 403, 403),
    "/server": (200, 200, 403, 403),
}
ACTIONS = {
    "/people": (422, 422, 403, 403),
    "/people/bob/role": (422, 422, 403, 403),
    "/people/bob/disable": (303, 303, 403, 403),
    "/people/bob/enable": (303, 303, 403, 403),
    "/people/bob/link": (200, 200, 403, 403),
    "/people/bob/reset": (200, 200, 403, 403),
    "/people/bob/sessions/x/end": (404, 404, 403, 403),
    "/people/bob/tokens/x/revoke": (404, 404, 403, 403),
    "/templates/python/versions/1/promote": (303, 303, 403, 403),
    "/templates/python/pool": (422, 422, 403, 403),
    "/templates/python/pool/reset": (303, 303, 403, 403),
    "/account/password": (422, 422, 422, 422),
    "/account/sessions/others": (303, 303, 303, 303),
    "/account/sessions/x/end": (404, 404, 404, 404),
    "/tokens": (422, 422, 422, 422),
    "/tokens/x/revoke": (404, 404, 404, 404),
    "/keys": (422, 422, 422, 422),
    "/keys/x/remove": (404, 404, 404, 404),
}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_opens_for_whom_it_is(api: Served, path: str) -> None:
    owner, admin, auditor, member = PAGES[path]
    assert await statuses(api, "GET", path) == {
        "root": owner,
        "max": admin,
        "eve": auditor,
        "ada": member,
        "nobody": 303,
    }


@pytest.mark.parametrize("path", ACTIONS)
async def test_a_button_works_for_whom_it_is(api: Served, path: str) -> None:
    owner, admin, auditor, member = ACTIONS[path]
    assert await statuses(api, "POST", path) == {
        "root": owner,
        "max": admin,
        "eve": auditor,
        "ada": member,
        "nobody": 303,
    }


@pytest.mark.parametrize("path", ACTIONS)
async def test_another_sites_form_does_nothing(api: Served, path: str) -> None:
    client = await forged(api, "root")
    assert (await client.post(path, data={"role": "admin"})).status_code == 403


@pytest.mark.parametrize("path", PAGES)
async def test_a_disabled_operator_is_signed_out(api: Served, path: str) -> None:
    client = await browser(api, "max")
    await users.update(api.core, ROOT, "max", UserChanges(disabled=True))
    assert (await client.get(path)).status_code == 303


async def test_no_page_of_an_operator_holds_code_or_loads_from_elsewhere(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    client = await browser(api, "root")
    for path in PAGES:
        page = (await client.get(path)).text
        assert not re.search(r"<script(?! src=)|<[^>]* on[a-z]+=", page), path
        assert "style=" not in page, path
        assert not re.search(r'(src|href)="https?:', page), path


async def test_what_is_shown_once_is_kept_by_nobody(api: Served) -> None:
    client = await browser(api, "max")
    for path in ("/account", "/tokens", "/keys", "/people/ada"):
        assert (await client.get(path)).headers["cache-control"] == "no-store"


async def test_a_token_with_one_scope_opens_no_page_of_another(api: Served) -> None:
    limited = await api.client(MAX, scopes=["workspace:read"])
    for path in ("/fleet", "/people", "/server", "/tokens"):
        assert (await limited.get(path)).status_code == 403
