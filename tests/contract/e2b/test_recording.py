"""A terminal that is reached through the envd protocol is recorded like any other."""

import json
import shutil
import struct
from typing import Any

import httpx
from fastapi import status

from alcove.core.recordings import directory_of, path_of
from alcove.model.recording import Recording, RecordingState
from alcove.store import recordings
from alcove.store.recordings import RecordingFilters
from tests.contract.e2b.conftest import E2bServer
from tests.contract.e2b.test_hostile import CONNECT, created, enveloped

SHELL: dict[str, Any] = {
    "process": {"cmd": "/bin/sh", "args": ["-c", "echo from the terminal"]},
    "pty": {"size": {"cols": 100, "rows": 30}},
}


async def _start(e2b: E2bServer, message: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=e2b.base, timeout=30) as client:
        made = await created(client, e2b)
        return await client.post(
            "/process.Process/Start",
            headers={**CONNECT, "x-access-token": made["envdAccessToken"]},
            content=enveloped(json.dumps(message).encode()),
        )


async def _found(e2b: E2bServer) -> list[Recording]:
    async with e2b.core.db.read() as tx:
        return list(await recordings.find(tx, RecordingFilters(), after=None, limit=10))


def _envelopes(data: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while data:
        _, length = struct.unpack_from(">BI", data)
        found.append(json.loads(data[5 : 5 + length]))
        data = data[5 + length :]
    return found


async def test_what_its_terminal_shows_is_recorded(e2b: E2bServer) -> None:
    answer = await _start(e2b, SHELL)
    assert answer.status_code == status.HTTP_200_OK, answer.text
    kinds = [kind for said in _envelopes(answer.content) for kind in said.get("event", {})]
    assert kinds[0] == "start"
    assert "data" in kinds
    assert "end" in kinds
    [row] = await _found(e2b)
    assert (row.state, row.columns, row.rows) == (RecordingState.FINISHED, 100, 30)
    assert "from the terminal" in path_of(e2b.core, row).read_text()


async def test_one_that_cannot_be_recorded_is_not_started(e2b: E2bServer) -> None:
    directory_of(e2b.core).write_text("in the way")
    answer = await _start(e2b, SHELL)
    assert answer.status_code == status.HTTP_503_SERVICE_UNAVAILABLE
    assert "must be recorded" in answer.text


async def test_a_command_without_a_terminal_needs_no_recording(e2b: E2bServer) -> None:
    shutil.rmtree(directory_of(e2b.core), ignore_errors=True)
    directory_of(e2b.core).write_text("in the way")
    answer = await _start(e2b, {"process": SHELL["process"]})
    assert answer.status_code == status.HTTP_200_OK
    assert await _found(e2b) == []
