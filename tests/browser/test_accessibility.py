"""axe-core finds nothing on any page, in both themes, on a desk and on a phone."""

import pytest

from alcove.core import device_login, workspaces
from alcove.model.access import Actor
from alcove.model.workspace import Phase
from tests.browser.conftest import Opener
from tests.browser.harness import ADA, BOB, DESK, MAX, PHONE, Site, axe

PAGES: tuple[tuple[str, str, Actor | None], ...] = (
    ("sign in", "/sign-in", None),
    ("first visit", "/", BOB),
    ("workspaces", "/", ADA),
    ("everybody's workspaces", "/?whose=all", MAX),
    ("nothing matches", "/?q=nothing-like-it", ADA),
    ("catalog", "/templates", ADA),
    ("create", "/create/python?name=api&param.cpu=4", ADA),
    ("a wrong link", "/create/python?param.cpu=99", ADA),
    ("workspace", "/workspaces/{id}", ADA),
    ("stopped workspace", "/workspaces/{stopped}", ADA),
    ("files", "/workspaces/{id}/files", ADA),
    ("logs", "/workspaces/{id}/logs", ADA),
    ("events", "/workspaces/{id}/events", ADA),
    ("settings", "/workspaces/{id}/settings", ADA),
    ("delete", "/workspaces/{id}/delete", ADA),
    ("not found", "/workspaces/nothing", ADA),
    ("device", "/device", ADA),
    ("device that asks", "/device?code={code}", ADA),
    ("components", "/-/patterns", ADA),
)


@pytest.fixture(scope="module")
def ids(site: Site) -> dict[str, str]:
    made = site.workspace("shown", labels={"team": "web", "task": "Fix #12"})
    stopped = site.workspace("at-rest")
    site.call(lambda: workspaces.stop(site.core, ADA, stopped.id))
    site.until(stopped.id, Phase.STOPPED)
    begun = site.call(
        lambda: device_login.begin(site.core, client="alcove on a laptop", address="127.0.0.1")
    )
    return {"id": made.id, "stopped": stopped.id, "code": begun.user_code}


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(
    open_page: Opener, ids: dict[str, str], theme: str, viewport: object
) -> None:
    found: list[str] = []
    for actor in (None, ADA, BOB, MAX):
        with open_page(actor, theme=theme, viewport=viewport) as page:
            for name, path, of in PAGES:
                if of is actor:
                    page.goto(path.format(**ids))
                    found += [f"{name}: {one}" for one in axe(page)]
    assert found == []


def test_axe_finds_nothing_in_what_opens(
    open_page: Opener, ids: dict[str, str], theme: str
) -> None:
    with open_page(ADA, theme=theme) as page:
        page.goto(f"/workspaces/{ids['id']}")
        page.get_by_label("Other editors").click()
        menu = axe(page)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.locator("#palette-found [role=option]").first.wait_for()
        assert menu + axe(page) == []


@pytest.mark.parametrize("path", ["/", "/templates", "/workspaces/{id}", "/create/python"])
def test_no_page_is_wider_than_a_phone(open_page: Opener, ids: dict[str, str], path: str) -> None:
    with open_page(ADA, viewport=PHONE) as page:
        page.goto(path.format(**ids))
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"]
