"""What tests of the web terminal share: a workspace with shells, and one's page."""

import re
from collections.abc import Generator

import pytest
from playwright.sync_api import Page, expect

from alcove.core import terminals
from alcove.model.workspace import Phase, Workspace
from tests.browser.harness import ADA, Site

SHELL = {"SHELL": "/bin/sh", "HOME": "/tmp", "PS1": "$ "}
"""Not what this machine's root has in its profile."""
PROMPT = re.compile("[#$]")
LINES = "document.querySelector('.xterm-rows').innerText"


class Shell:
    """A terminal's page, as a reader has it."""

    def __init__(self, page: Page, workspace: Workspace, session: str = "main") -> None:
        self.page, self.path = page, f"/workspaces/{workspace.id}/terminal?session={session}"

    def open(self) -> "Shell":
        self.page.goto(self.path)
        self.ready()
        return self

    def ready(self) -> None:
        self.page.locator("#terminal[data-state=open]").wait_for()
        self.page.locator(".xterm-helper-textarea").focus()

    def type(self, line: str) -> None:
        self.page.keyboard.type(line)
        self.page.keyboard.press("Enter")

    def shows(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.locator(".xterm-rows")).to_contain_text(text)

    @property
    def screen(self) -> str:
        return str(self.page.evaluate(LINES)).replace("\xa0", " ")


@pytest.fixture(scope="module")
def workspace(site: Site) -> Workspace:
    return site.workspace("shells", env=SHELL)


@pytest.fixture(autouse=True)
def no_terminals(site: Site, workspace: Workspace) -> Generator[None]:
    yield

    async def clear() -> None:
        for one in await terminals.find(site.core, ADA, workspace.id):
            await terminals.close(site.core, ADA, workspace.id, one.session)

    if site.row(workspace.id).phase is Phase.RUNNING:
        site.call(clear)


@pytest.fixture
def shell(page: Page, workspace: Workspace) -> Shell:
    return Shell(page, workspace).open()
