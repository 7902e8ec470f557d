"""The web terminal without a network, a workspace that runs, or a server; and back again."""

import re

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from alcove.core import terminals, workspaces
from alcove.model.workspace import Phase, Workspace
from tests.browser.harness import ADA, Site
from tests.browser.shells import PROMPT, SHELL, Shell, no_terminals, shell, workspace

__all__ = ["no_terminals", "shell", "workspace"]
pytestmark = pytest.mark.root


def test_a_lost_network_loses_and_doubles_nothing(page: Page, workspace: Workspace) -> None:
    routes: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        routes.append(route)
        route.connect_to_server()

    page.route_web_socket(re.compile("/terminal"), through)
    shell = Shell(page, workspace).open()
    shell.type("for i in 1 2 3 4 5 6 7 8; do echo step-$i; sleep 0.25; done; echo all-$((1+1))")
    for step in ("step-2", "step-4", "step-6"):
        shell.shows(step)
        routes[-1].close()
    shell.shows("all-2")
    seen = re.findall(r"^step-\d", shell.screen, re.MULTILINE)
    assert seen == [f"step-{n}" for n in range(1, 9)]
    assert len(routes) >= 4


class Network:
    """Between a page and its terminal; it can be cut, and mended again."""

    def __init__(self, page: Page) -> None:
        self._routes: list[WebSocketRoute] = []
        self._whole = True
        page.route_web_socket(re.compile("/terminal"), self._through)

    def _through(self, route: WebSocketRoute) -> None:
        if self._whole:
            self._routes.append(route)
            route.connect_to_server()
        else:
            route.close(code=1011)

    def cut(self, shell: Shell) -> None:
        self._whole = False
        self._routes[-1].close(code=1011)
        shell.page.locator("#terminal[data-state=away]").wait_for()

    def mend(self, shell: Shell) -> None:
        self._whole = True
        shell.ready()


def test_what_is_typed_while_the_network_is_away_is_not_lost(
    page: Page, workspace: Workspace
) -> None:
    network = Network(page)
    shell = Shell(page, workspace).open()
    shell.type("n=1")
    shell.shows("n=1")
    network.cut(shell)
    shell.type("n=$((n*10+2))")
    shell.type("echo n-is-$n.")
    network.mend(shell)
    shell.shows("n-is-12.")


def test_no_more_is_kept_than_the_page_says(page: Page, workspace: Workspace) -> None:
    network = Network(page)
    shell = Shell(page, workspace).open()
    shell.shows(PROMPT)
    network.cut(shell)
    shell.type("echo first-$((1+1))")
    page.keyboard.insert_text("#" * 17_000)
    expect(page.locator("#banner")).to_contain_text("No more of what you type is kept")
    shell.type("echo second-$((1+1))")
    network.mend(shell)
    shell.shows("first-2")
    shell.type("echo third-$((1+1))")
    shell.shows("third-2")
    assert "second-2" not in shell.screen


def test_what_was_typed_for_a_shell_is_not_typed_into_the_next_one(
    site: Site, page: Page, workspace: Workspace
) -> None:
    network = Network(page)
    shell = Shell(page, workspace).open()
    shell.shows(PROMPT)
    network.cut(shell)
    shell.type("echo for-the-$((1+0))st")
    site.call(lambda: terminals.close(site.core, ADA, workspace.id, "main"))
    network.mend(shell)
    shell.type("echo for-the-$((1+1))nd")
    shell.shows("for-the-2nd")
    assert "for-the-1st" not in shell.screen


def test_a_stopped_workspace_says_so_and_is_started_from_here(site: Site, page: Page) -> None:
    made = site.workspace("stopping", env=SHELL)
    shell = Shell(page, made).open()
    site.call(lambda: workspaces.stop(site.core, ADA, made.id))
    site.until(made.id, Phase.STOPPED)
    banner = page.locator("#banner")
    page.reload()
    expect(banner).to_contain_text("stopping is stopped")
    banner.get_by_role("button", name="Start").click()
    site.until(made.id, Phase.RUNNING)
    shell.ready()
    shell.type("echo started-$((1+1))")
    shell.shows("started-2")


def test_a_server_that_restarts_is_waited_for(site: Site, shell: Shell) -> None:
    shell.type("KEPT=still; echo here-$((1+1))")
    shell.shows("here-2")
    site.core.gate.closing = True
    try:
        expect(shell.page.locator("#banner")).to_contain_text("being restarted")
    finally:
        site.core.gate.closing = False
    shell.ready()
    shell.type("echo $KEPT-$((1+1))")
    shell.shows("still-2")
    expect(shell.page.locator("#banner")).to_be_hidden()
