"""The operators' pages in a real Chromium: accessible, on a phone, live, without JavaScript."""

import re

import pytest
from playwright.sync_api import Page, expect

from alcove.core import templates, tokens
from alcove.core.tokens import TokenDraft
from tests.browser.conftest import Opener
from tests.browser.harness import ADA, BOB, MAX, PHONE, ROOT, WAIT_MS, Site, axe
from tests.core.world import PYTHON

PAGES = (
    "/fleet",
    "/audit",
    "/people",
    "/people/ada",
    "/people/ada/disable",
    "/account",
    "/tokens",
    "/keys",
    "/templates/python",
    "/templates/python/diff",
    "/templates/python/versions/2/promote",
    "/templates/python/pool",
    "/server",
)


@pytest.fixture(autouse=True, scope="module")
def filled(site: Site) -> None:
    """One workspace, two versions of a template, a token."""
    site.workspace("api")
    more = PYTHON + b"resources: {memory: 8Gi}\n"
    files = {"template.yaml": more}
    site.call(lambda: templates.push(site.core, ROOT, name="python", files=files))
    site.call(lambda: tokens.create(site.core, MAX, TokenDraft(name="ci")))


def test_every_page_is_accessible(open_page: Opener, site: Site, theme: str) -> None:
    with open_page(MAX, theme=theme) as page:
        for path in PAGES:
            page.goto(site.url + path)
            assert axe(page) == [], path


def test_no_page_is_wider_than_a_phone(open_page: Opener, site: Site) -> None:
    with open_page(MAX, viewport=PHONE) as page:
        for path in PAGES:
            page.goto(site.url + path)
            over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert over <= 0, path


def test_a_new_workspace_appears_in_the_fleet_by_itself(admin_page: Page, site: Site) -> None:
    admin_page.goto(f"{site.url}/fleet")
    expect(admin_page.locator("html")).to_have_attribute("data-live", "on", timeout=WAIT_MS)
    site.workspace("newcomer", owner=BOB)
    expect(admin_page.locator("#rows")).to_contain_text("newcomer", timeout=2 * WAIT_MS)


def test_an_event_that_is_read_stays_open_while_others_come(admin_page: Page, site: Site) -> None:
    admin_page.goto(f"{site.url}/audit?type=workspace.*")
    expect(admin_page.locator("html")).to_have_attribute("data-live", "on", timeout=WAIT_MS)
    first = admin_page.locator("#log details").first
    first.locator("summary").click()
    admin_page.mouse.move(5, 5)
    made = site.workspace("noise")
    expect(first).to_have_attribute("open", "")
    first.locator("summary").click()
    admin_page.locator("h1").click()
    expect(admin_page.locator("#log")).to_contain_text(made.name, timeout=2 * WAIT_MS)


def test_a_token_is_made_used_and_revoked_without_javascript(
    open_page: Opener, site: Site
) -> None:
    with open_page(ADA, javascript=False) as page:
        page.goto(f"{site.url}/tokens")
        page.get_by_role("textbox", name="Name").fill("no-script")
        page.get_by_role("button", name="Make the token").click()
        expect(page.locator("#made")).to_contain_text("no-script")
        secret = page.locator("section:has(#made) code").inner_text()
        answer = page.request.get(
            f"{site.url}/api/v2/users/me", headers={"authorization": f"Bearer {secret}"}
        )
        assert answer.json()["name"] == "ada"
        page.goto(f"{site.url}/tokens")
        page.get_by_role("row", name=re.compile("no-script")).get_by_role("button").click()
        expect(page.get_by_text("no-script")).to_have_count(0)


def test_a_member_is_not_shown_the_operators_part(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/account")
    expect(page.get_by_role("link", name="Fleet")).to_have_count(0)
