"""Who is connected, in a real Chromium: the lists, and a terminal that was ended."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.harness import ADA, DESK, MAX, PHONE, Site, axe


def _terminal(page: Page, site: Site, id: str) -> None:
    page.goto(f"/workspaces/{id}/terminal")
    expect(page.locator(".xterm-rows")).not_to_have_text("")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_lists_are_accessible_and_fit(
    site: Site, open_page: Opener, theme: str, viewport: Any
) -> None:
    made = site.workspace(f"seen-{theme}-{viewport['width']}")
    with open_page(ADA) as terminal:
        _terminal(terminal, site, made.id)
        for actor, path in ((ADA, "/account"), (MAX, "/fleet")):
            with open_page(actor, theme=theme, viewport=viewport) as page:
                page.goto(path)
                expect(page.locator("#connections").get_by_text(made.name).first).to_be_visible()
                assert axe(page) == []
                wide = "document.documentElement.scrollWidth - innerWidth"
                assert page.evaluate(wide) <= 0


def test_an_ended_terminal_says_by_whom_and_waits_to_be_asked(
    site: Site, open_page: Opener
) -> None:
    made = site.workspace("ended")
    with open_page(ADA) as terminal, open_page(ADA) as account:
        _terminal(terminal, site, made.id)
        account.goto("/account")
        row = account.locator("#connections tr", has_text="ended")
        row.get_by_role("button", name="End").click()
        expect(account.locator("#connections tr", has_text="ended")).to_have_count(0)
        expect(terminal.get_by_text("ada ended this session. The shell goes on.")).to_be_visible()
        terminal.get_by_role("button", name="Connect again").click()
        account.reload()
        expect(account.locator("#connections tr", has_text="ended")).to_have_count(1)
