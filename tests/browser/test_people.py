"""Pages of people in a real browser: what comes by itself, by keyboard, on a phone."""


from playwright.sync_api import Page, expect

from alcove.core import workspaces
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
