"""A whole server on loopback, with real agents, for a real Chromium to look at.

The server runs in a thread of its own, on the event loop that it has in earnest; `Site.call`
runs a coroutine of it from a test. Whatever a page writes to its console, and whatever its policy
refuses, fails the test.
"""

import re
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from alcove.api.app import create_app
from alcove.clock import system_clock
from alcove.config import Settings
from alcove.core import service, workspaces
from alcove.core.app import Core
from alcove.core.sign_in import new_link
from alcove.http.addresses import link_url
from alcove.mcp import endpoint as mcp
from alcove.model.access import Actor
from alcove.model.workspace import Phase, Workspace, WorkspaceId
from alcove.store import users
from alcove.store import workspaces as rows
from alcove.store.db import Database
from alcove.web.routes import PAGES
from tests.api.agent_process import add_plain_template
from tests.api.served import EVE, MAX, listening, user_of
from tests.contract.e2b.sandboxes import SandboxDriver
from tests.core.world import ADA, BOB, ROOT, SECRET, World, populate

AXE: Final = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"
CHROMIUM: Final = "/usr/bin/chromium"
WAIT_MS: Final = 15_000
"""A machine that does much else is slow, not wrong."""
DESK: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_NETWORK: Final = re.compile(r"^Failed to load resource: the server responded with a status of 4")
_ResultT = TypeVar("_ResultT")


@dataclass
class Site:
    """A running server. `driver` starts one real agent for each workspace."""

    url: str
    core: Core
    driver: SandboxDriver
    portal: BlockingPortal

    def call(self, verb: Callable[[], Coroutine[Any, Any, _ResultT]]) -> _ResultT:
        """`site.call(lambda: workspaces.stop(site.core, ADA, id))`"""
        return self.portal.call(verb)

    def workspace(
        self, name: str, *, owner: Actor = ADA, template: str = "plain", **asked: Any
    ) -> Workspace:
        """One that runs."""
        world = World(self.core, None, self.driver)  # type: ignore[arg-type]
        made = self.call(
            lambda: world.create(ROOT, owner=owner.name, name=name, template=template, **asked)
        )
        return self.until(made.id, Phase.RUNNING)

    def until(self, id: WorkspaceId, phase: Phase) -> Workspace:
        """The workspace once it is in this phase."""

        async def wait() -> Workspace:
            with anyio.fail_after(30):
                while (found := await self._row(id)).phase is not phase:
                    await workspaces.wait(self.core, ROOT, id, timeout_s=5)
                    await anyio.sleep(0.02)
                return found

        return self.call(wait)

    def row(self, id: WorkspaceId) -> Workspace:
        return self.call(lambda: self._row(id))

    def sign_in(self, context: BrowserContext, actor: Actor) -> None:
        secret, _ = self.call(lambda: new_link(self.core, None, actor.name))
        answer = context.request.post(
            f"{self.url}/sign-in/link",
            form={"token": secret.text},
            headers={"origin": self.url},
        )
        assert answer.ok, answer.text()

    async def _row(self, id: WorkspaceId) -> Workspace:
        async with self.core.db.read() as tx:
            found = await rows.get(tx, id)
        assert found is not None
        return found


@contextmanager
def site(database_url: str, **settings: Any) -> Generator[Site]:
    with (
        start_blocking_portal(backend_options={"use_uvloop": True}) as portal,
        portal.wrap_async_context_manager(_served(database_url, portal, settings)) as found,
    ):
        yield found


@asynccontextmanager
async def _served(
    database_url: str, portal: BlockingPortal, settings: dict[str, Any]
) -> AsyncGenerator[Site]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    db = Database(database_url)
    driver = SandboxDriver()
    settings = {
        # Of its own, and gone with the driver: what is kept of an installation is not for tests.
        "data_dir": driver.directory / "server-data",
        # Each browser profile signs in.
        "sign_in_rate_per_minute": 1000,
        **settings,
    }
    made = Settings(driver="fake", http_address=f"127.0.0.1:{port}", **settings)
    made.server_dir.mkdir(parents=True, exist_ok=True)
    core = Core.build(settings=made, driver=driver, secret=SECRET, db=db, clock=system_clock)
    await populate(db)
    async with db.transaction() as tx:
        for actor in (MAX, EVE):
            await users.add(tx, user_of(actor), password_hash=None)
        await add_plain_template(tx)
    app = create_app(core, pages=(*PAGES, mcp.routes(link_url=link_url)))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.run, core)
            async with listening(app, port=port) as url:
                yield Site(url, core, driver, portal)
            tasks.cancel_scope.cancel()
    finally:
        driver.close()
        await core.agents.aclose()
        await db.aclose()


@dataclass
class Faults:
    """What pages complained of. A test that provokes one takes it out of `found`."""

    found: list[str] = field(default_factory=list[str])

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.found.append(f"{page.url}: {error}"))
        page.on("console", lambda said: self._heard(said.type, f"{page.url}: {said.text}"))

    def _heard(self, kind: str, said: str) -> None:
        text = said.partition(": ")[2]
        if kind in {"error", "warning"} and not _NETWORK.match(text):
            self.found.append(said)


@contextmanager
def opened(
    browser: Browser,
    found: Site,
    actor: Actor | None = ADA,
    *,
    theme: str = "light",
    viewport: ViewportSize = DESK,
    javascript: bool = True,
    faults: Faults | None = None,
) -> Generator[Page]:
    """A page of a fresh browser profile, signed in. Fails when the page complained."""
    heard = faults or Faults()
    context = browser.new_context(
        base_url=found.url,
        color_scheme="dark" if theme == "dark" else "light",
        viewport=viewport,
        java_script_enabled=javascript,
        has_touch=viewport == PHONE,
        timezone_id="Europe/Berlin",
        locale="en-GB",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(WAIT_MS)
    context.on("page", heard.watch)
    if actor is not None:
        found.sign_in(context, actor)
    try:
        yield context.new_page()
    finally:
        context.close()
    assert heard.found == []


def axe(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA, each in a line; empty when all is well."""
    page.evaluate(AXE.read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    result: dict[str, Any] = page.evaluate(
        "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags
    )
    return [
        f"{one['id']}: {node['html'][:160]} ({node.get('failureSummary', '')[:200]})"
        for one in result["violations"]
        for node in one["nodes"]
    ]


__all__ = ["ADA", "BOB", "DESK", "EVE", "MAX", "PHONE", "ROOT", "Faults", "Site", "axe", "opened"]
