"""A large file up and down through the API, and what the server's memory does meanwhile."""

import http.client
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bench.client import Client
from bench.figures import Figure
from demo.instance import Instance

_SIZE_MIB, _CHUNK = 1024, 1 << 20


def transfers(instance: Instance) -> list[Figure]:
    """MB/s each way for 1 GiB, and by how much the server grew."""
    body = {"template": "base", "ephemeral": True, "network": {"mode": "none"}}
    with Client(instance.url, instance.token) as client:
        workspace = client.call("POST", "/workspaces?wait=30s", body)["id"]
        try:
            pid = process_of(instance, "server")
            before = rss_mib(pid)
            with _Peak(pid) as peak:
                up = _upload(instance, workspace)
                down = _download(instance, workspace)
        finally:
            client.call("DELETE", f"/workspaces/{workspace}")
    grown = peak.value - before
    return [
        Figure("upload of 1 GiB", "MB/s", [up], "≥ 200", up >= 200),
        Figure("download of 1 GiB", "MB/s", [down], "≥ 200", down >= 200),
        Figure("server grew during 1 GiB each way", "MiB", [grown], "≤ 32 (flat)", grown <= 32),
    ]


def process_of(instance: Instance, program: str) -> int:
    """The process that runs `alcove server` or `alcove host` for this installation."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            environ = (path.parent / "environ").read_bytes()
        except OSError:
            continue
        ours = f"ALCOVE_DATA_DIR={instance.layout.data_dir}".encode() in environ.split(b"\0")
        if ours and words[-2:-1] == [program.encode()]:
            return int(path.parent.name)
    raise RuntimeError(f"no `alcove {program}` runs for {instance.name}")


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Peak:
    """The largest RSS of a process while in the context, looked at every 20 ms."""

    def __init__(self, pid: int) -> None:
        self.value = rss_mib(pid)
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.value = max(self.value, rss_mib(self._pid))


def _connect(instance: Instance) -> http.client.HTTPConnection:
    parts = urlsplit(instance.url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port or 80, blocksize=_CHUNK)


def _upload(instance: Instance, workspace: str) -> float:
    connection = _connect(instance)
    size = _SIZE_MIB * 2**20
    headers = {
        "Authorization": f"Bearer {instance.token}",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(size),
    }
    started = time.perf_counter()
    path = f"/api/v2/workspaces/{workspace}/files?path=large"
    connection.request("PUT", path, _zeros(), headers)
    answer = connection.getresponse()
    data = answer.read()
    took = time.perf_counter() - started
    assert answer.status < 300, data
    connection.close()
    return size / took / 1e6


def _zeros() -> Iterator[bytes]:
    block = bytes(_CHUNK)
    for _ in range(_SIZE_MIB):
        yield block


def _download(instance: Instance, workspace: str) -> float:
    connection = _connect(instance)
    headers = {"Authorization": f"Bearer {instance.token}"}
    started = time.perf_counter()
    connection.request("GET", f"/api/v2/workspaces/{workspace}/files?path=large", None, headers)
    answer = connection.getresponse()
    got = 0
    while block := answer.read(_CHUNK):
        got += len(block)
    took = time.perf_counter() - started
    assert (answer.status, got) == (200, _SIZE_MIB * 2**20), (answer.status, got)
    connection.close()
    return got / took / 1e6
