"""The control plane by itself: two servers on one PostgreSQL, with the driver that runs nothing.

What is measured is accepting, storing, reconciling and listing. Each server has its own fake
driver, so the run ends before one looks at what the other started.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import anyio

from alcove.config import Settings
from alcove.core import workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.drivers.fake import FakeDriver
from alcove.model.access import SYSTEM
from alcove.ops import admin
from alcove.ops.layout import Layout
from alcove.store.db import Database
from alcove.store.workspaces import WorkspaceFilters
from bench.client import Client
from bench.figures import Figure
from tests.postgres import Postgres

WORKSPACES: Final = 2000
CLIENTS: Final = 8
LISTS: Final = 200
PORTS: Final = (17090, 17091)
PATIENCE_S: Final = 60.0
TEMPLATE: Final = {
    "name": "bench",
    "promote": True,
    "files": {
        "template.yaml": "name: bench\ndescription: Nothing\nimage: {debian: bookworm}\n",
    },
}


def measure() -> list[Figure]:
    """Creates per second, the time until all run, lists, and queries per page."""
    with ExitStack() as stack:
        server = Postgres.start_new()
        stack.callback(server.remove)
        database = server.database()
        urls, token, pids = stack.enter_context(_servers(database))
        with Client(urls[0], token) as client:
            client.call("POST", "/templates", TEMPLATE)
        before = _cpu_s(pids)
        accepted, creates = _create_all(urls, token)
        running_s = _until_running(urls[0], token)
        spent_ms = (_cpu_s(pids) - before) / WORKSPACES * 1000
        lists = _list_often(urls, token)
        pages = anyio.run(_queries_per_page, database)
    rate = WORKSPACES / accepted
    p95 = sorted(lists)[int(0.95 * len(lists))]
    return [
        Figure("creates accepted, 2 servers", "per s", [rate], "≥ 100", rate >= 100),
        Figure("one create, 8 at once", "ms", creates, "", None),
        Figure("CPU of both servers, create to running", "ms", [spent_ms], "", None),
        Figure(f"all {WORKSPACES} running, after the last create", "s", [running_s], "", None),
        Figure(f"list 50 of {WORKSPACES}", "ms", lists, "p95 ≤ 50", p95 <= 50),
        Figure("queries for a page of 1, 50, 500", "", pages, "constant", len(set(pages)) == 1),
    ]


@contextmanager
def _servers(database: str) -> Generator[tuple[Sequence[str], str, Sequence[int]]]:
    """Two servers that share a database and the secret, and a token of their first admin."""
    programs: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="alcove-bench-") as scratch:
        layouts = [Layout(Path(scratch) / str(port)) for port in PORTS]
        try:
            for port, layout in zip(PORTS, layouts, strict=True):
                if programs:
                    secret = layouts[0].data_dir / "server" / "secret.key"
                    (layout.data_dir / "server").mkdir(mode=0o700, parents=True)
                    shutil.copy(secret, layout.data_dir / "server")
                programs.append(_server(layout.data_dir, database, port))
                _wait(f"http://127.0.0.1:{port}")
            token = str(admin.ask(layouts[0], "/token", {"name": "bench"})["token"])
            urls = [f"http://127.0.0.1:{port}" for port in PORTS]
            yield urls, token, [program.pid for program in programs]
        finally:
            for program in programs:
                program.send_signal(signal.SIGTERM)
            for program in programs:
                program.wait(timeout=30)


def _server(data_dir: Path, database: str, port: int) -> "subprocess.Popen[bytes]":
    data_dir.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("alcove")), "server", "--driver", "fake"),
            *("--data-dir", str(data_dir), "--database-url", database),
            *("--http-address", f"127.0.0.1:{port}", "--ssh-address", "", "--log-format", "json"),
            *(["--allow-root"] if os.geteuid() == 0 else []),
        ],
        env={
            **os.environ,  # noqa: TID251 - a program of ours gets what we got
            "ALCOVE_WORKSPACES_MAX_PER_USER": "1000000",
            "ALCOVE_REQUEST_RATE_PER_MINUTE": "100000000",
        },
        stdout=subprocess.DEVNULL,
        stderr=(data_dir / "log").open("wb"),
    )


def _wait(url: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            with Client(url, "") as client:
                client.call("GET", "/server")
        except RuntimeError:
            return  # it answers, and knows us not
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no server at {url} within {PATIENCE_S:g} s")


def _create_all(urls: Sequence[str], token: str) -> tuple[float, list[float]]:
    """Seconds for all, and milliseconds for each."""
    took: list[float] = []
    left = iter(range(WORKSPACES))
    lock = threading.Lock()

    def work(url: str) -> None:
        with Client(url, token) as client:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                started = time.perf_counter()
                client.call("POST", "/workspaces", {"template": "bench", "name": f"w{number}"})
                took.append((time.perf_counter() - started) * 1000)

    threads = [
        threading.Thread(target=work, args=(urls[number % len(urls)],))
        for number in range(CLIENTS)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, took


def _cpu_s(pids: Sequence[int]) -> float:
    """User and system time so far: what the machine's other work does not change."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _until_running(url: str, token: str) -> float:
    started = time.monotonic()
    with Client(url, token) as client:
        while time.monotonic() - started < PATIENCE_S:
            if not client.call("GET", "/workspaces?phase=provisioning&limit=1")["items"]:
                break
            time.sleep(0.1)
    return time.monotonic() - started


def _list_often(urls: Sequence[str], token: str) -> list[float]:
    """Pages from all over the list, from both servers in turn."""
    took: list[float] = []
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(url, token)) for url in urls]
        cursor = ""
        for number in range(LISTS):
            started = time.perf_counter()
            page = clients[number % 2].call("GET", f"/workspaces?limit=50{cursor}")
            took.append((time.perf_counter() - started) * 1000)
            next_cursor = page["next_cursor"]
            cursor = f"&cursor={next_cursor}" if next_cursor else ""
    return took


async def _queries_per_page(database: str) -> list[float]:
    db = Database(database)
    core = Core.build(settings=Settings(), driver=FakeDriver(), secret=b"", db=db)
    counts: list[float] = []
    for limit in (1, 50, 500):
        before = db.queries
        await workspaces.find(core, SYSTEM, WorkspaceFilters(), PageRequest(limit))
        counts.append(db.queries - before)
    await core.aclose()
    return counts
