"""The least that a create and a first output can cost here, in the same run: FastAPI, SQLite, and
agents as plain processes on Unix sockets. A token is looked up, one transaction written, one agent
told whose it is, one `echo` run; nothing is checked, isolated, limited or told of.

`python -m bench.floor DIRECTORY PORT` is the server of it.
"""

import asyncio
import hashlib
import json
import os
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI, Header

from bench.client import Client
from bench.figures import timed_ms

_ROOT: Final = Path(__file__).parents[1]
_AGENT: Final = _ROOT / "src/alcove/bin/alcove-agent"
_KEY: Final = "floor"
_READY_S: Final = 20


def floor(directory: Path, many: int) -> list[float]:
    """Milliseconds from create to the output of `echo`, of `many` one after the other."""
    token = secrets.token_urlsafe(32)
    with sqlite3.connect(directory / "floor.db") as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE tokens (sha256 TEXT PRIMARY KEY)")
        db.execute("CREATE TABLE sandboxes (id TEXT PRIMARY KEY, body TEXT)")
        db.execute("INSERT INTO tokens VALUES (?)", [_sha256(token)])
    db.close()
    with _agents(directory, many), _server(directory) as url, Client(url, token) as client:
        return [timed_ms(lambda: _create_and_echo(client)) for _ in range(many)]


def app(directory: Path) -> FastAPI:
    db = sqlite3.connect(directory / "floor.db", isolation_level=None)
    free = sorted(str(path) for path in directory.glob("*.sock"))
    made = FastAPI()

    def check(authorization: str) -> None:
        sha256 = _sha256(authorization.removeprefix("Bearer "))
        assert db.execute("SELECT 1 FROM tokens WHERE sha256 = ?", [sha256]).fetchone()

    async def create(body: dict[str, Any], authorization: str = Header()) -> dict[str, str]:
        check(authorization)
        id = free.pop()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO sandboxes VALUES (?, ?)", [id, json.dumps(body)])
        db.execute("COMMIT")
        await _ask(id, "/init", {"env": body["env"]})
        return {"id": id}

    async def run(body: dict[str, Any], authorization: str = Header()) -> dict[str, str]:
        check(authorization)
        answer = await _ask(
            body["id"], "/alcove/exec", {"cmd": body["command"][0], "args": body["command"][1:]}
        )
        assert b"hi\n" in answer, answer
        return {"stdout": "hi\n"}

    made.post("/api/v2/create")(create)
    made.post("/api/v2/exec")(run)
    return made


async def _ask(path: str, target: str, body: dict[str, Any]) -> bytes:
    """One request to an agent; what it answers."""
    text = json.dumps(body).encode()
    reader, writer = await asyncio.open_unix_connection(path)
    head = f"POST {target} HTTP/1.1\r\nHost: agent\r\nX-Alcove-Control: {_KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + text)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 2"), answer
    return answer


def _create_and_echo(client: Client) -> None:
    made = client.call("POST", "/create", {"env": {"BENCH": "1"}})
    client.call("POST", "/exec", {"id": made["id"], "command": ["echo", "hi"]})


@contextmanager
def _agents(directory: Path, many: int) -> Generator[None]:
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(many):
            env = {
                "PATH": "/usr/bin:/bin",
                "ALCOVE_LISTEN": f"unix:{directory / f'{number}.sock'}",
                "ALCOVE_CONTROL_SHA256": _sha256(_KEY),
                "ALCOVE_USER": "root",
                "ALCOVE_WORKDIR": str(directory),
                "ALCOVE_ROOT": "contained",
            }
            started.append(subprocess.Popen([_AGENT], env=env, stderr=subprocess.DEVNULL))
        _until(lambda: len(list(directory.glob("*.sock"))) == many)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def _server(directory: Path) -> Generator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "bench.floor", str(directory), str(port)]
    process = subprocess.Popen(command, cwd=_ROOT)
    try:
        _until(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(reached: Any) -> None:
    deadline = time.monotonic() + _READY_S
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError("the floor's processes do not come up")
        time.sleep(0.02)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    os.umask(0o077)
    place, at = Path(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(app(place), host="127.0.0.1", port=at, access_log=False, log_level="warning")
