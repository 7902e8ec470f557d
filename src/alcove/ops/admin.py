"""Speak to the running server over its local socket, which only root and its own user may open."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from alcove.ops.layout import Layout
from alcove.ops.steps import StepFailed

_TIMEOUT_S: Final = 15.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


class _TlsConnection(http.client.HTTPSConnection):
    """Whose certificate it is does not matter for whether our own server is up; nothing secret
    is said on it."""

    def __init__(self, host: str, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=5, context=context)


def ask(layout: Layout, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
    """POST to the server's local socket. Raises StepFailed when it does not answer well."""
    connection = _UnixConnection(layout.admin_socket)
    try:
        connection.request(
            "POST", path, json.dumps(body), headers={"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        text = answer.read()
    except OSError as error:
        raise StepFailed(
            f"the server does not answer on {layout.admin_socket}: {error}. "
            f"`alcove status` and {layout.log_dir}/server.log tell more."
        ) from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise StepFailed(f"the server refused {path}: {text.decode(errors='replace')[:400]}")
    return json.loads(text)


def wait_until_ready(
    address: str, *, timeout_s: float, log: Path, admin_socket: Path, tls: bool = False
) -> None:
    """Return once `/readyz` answers 200 and the local socket, which the server opens beside
    that, is listened on. Raises StepFailed with the log's end after the time."""
    host, _, port = address.rpartition(":")
    where = host.strip("[]"), int(port)
    deadline = time.monotonic() + timeout_s
    said = "nothing listens"
    while time.monotonic() < deadline:
        connection = (
            _TlsConnection(*where) if tls else http.client.HTTPConnection(*where, timeout=5)
        )
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
            said = f"{answer.status}: {body[:300]}"
            if answer.status == 200:
                with closing(_UnixConnection(admin_socket)) as local:
                    local.connect()
                return
        except OSError as error:
            said = str(error)
        finally:
            connection.close()
        time.sleep(0.05)
    tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-12:]) if log.exists() else ""
    raise StepFailed(f"not ready after {timeout_s:.0f} s ({said}). The end of {log}:\n  {tail}")
