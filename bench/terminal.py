"""The web terminal in a real Chromium: how soon it is open, from a key to its echo, and what
50 MB of output do to the page and to the server's memory.

The server runs in this process, with a real agent; the browser is a process of its own.
"""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import anyio
from playwright.sync_api import Page, sync_playwright

from alcove.store.db import Database
from alcove.store.migrate import migrate
from bench.figures import Figure, quantile
from bench.transfers import rss_mib
from tests.browser.harness import CHROMIUM, opened, site

_OPENS: Final = 7
_KEYS: Final = 200
_BYTES: Final = 50_000_000
_PATIENCE_S: Final = 180.0
_LINE: Final = (
    "the quick brown fox jumps over the lazy dog, again and again, until all of it is there"
)
_ENV: Final = {"SHELL": "/bin/sh", "HOME": "/tmp", "PS1": "$ "}
_HEAR: Final = """
  window.heard = []
  const Plain = WebSocket
  window.WebSocket = class extends Plain {
    constructor(...all) {
      super(...all)
      this.addEventListener("message", ({ data }) => {
        if (typeof data !== "string") window.heard.push(performance.now())
      })
    }
  }
"""
_PRESSED: Final = """() => {
  window.pressed = 0
  addEventListener("keydown", () => { pressed = performance.now() }, true)
  window.painted = 0
  new MutationObserver(() => { if (!painted) painted = performance.now() })
    .observe(document.querySelector(".xterm-rows"), { childList: true, subtree: true })
}"""
_FRAMES: Final = """() => {
  window.worst = 0
  let last = performance.now()
  const tick = now => {
    worst = Math.max(worst, now - last)
    last = now
    requestAnimationFrame(tick)
  }
  requestAnimationFrame(tick)
}"""


def terminal() -> list[Figure]:
    """Milliseconds to open and to echo; the longest pause of the page and MiB more for 50 MB."""
    directory = Path(tempfile.mkdtemp(prefix="bench-terminal-"))
    url = f"sqlite:///{directory / 'alcove.db'}"
    anyio.run(_migrated, url)
    try:
        with sync_playwright() as playwright, site(url) as found:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            workspace = found.workspace("bench", env=_ENV)
            with opened(browser, found) as page:
                page.add_init_script(_HEAR)
                path = f"/workspaces/{workspace.id}/terminal"
                opens = [_open_ms(page, path) for _ in range(_OPENS)][1:]
                echoes, paints = _echoes(page)
                longest, more, speed = _much(page)
            browser.close()
    finally:
        shutil.rmtree(directory)
    return [
        Figure("terminal: open", "ms", opens, "≤ 1000", quantile(opens, 0.5) <= 1000),
        Figure("terminal: key to echo", "ms", echoes, "p50 ≤ 10", quantile(echoes, 0.5) <= 10),
        Figure("terminal: key to screen", "ms", paints, "", None),
        Figure("terminal: 50 MB, longest pause", "ms", [longest], "≤ 500", longest <= 500),
        Figure("terminal: 50 MB, server's memory", "MiB more", [more], "≤ 16", more <= 16),
        Figure("terminal: 50 MB, shown", "MB/s", [speed], "", None),
    ]  # fmt: skip


async def _migrated(url: str) -> None:
    db = Database(url)
    await migrate(db)
    await db.aclose()


def _open_ms(page: Page, path: str) -> float:
    """From asking for the page to the shell's prompt."""
    began = time.perf_counter()
    page.goto(path, wait_until="commit")
    _until(page, "/[#$]/.test(document.querySelector('.xterm-rows')?.innerText ?? '')")
    return (time.perf_counter() - began) * 1000


def _until(page: Page, holds: str) -> None:
    """The page's policy lets nothing evaluate text in it, so that it cannot wait by itself."""
    deadline = time.monotonic() + _PATIENCE_S
    while not page.evaluate(holds):
        if time.monotonic() > deadline:
            raise TimeoutError(holds)
        time.sleep(0.01)


def _echoes(page: Page) -> tuple[list[float], list[float]]:
    page.locator(".xterm-helper-textarea").focus()
    page.evaluate(_PRESSED)
    echoes: list[float] = []
    paints: list[float] = []
    for number in range(_KEYS):
        if number % 60 == 59:
            page.keyboard.press("Control+U")
            page.wait_for_timeout(100)
        page.evaluate("() => { heard.length = 0; painted = 0 }")
        page.keyboard.press("x")
        _until(page, "heard.length > 0 && painted > 0")
        echoes.append(float(page.evaluate("heard[0] - pressed")))
        paints.append(float(page.evaluate("painted - pressed")))
        page.wait_for_timeout(20)
    page.keyboard.press("Control+C")
    return echoes, paints


def _much(page: Page) -> tuple[float, float, float]:
    page.keyboard.type(f"clear; yes '{_LINE}' | head -c {_BYTES}; echo all-$((1+1))")
    page.evaluate(_FRAMES)
    before = peak = rss_mib(os.getpid())
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, rss_mib(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    page.keyboard.press("Enter")
    try:
        _until(page, "/all-2/.test(document.querySelector('.xterm-rows').innerText)")
        took = time.perf_counter() - began
    finally:
        done.set()
        watcher.join()
    return float(page.evaluate("worst")), peak - before, _BYTES / 1e6 / took
