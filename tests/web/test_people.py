"""People's pages: filters in the address, forms made of parameters, settings, several at once."""

import re
from html import unescape

import pytest
from sqlalchemy import event

from alcove.core import workspaces
from alcove.model.workspace import Phase
from alcove.web.create import filled
from tests.api.served import ADA, BOB, Served
from tests.core.world import add_template
from tests.web.test_pages import browser

CHOICES = b"""
name: many
display_name: Many questions
description: Asks everything
image: {debian: bookworm, packages: [git]}
parameters:
  - {name: text, type: string, default: plain, pattern: "[a-z]+", max: 8}
  - {name: count, type: number, default: 2, min: 1, max: 8}
  - {name: flag, type: bool, default: true}
  - {name: taste, type: choice, default: sweet, options: [sweet, sour]}
  - {name: tools, type: list, default: [git], options: [git, curl, vim]}
presets:
  - {name: big, description: More of it, parameters: {count: 8, tools: [git, curl]}}
"""


async def test_a_filter_is_an_address(api: Served) -> None:
    made = await api.workspace(ADA, name="stays")
    await api.workspace(ADA, name="goes")
    await api.world.settle()
    await workspaces.stop(api.core, ADA, made.id)
    await api.world.settle()
    ada = await browser(api)
    assert "goes" not in (await ada.get("/?state=stopped")).text
    assert "stays" not in (await ada.get("/?state=running")).text
    assert "stays" not in (await ada.get("/?q=go")).text
    assert "goes" in (await ada.get("/?q=go")).text


@pytest.mark.parametrize("text", ["%", "_", "\\"])
async def test_a_search_takes_no_letter_for_a_wildcard(api: Served, text: str) -> None:
    await api.workspace(ADA, name="plain")
    page = (await (await browser(api)).get("/", params={"q": text})).text
    assert "Nothing matches" in page


