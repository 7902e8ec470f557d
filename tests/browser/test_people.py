"""Pages of people in a real browser: what comes by itself, by keyboard, on a phone."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from playwright.sync_api import Page, expect

from alcove.core import workspaces
from alcove.core.agent import Reach
from alcove.model.workspace import Phase
from tests.browser.conftest import Opener
from tests.browser.harness import ADA, Site


def test_a_row_changes_by_itself_while_it_is_looked_at(site: Site, page: Page) -> None:
    made = site.workspace("watched")
    page.goto("/")
    row = page.locator(f"#{made.id}")
    expect(row).to_contain_text("running")
    page.locator("html[data-live=on]").wait_for()
    site.call(lambda: workspaces.stop(site.core, ADA, made.id))
    expect(row).to_contain_text("stopped")


def test_without_javascript_one_signs_in_creates_stops_and_deletes(
    site: Site, open_page: Opener
) -> None:
    with open_page(ADA, javascript=False) as page:
        page.goto("/create/plain")
        page.get_by_label("Name").fill("plainly")
        page.get_by_role("button", name="Create workspace").click()
        id = page.url.rpartition("/")[2]
        site.until(id, Phase.RUNNING)  # type: ignore[arg-type]
        page.reload()
        page.get_by_role("button", name="Stop").click()
        site.until(id, Phase.STOPPED)  # type: ignore[arg-type]
        page.reload()
        expect(page.get_by_role("button", name="Start")).to_be_visible()
        page.get_by_role("link", name="Delete…").click()
        expect(page.locator("main")).to_contain_text("The home of plainly is lost")
        page.get_by_label("Write its name").fill("plainly")
        page.get_by_role("button", name="Delete plainly").click()
        site.until(id, Phase.DELETED)  # type: ignore[arg-type]


def test_what_the_agent_says_late_is_filled_in_at_once(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.workspace("slow-to-say")
    plain, asked = site.core.agents.stats, list[Reach]()

    async def late(reach: Reach) -> Mapping[str, Any]:
        asked.append(reach)
        if len(asked) == 1:
            await anyio.sleep_forever()
        return await plain(reach)

    monkeypatch.setattr(site.core.agents, "stats", late)
    # What is looked at now and then would find it, too.
    page.add_init_script("window.setInterval = () => 0")
    page.goto(f"/workspaces/{made.id}")
    expect(page.locator("#ports")).to_be_visible()
    expect(page.locator("#ports")).not_to_contain_text("has not said yet")
    assert len(asked) == 2


def test_the_list_takes_in_new_lines_only_once_the_pointer_has_left_it(
    site: Site, page: Page
) -> None:
    site.workspace("there-before")
    page.goto("/")
    page.locator("html[data-live=on]").wait_for()
    page.locator("#list table").hover()
    made = site.workspace("comes-later")
    page.wait_for_timeout(1500)
    assert page.locator(f"#{made.id}").count() == 0
    page.mouse.move(2, 2)
    expect(page.locator(f"#{made.id}")).to_be_visible()


def test_the_palette_goes_anywhere_by_keyboard(site: Site, page: Page) -> None:
    made = site.workspace("by-keyboard")
    page.goto("/templates")
    page.keyboard.press("Control+k")
    page.keyboard.type("by-keyb")
    expect(page.locator("[role=option][aria-selected=true]")).to_contain_text("by-keyboard")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/workspaces/{made.id}")


def test_what_is_wrong_is_said_in_place_before_it_is_sent(site: Site, page: Page) -> None:
    page.goto("/create/python")
    page.get_by_label("CPU").fill("99")
    page.get_by_role("button", name="Create workspace").click()
    expect(page.locator("[id='parameters.cpu-fault']")).to_be_visible()
    assert page.url.endswith("/create/python")


def test_the_preview_follows_what_is_typed(site: Site, page: Page) -> None:
    page.goto("/create/python")
    page.get_by_label("Name").fill("typed")
    page.get_by_label("CPU").fill("4")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("4 cores")
    expect(preview).to_contain_text("alcove create typed -t python -p cpu=4")


def test_times_are_in_the_readers_zone(site: Site, page: Page) -> None:
    made = site.workspace("in-time")
    page.goto(f"/workspaces/{made.id}")
    title = page.locator("time").first.get_attribute("title")
    assert title is not None
    assert title.endswith("(Europe/Berlin)")


def test_a_command_is_copied(site: Site, page: Page) -> None:
    made = site.workspace("copied")
    page.goto(f"/workspaces/{made.id}")
    page.get_by_label("Copy SSH", exact=True).click()
    expect(page.locator(".toast")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "ssh copied.alcove"
