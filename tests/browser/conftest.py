"""Pages in a real Chromium: `page` is signed in as ada, `admin_page` as max."""

import shutil
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import harness
from tests.browser.harness import ADA, CHROMIUM, MAX, PHONE, Site, opened

Opener = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    expect.set_options(timeout=harness.WAIT_MS)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def site(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """One server for the tests of a module; each makes workspaces of its own."""
    file = tmp_path_factory.mktemp("site") / "alcove.db"
    shutil.copy(migrated_file, file)
    with harness.site(f"sqlite:///{file}") as found:
        yield found


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Opener:
    """`with open_page(MAX, theme="dark", javascript=False) as page`"""

    def made(actor: Any = ADA, **how: Any) -> AbstractContextManager[Page]:
        return opened(browser, site, actor, **how)

    return made


@pytest.fixture
def page(open_page: Opener) -> Generator[Page]:
    with open_page(ADA) as found:
        yield found


@pytest.fixture
def admin_page(open_page: Opener) -> Generator[Page]:
    with open_page(MAX) as found:
        yield found


@pytest.fixture
def phone(open_page: Opener) -> Generator[Page]:
    with open_page(ADA, viewport=PHONE) as found:
        yield found


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)
