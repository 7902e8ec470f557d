"""The starters that are opened in a browser, in a real Chromium, without a network inside."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from alcove import Alcove
from alcove.sdk import Workspace
from alcove.wire.apps import App
from demo.instance import Instance

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]
HEALTHY_S = 180
SHOWN_MS = 120_000


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Generator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def healthy(workspace: Workspace, name: str) -> App:
    deadline = time.monotonic() + HEALTHY_S
    while True:
        app = next(one for one in workspace.apps() if one.name == name)
        if app.state == "healthy":
            return app
        assert time.monotonic() < deadline, f"{app}\n{[line.line for line in workspace.logs()]}"
        time.sleep(0.5)


def until(said: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not said():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def link(workspace: Workspace, app: App) -> str:
    assert app.port is not None
    return workspace.ports.link(app.port).url


def test_a_file_is_edited_and_saved_in_vs_code(alcove: Alcove, page: Page) -> None:
    with alcove.workspaces.create(
        template="code-server", network={"mode": "none"}, timeout_s=1500
    ) as workspace:
        workspace.files.write("/home/dev/hello.txt", b"hello")
        app = healthy(workspace, "code")
        page.goto(link(workspace, app))
        expect(page.locator(".monaco-workbench")).to_be_visible(timeout=SHOWN_MS)
        page.locator(".explorer-folders-view").get_by_text("hello.txt").dblclick(timeout=SHOWN_MS)
        expect(page.locator(".view-lines").first).to_contain_text("hello", timeout=SHOWN_MS)
        page.keyboard.press("Control+End")
        page.keyboard.type(" from a browser")
        page.keyboard.press("Control+s")
        until(
            lambda: workspace.files.read("/home/dev/hello.txt") == b"hello from a browser",
            "the file was not saved",
        )


def test_a_cell_of_a_notebook_runs_in_jupyterlab(alcove: Alcove, page: Page) -> None:
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "one",
        "metadata": {},
        "outputs": [],
        "source": "import pandas\nprint(pandas.Series([40, 2]).sum())",
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook: dict[str, object] = {
        "cells": [cell],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    with alcove.workspaces.create(
        template="jupyterlab", network={"mode": "none"}, timeout_s=1500
    ) as workspace:
        workspace.files.write("/home/dev/sum.ipynb", json.dumps(notebook).encode())
        app = healthy(workspace, "lab")
        page.goto(link(workspace, app))
        where = urlsplit(page.url)
        page.goto(f"{where.scheme}://{where.netloc}/lab/tree/sum.ipynb")
        idle = page.get_by_role("button", name="Python 3 (ipykernel) | Idle")
        expect(idle).to_be_visible(timeout=SHOWN_MS)
        page.locator(".jp-Notebook .cm-content").first.click(timeout=SHOWN_MS)
        page.get_by_role("button", name="Run this cell and advance").click()
        expect(page.locator(".jp-OutputArea-output").first).to_have_text("42", timeout=SHOWN_MS)


@contextmanager
def forwarded(installation: Instance, workspace: Workspace, port: int) -> Generator[str]:
    """Where `alcove port-forward --open` says that a browser finds the port."""
    command = [Path(sys.executable).with_name("alcove"), "port-forward", workspace.id]
    running = subprocess.Popen(
        [*command, f"0:{port}", "--open"],
        env={"ALCOVE_URL": installation.url, "ALCOVE_TOKEN": installation.token},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        yield running.stdout.readline().strip()
    finally:
        running.terminate()
        running.communicate()


@pytest.mark.parametrize(
    ("template", "app", "shown"),
    [("code-server", "code", ".monaco-workbench"), ("jupyterlab", "lab", ".jp-LabShell")],
)
def test_editors_open_without_a_domain_for_apps(
    alcove: Alcove, installation: Instance, page: Page, template: str, app: str, shown: str
) -> None:
    with alcove.workspaces.create(
        template=template, network={"mode": "none"}, timeout_s=1500
    ) as workspace:
        port = healthy(workspace, app).port
        assert port is not None
        with forwarded(installation, workspace, port) as url:
            page.goto(url)
            expect(page.locator(shown)).to_be_visible(timeout=SHOWN_MS)


@pytest.mark.parametrize("below", ["host", "path"])
def test_a_page_reloads_when_its_file_changes(
    alcove: Alcove, installation: Instance, page: Page, below: str
) -> None:
    with alcove.workspaces.create(
        template="web-app", network={"mode": "none"}, timeout_s=600
    ) as workspace:
        app = healthy(workspace, "web")
        assert app.port is not None
        made = workspace.ports.link(app.port)
        page.goto(made.url if below == "host" else f"{installation.url}/apps/{made.token}/")
        expect(page.locator("h1")).to_have_text("It works")
        workspace.files.write("/home/dev/site/index.html", b"<h1>Changed</h1>")
        expect(page.locator("h1")).to_have_text("Changed", timeout=30_000)
