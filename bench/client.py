"""The least a client can be: one kept-alive connection, so that the server is what is measured."""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

_IDLE_S: Final = 60.0


class Client:
    """Raises RuntimeError with the answer for any status of 400 and above."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
        self._used = time.monotonic()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The decoded JSON answer, or None for an empty one."""
        text = None if body is None else json.dumps(body)
        if time.monotonic() - self._used > _IDLE_S:
            self._connection.close()  # the server has closed it, or is about to
        self._used = time.monotonic()
        self._connection.request(method, "/api/v2" + path, text, self._headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:500]!r}")
        return json.loads(data) if data else None

    def echo(self, workspace: str) -> None:
        """Run `echo` and check its output."""
        done = self.call("POST", f"/workspaces/{workspace}/exec", {"command": ["echo", "hi"]})
        assert done["stdout"] == "hi\n", done
