"""A real server with a real agent, behind the proxies as `docs/operator/tls.md` sets them up."""

import re
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import httpx
import pytest

from alcove.config import Settings
from alcove.store.db import Database
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.api.conftest import migrated, sqlite
from tests.api.served import ADA, Served, listening, served
from tests.certificates import Authority
from tests.conftest import MovedClock
from tests.ports import free_port

__all__ = ["migrated", "sqlite"]
PAGE: Final = Path(__file__).parents[2] / "docs/operator/tls.md"
CLIENT: Final = "127.0.0.2"
"""Another address of this machine than the proxy's own."""
_READY_S: Final = 60


@dataclass
class Fronted:
    """`url` is the proxy's, `behind` the server's own."""

    api: Served
    url: str
    behind: str
    token: str
    trusting: ssl.SSLContext
    clients: list[httpx.AsyncClient] = field(default_factory=list[httpx.AsyncClient])

    def client(self, url: str | None = None, **headers: str) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=self.trusting, local_address=CLIENT)
        head = {"authorization": f"Bearer {self.token}", **headers}
        made = httpx.AsyncClient(
            transport=transport, base_url=url or self.url, headers=head, timeout=60
        )
        self.clients.append(made)
        return made


@pytest.fixture(params=["caddyfile", "nginx"])
async def fronted(
    request: pytest.FixtureRequest, sqlite: Database, clock: MovedClock, tmp_path: Path
) -> AsyncGenerator[Fronted]:
    driver, authority, port = AgentDriver(), Authority.make(tmp_path), free_port()
    files = authority.sign()
    url = f"https://localhost:{port}"
    settings = Settings(driver="fake", external_url=url, trusted_proxies=("127.0.0.1/32",))
    try:
        async with served(sqlite, clock, driver=driver, settings=settings) as api:
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
            env = {"XDG_STATE_HOME": str(tmp_path / "state")}
            await api.workspace(ADA, template="plain", name="box", env=env)
            await api.world.settle()
            token = (await api.token(ADA)).text
            async with listening(api.app) as behind:
                changed = {
                    "/etc/alcove/tls/fullchain.pem": str(files[0]),
                    "/etc/alcove/tls/key.pem": str(files[1]),
                    "127.0.0.1:7080": behind.removeprefix("http://"),
                }
                trusting = ssl.create_default_context(cafile=str(authority.bundle))
                with _proxy(request.param, changed, port, tmp_path) as proxy:
                    await anyio.to_thread.run_sync(_until_listens, proxy, port, tmp_path)
                    found = Fronted(api, url, behind, token, trusting)
                    yield found
                    for client in found.clients:
                        await client.aclose()
    finally:
        driver.close()


@contextmanager
def _proxy(
    kind: str, changed: Mapping[str, str], port: int, place: Path
) -> Generator[subprocess.Popen[bytes]]:
    """As its block of the page says, but for names, files and ports."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    text = found[1]
    for old, new in changed.items():
        assert old in text, old
        text = text.replace(old, new)
    command = _caddy(text, port, place) if kind == "caddyfile" else _nginx(text, port, place)
    with (place / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=place,
            env={"HOME": str(place), "PATH": "/usr/bin:/usr/sbin"},
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def _caddy(text: str, port: int, place: Path) -> list[str]:
    text = text.replace("alcove.example.com, *.apps.example.com", f"https://localhost:{port}")
    file = place / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


def _nginx(text: str, port: int, place: Path) -> list[str]:
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    text = text.replace("alcove.example.com *.apps.example.com", "localhost")
    paths = "\n".join(
        f"{name}_temp_path {place}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off;\nuser root;\npid {place}/pid;\nerror_log {place}/error.log;\n"
    file = place / "nginx.conf"
    file.write_text(f"{head}events {{}}\nhttp {{\naccess_log off;\n{paths}\n{text}\n}}\n")
    return ["nginx", "-e", str(place / "error.log"), "-c", str(file)]


def _until_listens(proxy: subprocess.Popen[bytes], port: int, place: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while proxy.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    log = "\n".join(file.read_text() for file in sorted(place.glob("*.log")))
    raise AssertionError(f"the proxy does not listen (exit {proxy.poll()}):\n{log}")
