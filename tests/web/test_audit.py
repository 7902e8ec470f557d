"""The log reader and its exports."""

import csv
import io
import json

import pytest

from alcove.core import events
from alcove.model.event import EventKind, NewEvent
from alcove.store import events as rows
from alcove.web.audit import summary
from alcove.web.audit_export import harmless
from tests.api.served import ADA, BOB, Served
from tests.web.operators import HOSTILE, browser, is_safe


async def told(api: Served, **detail: object) -> None:
    new = NewEvent(EventKind.EXEC_FINISHED, ADA.id, "ws-x", owner=ADA.id, detail=detail)
    async with api.core.db.transaction() as tx:
        await rows.append(tx, api.core.clock(), new)


async def test_it_says_who_did_what_to_what(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    page = (await (await browser(api, "eve")).get("/audit?type=workspace.created")).text
    for words in ("root", "workspace.created", "mine", f"/workspaces/{made.id}"):
        assert words in page
    assert "session.opened" not in page.partition('id="log"')[2]


async def test_members_see_what_is_theirs(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    await api.workspace(BOB, name="theirs")
    page = (await (await browser(api, "ada")).get("/audit")).text
    assert "mine" in page
    assert "theirs" not in page


async def test_a_range_of_time_and_a_noun_filter(api: Served) -> None:
    await api.workspace(ADA, name="morning")
    api.world.clock.move(hours=2)
    await api.workspace(ADA, name="evening")
    client = await browser(api, "max")
    page = (await client.get("/audit?type=workspace.*&since=2026-01-01T01:00")).text
    assert "evening" in page
    assert "morning" not in page
    page = (await client.get("/audit?until=2026-01-01T01:00")).text
    assert "morning" in page
    assert "evening" not in page.partition('id="log"')[2]


async def test_a_moment_that_is_none_is_told_beside_it(api: Served) -> None:
    answer = await (await browser(api, "max")).get("/audit?since=yesterday")
    assert answer.status_code == 422
    assert 'id="since-fault">is no moment' in answer.text


async def test_somebody_unknown_did_nothing(api: Served) -> None:
    page = (await (await browser(api, "max")).get("/audit?actor=nobody-such")).text
    assert "No such event" in page


async def test_words_are_looked_for_in_a_bounded_part(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SCAN_MAX", 5)
    await told(api, said="needle")
    for _ in range(6):
        await told(api, said="hay")
    client = await browser(api, "max")
    page = (await client.get("/audit/list?q=needle")).text
    assert "Not among the newest" in page
    before = int(page.partition("before=")[2].partition('"')[0].partition("&")[0])
    assert "needle" in (await client.get(f"/audit/list?q=needle&before={before}")).text


@pytest.mark.parametrize("name", ["type", "actor", "owner", "subject", "since", "until", "q"])
async def test_no_filter_is_markup(api: Served, name: str) -> None:
    answer = await (await browser(api, "max")).get("/audit", params={name: HOSTILE})
    assert is_safe(answer.text)


async def test_nothing_that_is_told_is_markup(api: Served) -> None:
    await told(api, name=HOSTILE, command=HOSTILE, error=HOSTILE)
    page = (await (await browser(api, "max")).get("/audit")).text
    assert "alert(1)" in page
    assert is_safe(page)


async def test_json_lines_have_each_event_and_say_that_they_were_taken(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    client = await browser(api, "eve")
    answer = await client.get("/audit/export?type=workspace.created")
    [line] = [json.loads(line) for line in answer.text.splitlines()]
    assert (line["type"], line["owner"], line["detail"]["template"]) == (
        "workspace.created",
        "ada",
        "python",
    )
    assert "attachment" in answer.headers["content-disposition"]
    [done] = [e for e in await api.world.events() if e.kind == "audit.exported"]
    assert done.detail["kinds"] == ["workspace.created"]


async def test_an_export_is_bounded_and_says_so(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "EXPORT_MAX", 3)
    for number in range(5):
        await told(api, number=number)
    answer = await (await browser(api, "max")).get("/audit/export?type=exec.finished")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("detail", {}).get("number") for line in lines[:3]] == [4, 3, 2]
    assert lines[3]["type"] == "truncated"


async def test_a_members_export_is_of_what_is_theirs(api: Served) -> None:
    await api.workspace(BOB, name="theirs")
    answer = await (await browser(api, "ada")).get("/audit/export")
    assert "theirs" not in answer.text


@pytest.mark.parametrize("begins", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_is_words(begins: str) -> None:
    assert harmless(begins) == f"'{begins}"
    assert harmless("1=1") == "1=1"


async def test_no_cell_of_a_csv_is_a_formula(api: Served) -> None:
    new = NewEvent(EventKind.EXEC_FINISHED, ADA.id, "=cmd()", address="@evil", detail={"a": "b"})
    async with api.core.db.transaction() as tx:
        await rows.append(tx, api.core.clock(), new)
    answer = await (await browser(api, "max")).get("/audit/export?format=csv&type=exec.finished")
    head, line = csv.reader(io.StringIO(answer.text))
    found = dict(zip(head, line, strict=True))
    assert (found["subject"], found["address"]) == ("'=cmd()", "'@evil")
    assert json.loads(found["detail"]) == {"a": "b"}


def test_a_line_says_the_reason_first_and_ends() -> None:
    assert summary({"name": "x", "from": "a", "to": "b", "reason": "idle"}) == "a → b, idle"
    assert len(summary({"error": "x" * 999})) == 161
