"""The pages of people with 2,000 workspaces: the server's time, and what a browser shows when.

The server is the whole app on loopback with the fake driver; Chromium loads its pages afresh.
"""

import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import anyio
import httpx
from playwright.sync_api import sync_playwright

from alcove.core.names import new_workspace_id
from alcove.core.sign_in import new_link
from alcove.model.workspace import Desired, Phase
from alcove.store import workspaces as rows
from alcove.store.db import Database
from alcove.store.migrate import migrate
from alcove.web import assets
from bench.figures import Figure, quantile
from tests.browser.harness import ADA, CHROMIUM, Site, opened, site
from tests.core.world import ROOT, World

_WORKSPACES: Final = 2000
_ROUNDS: Final = 60
_PAINTS: Final = 12
_OPEN: Final = 100


def pages() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as folder:
        url = f"sqlite:///{Path(folder)}/alcove.db"
        anyio.run(_migrated, url)
        with site(url, workspaces_max_per_user=_WORKSPACES + 10) as found:
            shown = found.workspace("shown")
            found.call(lambda: _fill(found))
            here = f"/workspaces/{shown.id}"
            return [
                *_served(found, {"list": "/", "search": "/?q=w-19", "workspace": here}),
                *_painted(found, {"list": "/", "workspace": here}),
                _told(found, shown.id),
                _script(),
            ]


def _served(found: Site, paths: dict[str, str]) -> list[Figure]:
    figures: list[Figure] = []
    with closing(_client(found)) as client:
        for name, path in paths.items():
            samples: list[float] = []
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                client.get(path).raise_for_status()
                samples.append((time.perf_counter() - began) * 1000)
            met = quantile(samples, 0.95) <= 50
            title = f"page {name}, {_WORKSPACES} workspaces"
            figures.append(Figure(title, "ms", samples, "p95 ≤ 50", met))
    return figures


def _painted(found: Site, paths: dict[str, str]) -> list[Figure]:
    figures: list[Figure] = []
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, path in paths.items():
            samples: list[float] = []
            for _ in range(_PAINTS):
                with opened(browser, found) as page:
                    page.goto(path)
                    assert page.url == found.url + path, page.url
                    page.wait_for_function(f"() => ({paint}) !== null")
                    samples.append(float(page.evaluate(paint)))
            met = statistics.median(samples) <= 500
            title = f"first contentful paint, {name}"
            figures.append(Figure(title, "ms", samples, "p50 ≤ 500", met))
        browser.close()
    return figures


def _told(found: Site, id: str) -> Figure:
    """From a change being asked for to each of the open pages having its name."""
    signed_in = _client(found)
    cookies = signed_in.cookies
    signed_in.close()

    async def measure() -> list[float]:
        samples: list[float] = []
        ready: list[int] = []
        async with httpx.AsyncClient(
            base_url=found.url,
            headers={"origin": found.url},
            cookies=cookies,
            timeout=60,
            limits=httpx.Limits(max_connections=_OPEN + 10),
        ) as client:
            began = [0.0]

            async def page() -> None:
                async with client.stream("GET", "/live?of=workspace") as answer:
                    assert answer.status_code == 200, answer.status_code
                    async for line in answer.aiter_lines():
                        if line == "event: ready":
                            ready.append(1)
                        if line == f"data: workspace {id}":
                            samples.append((time.perf_counter() - began[0]) * 1000)
                            return

            async with anyio.create_task_group() as group:
                for _ in range(_OPEN):
                    group.start_soon(page)
                while len(ready) < _OPEN:  # noqa: ASYNC110 - what it waits for is counted
                    await anyio.sleep(0.05)
                began[0] = time.perf_counter()
                answer = await client.post(f"/api/v2/workspaces/{id}/stop")
                answer.raise_for_status()
        return samples

    samples = anyio.run(measure)
    met = max(samples) <= 300
    return Figure(f"live name to {_OPEN} open pages", "ms", samples, "all ≤ 300", met)


def _script() -> Figure:
    size = assets.packed_size("app.js") / 1024
    return Figure("script of an ordinary page", "KiB", [size], "≤ 60", size <= 60)


def _client(found: Site) -> httpx.Client:
    secret, _ = found.call(lambda: new_link(found.core, None, ADA.name))
    client = httpx.Client(base_url=found.url, headers={"origin": found.url}, timeout=60)
    answer = client.post("/sign-in/link", data={"token": secret.text})
    assert answer.is_redirect, answer
    return client


async def _fill(found: Site) -> None:
    """Rows as if they had been made; nothing runs for them."""
    core = found.core
    world = World(core, None, found.driver)  # type: ignore[arg-type]
    like = await world.create(ROOT, owner=ADA.name, name="like", template="plain")
    settled = replace(
        like,
        desired=Desired.STOPPED,
        phase=Phase.STOPPED,
        handle=None,
        boot=None,
        check_at=core.clock() + timedelta(days=1),
    )
    async with core.db.transaction() as tx:
        for number in range(_WORKSPACES):
            made = replace(
                settled,
                id=new_workspace_id(),
                name=f"w-{number}",
                created_at=like.created_at - timedelta(seconds=number),
            )
            await rows.add(tx, made)


async def _migrated(url: str) -> None:
    db = Database(url)
    await migrate(db)
    await db.aclose()
