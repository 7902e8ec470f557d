"""The real `alcove server` in a process of its own, over a test's installation."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from alcove.ops import admin
from alcove.ops.layout import Layout
from tests.host.installation import ROOT, Installation

START_S = 60.0


@dataclass
class ServerProcess:
    """`up` starts it and answers when it listens; `kill` is kill -9."""

    installation: Installation
    database_url: str | None = None
    settings: dict[str, str] = field(default_factory=dict[str, str])
    process: "subprocess.Popen[bytes] | None" = None
    token: str = ""

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    @property
    def log(self) -> Path:
        return self.installation.data_dir / f"server-{self.port}.log"

    def up(self) -> Self:
        where = str(self.installation.data_dir)
        words = ["server", "--http-address", f"127.0.0.1:{self.port}", "--allow-root"]
        words += ["--ssh-address", ""]
        words += ["--data-dir", where, "--log-format", "json"]
        if self.database_url is not None:
            words += ["--database-url", self.database_url]
        more = {f"ALCOVE_{name.upper()}": text for name, text in self.settings.items()}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "import sys; from alcove.main import main; sys.exit(main())",
                    *words,
                ],
                cwd=ROOT,
                env={**os.environ, **more},  # noqa: TID251 - what Python needs is the caller's
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        if not self.token:
            layout = Layout(self.installation.data_dir)
            self.token = str(admin.ask(layout, "/token", {"name": "tests"})["token"])
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def call(self, method: str, path: str, body: Any = None, *, timeout_s: float = 60) -> Any:
        """The decoded answer. Raises AssertionError with it for 400 and above."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            text = None if body is None else json.dumps(body)
            connection.request(method, "/api/v2" + path, text, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {data[:500]!r}"
        return json.loads(data) if data else None

    def push(self, text: str) -> None:
        """Add a template and promote it."""
        self.call("POST", "/templates", {"files": {"template.yaml": text}})

    def await_pool(self, template: str, *, ready: int, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            pool = self.call("GET", f"/pools/{template}")
            if pool["ready"] >= ready:
                return
            assert time.monotonic() < deadline, f"{pool}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Its local socket is the last thing that it opens."""
        with socket.socket(socket.AF_UNIX) as probe:
            where = self.installation.data_dir / "server/admin.sock"
            return probe.connect_ex(str(where)) == 0
