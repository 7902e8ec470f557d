"""`/recordings` over HTTP: who finds what, ranges, and that reading is told of."""

import json
from typing import Any

import httpx
import pytest

from alcove.model.event import EventKind
from alcove.store.events import EventFilters, read
from tests.api.recordings import made_recording
from tests.api.served import ADA, BOB, EVE, MAX, Served
from tests.conftest import T0

LIST = "/api/v2/recordings"


async def _ids(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get(LIST, params=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def _reads(api: Served) -> list[tuple[str, dict[str, Any]]]:
    async with api.core.db.read() as tx:
        found = await read(tx, after=0, filters=EventFilters(kinds=(EventKind.RECORDING_READ,)))
    return [(event.subject, dict(event.detail)) for event in found]


async def test_one_sees_those_of_ones_own_workspaces(api: Served) -> None:
    mine = await made_recording(api, ADA)
    await made_recording(api, BOB)
    assert await _ids(await api.client(ADA)) == [mine.id]


async def test_an_auditor_sees_all(api: Served) -> None:
    made = {(await made_recording(api, one)).id for one in (ADA, BOB)}
    assert set(await _ids(await api.client(EVE))) == made


async def test_what_an_admin_did_in_a_workspace_is_its_owners_to_see(api: Served) -> None:
    made = await made_recording(api, ADA, by=MAX)
    client = await api.client(ADA)
    assert await _ids(client, actor="max") == [made.id]
    assert (await client.get(f"{LIST}/{made.id}")).json()["actor"] == "max"
    assert await _ids(client, actor="me") == []


async def test_filters_narrow_the_list(api: Served) -> None:
    one = await made_recording(api, ADA, title="one")
    two = await made_recording(api, BOB, title="two")
    client = await api.client(MAX)
    assert await _ids(client, owner="bob") == [two.id]
    assert await _ids(client, workspace=one.workspace) == [one.id]
    assert await _ids(client, kind="ssh") == []
    assert await _ids(client, until=T0.isoformat()) == []
    assert len(await _ids(client, since=T0.isoformat())) == 2
    assert await _ids(client, owner="nobody") == []


async def test_the_pages_of_a_list_have_each_once(api: Served) -> None:
    made = {(await made_recording(api, ADA)).id for _ in range(5)}
    client = await api.client(ADA)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(LIST, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == made


@pytest.mark.parametrize(
    ("shown", "asked"),
    [
        (b"error: disk on fire\r\n", "Disk On"),
        (b"\x1b[31mer\x1b[0mror\r\n", "error"),
        (b"sl\b\bls -la\r\n", "ls -la"),
        ("grüße\r\n".encode(), "GRÜSSE"),
        (b"100% done_\r\n", "0% done_"),
    ],
)
async def test_a_search_finds_what_was_shown(api: Served, shown: bytes, asked: str) -> None:
    made = await made_recording(api, ADA, shown)
    await made_recording(api, ADA, b"nothing of the kind, 100 done!\r\n")
    assert await _ids(await api.client(ADA), q=asked) == [made.id]


async def test_a_search_finds_nothing_of_others(api: Served) -> None:
    await made_recording(api, BOB, b"secret plan\r\n")
    assert await _ids(await api.client(ADA), q="secret plan") == []


async def test_a_search_is_told_of_without_its_words(api: Served) -> None:
    made = await made_recording(api, ADA, b"token hunter2\r\n")
    await _ids(await api.client(EVE), q="hunter2")
    [(_, detail)] = await _reads(api)
    assert detail == {"how": "search", "found": [made.id]}


async def test_reading_one_is_told_of(api: Served) -> None:
    made = await made_recording(api, ADA)
    client = await api.client(EVE)
    await client.get(f"{LIST}/{made.id}")
    assert await _reads(api) == []
    answer = await client.get(f"{LIST}/{made.id}/cast")
    assert answer.status_code == 200
    assert await _reads(api) == [(made.id, {"workspace": made.workspace, "how": "cast"})]


async def test_the_cast_is_the_file(api: Served) -> None:
    made = await made_recording(api, ADA, "h\u00e9".encode()[:2], "h\u00e9llo".encode()[2:])
    answer = await (await api.client(ADA)).get(f"{LIST}/{made.id}/cast")
    assert answer.headers["content-type"] == "application/x-asciicast"
    assert answer.headers["content-disposition"].startswith("attachment")
    header, *lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert "".join(line[2] for line in lines) == "h\u00e9llo"


async def test_bytes_that_are_no_text_are_marked_as_such(api: Served) -> None:
    made = await made_recording(api, ADA, b"a\xffb", b"\xe2\x82")
    answer = await (await api.client(ADA)).get(f"{LIST}/{made.id}/cast")
    lines = [json.loads(line) for line in answer.text.splitlines()[1:]]
    assert "".join(line[2] for line in lines) == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("bytes=5-9", 5, 10), ("bytes=20-", 20, None), ("bytes=-7", -7, None)],
)
async def test_a_part_is_a_part(api: Served, asked: str, begin: int, end: int | None) -> None:
    made = await made_recording(api, ADA)
    client = await api.client(ADA)
    whole = (await client.get(f"{LIST}/{made.id}/cast")).content
    part = await client.get(f"{LIST}/{made.id}/cast", headers={"range": asked})
    assert part.status_code == 206
    assert part.content == whole[begin:end]
    assert part.headers["content-range"].endswith(f"/{len(whole)}")


async def test_a_part_behind_the_end_is_refused(api: Served) -> None:
    made = await made_recording(api, ADA)
    client = await api.client(ADA)
    answer = await client.get(f"{LIST}/{made.id}/cast", headers={"range": "bytes=99999-"})
    assert answer.status_code == 416


async def test_commands_are_those_that_the_shell_marked(api: Served) -> None:
    a, b, c, d = (f"\x1b]133;{letter}\x07" for letter in "ABCD")
    shown = f"{a}$ {b}make tesx\b \bt\r\n{c}ok\r\n\x1b]133;D;0\x07{a}$ {b}false\r\n{c}{d}"
    pieces = [shown[at : at + 3].encode() for at in range(0, len(shown), 3)]
    made = await made_recording(api, ADA, *pieces)
    answer = await (await api.client(ADA)).get(f"{LIST}/{made.id}/commands")
    found = [(one["text"], one["exit_code"]) for one in answer.json()["items"]]
    assert found == [("make test", 0), ("false", None)]


async def test_commands_are_not_guessed(api: Served) -> None:
    made = await made_recording(api, ADA, b"$ ls\r\nfile\r\n$ exit\r\n")
    answer = await (await api.client(ADA)).get(f"{LIST}/{made.id}/commands")
    assert answer.json()["items"] == []


async def test_an_admin_deletes_one_and_that_is_told(api: Served) -> None:
    made = await made_recording(api, ADA)
    client = await api.client(MAX)
    assert (await client.delete(f"{LIST}/{made.id}")).status_code == 204
    assert (await client.get(f"{LIST}/{made.id}")).status_code == 404
    events = [e for e in await api.world.events() if e.kind == EventKind.RECORDING_REMOVED]
    assert [(e.subject, e.actor, e.detail["head"]) for e in events] == [
        (made.id, MAX.id, made.digest)
    ]


async def test_a_proof_says_what_is_broken(api: Served) -> None:
    made = await made_recording(api, ADA)
    client = await api.client(EVE)
    assert (await client.get(f"{LIST}/{made.id}/proof")).json()["intact"] is True
    async with api.core.db.transaction() as tx:
        await tx.exec_driver_sql("delete from events where kind = 'recording.extended'")
    said = (await client.get(f"{LIST}/{made.id}/proof")).json()
    assert (said["intact"], said["chunk"]) == (False, 1)


@pytest.mark.parametrize("q", ["x" * 201, "a\x00b", "a\nb"])
async def test_a_search_for_what_nobody_sees_is_refused(api: Served, q: str) -> None:
    answer = await (await api.client(ADA)).get(LIST, params={"q": q})
    assert answer.status_code in {400, 422}
    assert any("q" in error["field"] for error in answer.json()["errors"])