async def test_a_member_sees_no_one_elses_whatever_the_address_says(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    await api.workspace(BOB, name="theirs")
    page = (await (await browser(api)).get("/?whose=all")).text
    assert "theirs" not in page
    assert "Everybody" not in page


async def test_an_administrator_sees_everybodys_with_their_owners(api: Served) -> None:
    await api.workspace(BOB, name="theirs")
    page = (await (await browser(api, "max")).get("/?whose=all")).text
    assert "theirs" in page
    assert '<td data-label="Owner">bob</td>' in page


async def test_the_first_visit_shows_what_to_begin_with(api: Served) -> None:
    page = (await (await browser(api)).get("/")).text
    assert "Make your first workspace" in page
    assert 'href="/create/python"' in page


async def test_many_are_stopped_at_once_and_what_fails_is_named(api: Served) -> None:
    first, second = [await api.workspace(ADA, name=name) for name in ("one", "two")]
    theirs = await api.workspace(BOB, name="theirs")
    await api.world.settle()
    ada = await browser(api)
    fields = {f"w.{id}": "1" for id in (first.id, second.id, theirs.id)} | {"verb": "stop"}
    answer = await ada.post("/workspaces/many", data=fields)
    await api.world.settle()
    assert answer.status_code == 409
    assert theirs.id in answer.text
    assert [(await api.world.row(one.id)).phase for one in (first, second, theirs)] == [
        Phase.STOPPED,
        Phase.STOPPED,
        Phase.RUNNING,
    ]


async def test_many_are_deleted_only_after_they_were_named(api: Served) -> None:
    made = await api.workspace(ADA, name="precious")
    ada = await browser(api)
    fields = {f"w.{made.id}": "1", "verb": "delete"}
    page = (await ada.post("/workspaces/many", data=fields)).text
    assert "<strong>precious</strong>" in page
    assert (await api.world.row(made.id)).desired == "running"
    await ada.post("/workspaces/many", data=fields | {"sure": "yes"})
    assert (await api.world.row(made.id)).desired == "deleted"


async def test_deleting_asks_for_the_name_where_files_are_lost(api: Served) -> None:
    made = await api.workspace(ADA, name="precious")
    ada = await browser(api)
    answer = await ada.post(f"/workspaces/{made.id}/delete", data={"name": "other"})
    assert answer.status_code == 422
    assert (await api.world.row(made.id)).desired == "running"


async def test_the_form_asks_each_type_as_what_it_is(api: Served) -> None:
    async with api.core.db.transaction() as tx:
        await add_template(tx, CHOICES)
    page = (await (await browser(api)).get("/create/many")).text
    assert re.search(r'name="parameters.count" type="number" value="2"[^>]* min="1" max="8"', page)
    assert (
        'type="checkbox" id="parameters.flag" name="parameters.flag" value="true" checked' in page
    )
    assert "<option selected>sweet</option>" in page
    assert re.search(r'<textarea id="parameters.tools"[^>]*>git</textarea>', page)
    assert re.search(r'id="parameters.text"[^>]* maxlength="8" data-pattern="\[a-z\]\+"', page)


async def test_the_answers_become_a_workspace_of_those_types(api: Served) -> None:
    async with api.core.db.transaction() as tx:
        await add_template(tx, CHOICES)
    ada = await browser(api)
    fields = {
        "name": "new",
        "parameters.count": "3",
        "parameters.flag": "false",
        "parameters.taste": "sour",
        "parameters.tools": "git\r\nvim",
    }
    answer = await ada.post("/create/many", data=fields)
    assert answer.status_code == 303
    [made] = (await ada.get("/api/v2/workspaces")).json()["items"]
    assert made["parameters"] == {
        "text": "plain",
        "count": 3,
        "flag": False,
        "taste": "sour",
        "tools": ["git", "vim"],
    }


async def test_a_preset_fills_the_form_in(api: Served) -> None:
    async with api.core.db.transaction() as tx:
        await add_template(tx, CHOICES)
    page = (await (await browser(api)).get("/create/many?preset=big")).text
    assert re.search(r'name="parameters.count" type="number" value="8"', page)
    assert "alcove create -t many -p count=8 -p" in unescape(page)


async def test_a_link_fills_in_what_the_form_asks_and_makes_nothing(api: Served) -> None:
    ada = await browser(api)
    query = {"param.cpu": "4", "name": "api", "repo": "https://git.example.com/a.git", "x": "y"}
    page = (await ada.get("/create/python", params=query)).text
    assert "A link filled this form in" in page
    assert 'value="api"' in page
    assert re.search(r'name="parameters.cpu" type="number" value="4"', page)
    assert (await ada.get("/api/v2/workspaces")).json()["items"] == []


async def test_a_link_fills_in_nothing_very_long_or_unknown(api: Served) -> None:
    async with api.core.db.transaction() as tx:
        recipe = (await add_template(tx, CHOICES)).recipe
    query = [("param.text", "a" * 5000), ("env", "X=1"), ("owner", "bob"), ("param.nope", "1")]
    assert filled(recipe, query) == {}


async def test_the_preview_says_what_would_be_made_and_makes_nothing(api: Served) -> None:
    ada = await browser(api)
    answer = await ada.post("/create/python/preview", data={"parameters.cpu": "4", "ttl": "4h"})
    text = unescape(answer.text)
    assert "4 cores" in text
    assert "4h after it was made" in text
    assert "alcove create -t python -p cpu=4 --ttl 4h" in text
    assert (await ada.get("/api/v2/workspaces")).json()["items"] == []


async def test_the_command_quotes_what_a_shell_would_read(api: Served) -> None:
    ada = await browser(api)
    answer = await ada.post("/create/python/preview", data={"name": "a; rm -rf ~"})
    assert "alcove create 'a; rm -rf ~' -t python" in unescape(answer.text)


async def test_settings_change_name_labels_end_and_parameters(api: Served) -> None:
    made = await api.workspace(ADA, name="before")
    await api.world.settle()
    ada = await browser(api)
    fields = {"name": "after", "labels": "team=web\r\nx=1", "ttl": "7d", "parameters.cpu": "4"}
    answer = await ada.post(f"/workspaces/{made.id}/settings", data=fields)
    assert answer.status_code == 303
    row = await api.world.row(made.id)
    assert row.name == "after"
    assert row.labels == {"team": "web", "x": "1"}
    assert row.parameters["cpu"] == 4
    assert row.expires_at is not None


@pytest.mark.parametrize(
    ("field", "text"),
    [("name", "Not Good"), ("labels", "novalue"), ("ttl", "soon"), ("parameters.cpu", "99")],
)
async def test_a_wrong_setting_is_told_at_its_field(api: Served, field: str, text: str) -> None:
    made = await api.workspace(ADA, name="mine")
    ada = await browser(api)
    answer = await ada.post(f"/workspaces/{made.id}/settings", data={field: text})
    assert answer.status_code == 422
    assert re.search(rf'id="{re.escape(field)}-fault">[^<]+<', answer.text)


async def test_a_snapshot_is_taken_and_shown(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    await api.world.settle()
    ada = await browser(api)
    answer = await ada.post(f"/workspaces/{made.id}/snapshots", data={"name": "before-upgrade"})
    assert answer.status_code == 303
    assert "before-upgrade" in (await ada.get(f"/workspaces/{made.id}/settings")).text


async def test_a_port_is_shared_and_taken_back(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    await api.world.settle()
    ada = await browser(api)
    for level in ("public", "private"):
        fields = {"port": "8000", "level": level}
        answer = await ada.post(f"/workspaces/{made.id}/ports", data=fields)
        assert answer.status_code == 303
        listed = (await ada.get(f"/api/v2/workspaces/{made.id}/ports")).json()["items"]
        assert [p["level"] for p in listed if p["port"] == 8000] == (
            ["public"] if level == "public" else []
        )


async def test_the_palette_goes_to_workspaces_and_acts_on_them(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    await api.workspace(BOB, name="theirs")
    ada = await browser(api)
    found = (await ada.get("/palette?q=stop mine")).text
    assert f'data-path="/workspaces/{made.id}/stop" data-method="post"' in found
    assert "theirs" not in (await ada.get("/palette")).text


async def test_the_rail_shows_each_what_is_for_them(api: Served) -> None:
    member = (await (await browser(api)).get("/")).text
    admin = (await (await browser(api, "max")).get("/")).text
    assert 'id="rail-operators"' not in member
    assert ('id="rail-operators"' in admin) == any(
        path in admin for path in ('href="/fleet"', 'href="/audit"', 'href="/people"')
    )


async def test_an_auditor_is_shown_no_buttons(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    await api.world.settle()
    page = (await (await browser(api, "eve")).get(f"/workspaces/{made.id}")).text
    assert f'action="/workspaces/{made.id}' not in page
    assert "vscode://" not in page


@pytest.mark.parametrize("path", ["/?whose=all", "/workspaces/{id}"])
async def test_a_page_costs_the_same_number_of_queries_for_one_as_for_many(
    api: Served, path: str
) -> None:
    made = await api.workspace(ADA, name="w-0")
    await api.world.settle()
    page = path.format(id=made.id)
    root = await browser(api, "root")
    counts: list[int] = []
    said: list[str] = []

    def count(*args: object) -> None:
        said.append(str(args[2]))

    engine = api.core.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", count)
    for more in (0, 20):
        for number in range(more):
            await api.workspace(ADA if number % 2 else BOB, name=f"m-{number}")
        await api.world.settle()
        await root.get(page)
        said.clear()
        assert (await root.get(page)).status_code == 200
        counts.append(len(said))
    event.remove(engine, "before_cursor_execute", count)
    assert counts[0] == counts[1]
    assert counts[1] <= 8
