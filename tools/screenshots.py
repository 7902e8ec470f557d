"""Pictures of the pages, in both themes, from a server with a little of everything in it.

`make screenshots` writes docs/screenshots/. Workspaces are real agents as ordinary processes on
this machine, without a runtime; nothing is fetched from a network.
"""

import math
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import anyio
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import update

from alcove.clock import system_clock
from alcove.core import ports, snapshots, workspaces
from alcove.core.usage_history import SAMPLES_MAX
from alcove.drivers.base import Usage
from alcove.model.access import Actor
from alcove.model.port import Level
from alcove.model.template import TemplateVersion
from alcove.model.workspace import Phase, Workspace
from alcove.recipes.native import read
from alcove.store import templates
from alcove.store.db import Database
from alcove.store.migrate import migrate
from alcove.store.schema import templates as catalog
from alcove.store.schema import workspaces as table
from alcove.wire.snapshots import NewSnapshot
from tests.browser import harness
from tests.browser.harness import ADA, BOB, CHROMIUM, DESK, MAX, PHONE, ROOT, Site, opened

ROOT_DIR = Path(__file__).parents[1]
OUT = ROOT_DIR / "docs/screenshots"


_TYPED = (
    "PS1='\\e[32mdev@api\\e[0m:\\e[34m~/api\\e[0m$ '; clear",
    "python3 -c 'print(sum(range(101)))'",
    "seq 3 | xargs -I{} echo 'test {} passed'",
)
"""The prompt is a workspace's; the shell of a picture runs on this machine."""


@dataclass(frozen=True, slots=True)
class Shot:
    name: str
    path: str
    actor: Actor | None = ADA
    phone: bool = False
    press: str = ""
    """A key to press before, as of the palette."""
    typed: tuple[str, ...] = ()
    """Lines that are typed before, as into the terminal."""


def shots(shown: Workspace) -> tuple[Shot, ...]:
    """One line for each picture; a page that is not served is left out."""
    here = f"/workspaces/{shown.id}"
    return (
        Shot("sign-in", "/sign-in", None),
        Shot("workspaces", "/"),
        Shot("workspaces-phone", "/", phone=True),
        Shot("first-visit", "/", BOB),
        Shot("catalog", "/templates"),
        Shot("create", "/create/python?name=api&preset=large"),
        Shot("workspace", here),
        Shot("workspace-phone", here, phone=True),
        Shot("terminal", f"{here}/terminal", typed=_TYPED),
        Shot("files", f"{here}/files"),
        Shot("logs", f"{here}/logs"),
        Shot("events", f"{here}/events"),
        Shot("settings", f"{here}/settings"),
        Shot("palette", "/", press="Control+k"),
        Shot("recordings", "/recordings"),
        Shot("fleet", "/fleet", MAX),
        Shot("audit", "/audit", MAX),
        Shot("people", "/people", MAX),
        Shot("server", "/server", MAX),
        Shot("template", "/templates/python", MAX),
        Shot("components", "/-/patterns"),
    )


def main(only: list[str]) -> None:
    if shutil.which("pngquant") is None:
        raise SystemExit("pngquant is missing; run: apt-get install pngquant")
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        url = f"sqlite:///{folder}/alcove.db"
        anyio.run(_migrated, url)
        with harness.site(url) as site, sync_playwright() as playwright:
            shown = furnish(site)
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            for shot in shots(shown):
                if not only or shot.name in only:
                    for theme in ("light", "dark"):
                        take(browser, site, shot, theme)
            browser.close()


def take(browser: Browser, site: Site, shot: Shot, theme: str) -> None:
    viewport = PHONE if shot.phone else DESK
    with opened(browser, site, shot.actor, theme=theme, viewport=viewport) as page:
        answer = page.goto(shot.path)
        if answer is None or answer.status != 200:
            sys.stderr.write(f"left out: {shot.name} ({answer and answer.status})\n")
            return
        settle(page, shot)
        file = OUT / f"{shot.name}-{theme}.png"
        page.screenshot(path=file, animations="disabled", caret="hide")
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--speed", "1", file], check=True)
    sys.stdout.write(f"{file.relative_to(ROOT_DIR)} {file.stat().st_size // 1024} KiB\n")


def settle(page: Page, shot: Shot) -> None:
    page.evaluate("document.fonts.ready")
    for line in shot.typed:
        page.wait_for_timeout(700)
        page.keyboard.type(line + "\n")
    if shot.press:
        page.keyboard.press(shot.press)
    page.wait_for_timeout(700)


