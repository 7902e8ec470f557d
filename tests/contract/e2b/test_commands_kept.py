"""A command that is run through the envd protocol is told of and kept like any other."""

import json
from typing import Any

import anyio
import httpx

from alcove.model.event import Event, EventKind
from alcove.model.exec_output import ExecOutput
from alcove.model.workspace import WorkspaceId
from alcove.store import events, exec_outputs
from alcove.store.events import EventFilters
from alcove.store.recordings import RecordingFilters
from tests.contract.e2b.conftest import E2bServer
from tests.contract.e2b.test_hostile import CONNECT, created, enveloped


def _shell(line: str) -> dict[str, Any]:
    return {"process": {"cmd": "/bin/sh", "args": ["-c", line]}}


async def _start(e2b: E2bServer, message: dict[str, Any]) -> bytes:
    async with httpx.AsyncClient(base_url=e2b.base, timeout=30) as client:
        made = await created(client, e2b)
        answer = await client.post(
            "/process.Process/Start",
            headers={**CONNECT, "x-access-token": made["envdAccessToken"]},
            content=enveloped(json.dumps(message).encode()),
        )
        workspace = WorkspaceId(made["sandboxID"])
        with anyio.fail_after(10):
            # It is told of as the answer ends, and is in use until that is done.
            while e2b.core.running.count(workspace):  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.01)
        return answer.content


async def _found(e2b: E2bServer) -> list[ExecOutput]:
    await e2b.core.journal.flush(e2b.core)
    async with e2b.core.db.read() as tx:
        return list(await exec_outputs.find(tx, RecordingFilters(), after=None, limit=10))


async def _finished(e2b: E2bServer) -> list[Event]:
    await e2b.core.journal.flush(e2b.core)
    async with e2b.core.db.read() as tx:
        filters = EventFilters(kinds=(EventKind.EXEC_FINISHED,))
        return list(await events.read(tx, after=0, filters=filters))


async def test_both_streams_and_the_exit_code_are_kept(e2b: E2bServer) -> None:
    await _start(e2b, _shell("echo out; echo err >&2; exit 3"))
    [one] = await _found(e2b)
    assert (one.stdout.kept, one.stderr.kept, one.exit_code) == (b"out\n", b"err\n", 3)
    [event] = await _finished(e2b)
    assert (event.detail["output"], event.detail["digest"]) == (one.id, one.digest)
    assert (event.detail["exit_code"], event.at) == (3, one.at)


async def test_much_output_passes_whole_and_is_kept_at_its_ends(e2b: E2bServer) -> None:
    answer = await _start(e2b, _shell("printf begin; head -c 3000000 /dev/zero; printf end"))
    [one] = await _found(e2b)
    assert (one.stdout.size, one.stdout.head[:5]) == (3_000_008, b"begin")
    assert one.stdout.tail.endswith(b"end")
    assert len(answer) > 4_000_000


async def test_a_terminal_is_not_kept_twice(e2b: E2bServer) -> None:
    await _start(e2b, {**_shell("echo shown"), "pty": {"size": {"cols": 80, "rows": 24}}})
    assert await _found(e2b) == []
    assert await _finished(e2b) == []


async def test_what_does_not_start_is_not_told_of_as_finished(e2b: E2bServer) -> None:
    await _start(e2b, {"process": {"cmd": "/no/such/program"}})
    assert await _finished(e2b) == []


async def test_what_came_before_its_client_left_is_kept(e2b: E2bServer) -> None:
    async with httpx.AsyncClient(base_url=e2b.base, timeout=30) as client:
        made = await created(client, e2b)
        async with client.stream(
            "POST",
            "/process.Process/Start",
            headers={**CONNECT, "x-access-token": made["envdAccessToken"]},
            content=enveloped(json.dumps(_shell("echo begun; sleep 60")).encode()),
        ) as answer:
            async for piece in answer.aiter_bytes():
                if b"stdout" in piece:
                    break
    with anyio.fail_after(10):
        while not (found := await _found(e2b)):  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.02)
    assert (found[0].stdout.kept, found[0].exit_code) == (b"begun\n", None)