def furnish(site: Site) -> Workspace:
    """People, templates and workspaces in several states; answers the one to show."""
    site.call(lambda: _push_starters(site))
    api = site.workspace("api", template="python", labels={"team": "payments"})
    docs = site.workspace("docs", template="node")
    site.workspace("gateway", template="go")
    agent = site.workspace("task-4821", template="ai-agent-sandbox", labels={"task": "Fix #12"})
    night = site.workspace("nightly", template="base")
    broken = site.workspace("legacy", template="base")
    site.workspace("billing", template="node", owner=MAX)
    site.call(lambda: workspaces.stop(site.core, ADA, night.id))
    site.until(night.id, Phase.STOPPED)
    site.call(lambda: workspaces.pause(site.core, ADA, docs.id))
    site.until(docs.id, Phase.PAUSED)
    site.call(lambda: ports.share(site.core, ADA, api.id, 8000, level=Level.TEAM))
    site.call(lambda: snapshots.take(site.core, ADA, api.id, NewSnapshot(name="before-upgrade")))
    site.call(lambda: _dress(site, api, agent, broken))
    return api


async def _push_starters(site: Site) -> None:
    async with site.core.db.transaction() as tx:
        # Those of the tests.
        await tx.execute(catalog.update().values(active=None))
    for folder in sorted(file.parent for file in (ROOT_DIR / "templates").glob("*/template.yaml")):
        await _push(site, folder)


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


async def _push(site: Site, folder: Path) -> None:
    files = files_of(folder)
    reading = read(files, folder.name)
    recipe = reading.recipe
    if recipe is None:
        raise SystemExit("\n".join(str(problem) for problem in reading.problems))
    # What runs here is this machine's own user, and installs nothing.
    recipe = replace(recipe, user="root", scripts=(), files={})
    now = system_clock()
    async with site.core.db.transaction() as tx:
        known = await templates.get(tx, recipe.name)
        if known is None:
            await templates.add(tx, recipe.name, now=now)
        number = 1 if known is None else known.latest + 1
        version = TemplateVersion(
            template=recipe.name,
            number=number,
            recipe=recipe,
            digest=f"sha256:{number}",
            message="",
            created_at=now,
            created_by=ROOT.id,
        )
        await templates.add_version(tx, version, files)
        await templates.promote(tx, recipe.name, number, now=now)
    site.core.catalog.forget(recipe.name)


async def _dress(site: Site, api: Workspace, agent: Workspace, broken: Workspace) -> None:
    """What takes days to come about: ages, branches, a history."""
    now = system_clock()
    repo = "https://git.example.com/payments/api.git"
    dressed = {
        api.id: {
            "repo": repo,
            "branch": "invoice-totals",
            "created_at": now - timedelta(days=6),
            "started_at": now - timedelta(hours=3, minutes=12),
        },
        agent.id: {"expires_at": now + timedelta(hours=2)},
        broken.id: {
            "desired": "running",
            "phase": "failed",
            "reason": "failed: the image cannot be built: no package named libfoo-dev",
            "check_at": now + timedelta(days=9),
        },
    }
    async with site.core.db.transaction() as tx:
        for id, values in dressed.items():
            await tx.execute(update(table).where(table.c.id == id).values(**values))
    history = site.core.usage_history
    history.lines.clear()
    for seed, id in enumerate(site.driver.processes):
        used = 0
        for number in range(SAMPLES_MAX):
            at = now - timedelta(seconds=15 * (SAMPLES_MAX - number))
            # A build now and then, and somebody typing in between.
            slow = max(0.0, math.sin((number + 31 * seed) / 17)) ** 3
            wave = 0.04 + 1.3 * slow + 0.05 * math.sin(number * (seed + 2.3))
            used += int(max(0.01, wave) * 15e6)
            memory = round(540 + 90 * seed + 420 * slow + 6 * math.sin(number))
            history.add({id: Usage(used, memory, 4096, 1800, 10240, 0, 0, 42, 0)}, at)
            site.driver.usages[id] = Usage(used, memory, 4096, 1800, 10240, 0, 0, 42, 0)


async def _migrated(url: str) -> None:
    db = Database(url)
    await migrate(db)
    await db.aclose()


if __name__ == "__main__":
    main(sys.argv[1:])
