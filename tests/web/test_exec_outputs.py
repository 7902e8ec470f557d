"""The pages of what commands wrote: who sees them, that reading is told of, and that what was
written is text and nothing else."""

import html

from alcove.model.event import EventKind
from tests.api.exec_outputs import made_output
from tests.api.served import ADA, BOB, Served
from tests.web.test_pages import browser

LIST = "/recordings/commands"


async def _reads(api: Served) -> list[str]:
    return [e.subject for e in await api.world.events() if e.kind == EventKind.RECORDING_READ]


async def test_the_list_has_ones_own_without_what_they_wrote(api: Served) -> None:
    mine = await made_output(api, ADA, b"hunter2", command="cat key")
    theirs = await made_output(api, BOB)
    page = (await (await browser(api)).get(LIST)).text
    assert f"{LIST}/{mine.id}" in page
    assert "cat key" in page
    assert theirs.id not in page
    assert "hunter2" not in page
    assert await _reads(api) == []


async def test_a_search_finds_it(api: Served) -> None:
    made = await made_output(api, ADA, b"disk on fire")
    other = await made_output(api, ADA, b"all is well")
    page = (await (await browser(api)).get(LIST, params={"q": "ON FIRE"})).text
    assert made.id in page
    assert other.id not in page


async def test_one_is_shown_and_that_is_told_of(api: Served) -> None:
    made = await made_output(api, ADA, b"out & about\n", stderr=b"oh\n")
    page = (await (await browser(api)).get(f"{LIST}/{made.id}")).text
    assert "out &amp; about" in page
    assert "oh" in page
    assert await _reads(api) == [made.id]


async def test_somebody_elses_is_not_there(api: Served) -> None:
    made = await made_output(api, BOB, b"secret plan")
    answer = await (await browser(api)).get(f"{LIST}/{made.id}")
    assert answer.status_code == 404
    assert "secret plan" not in answer.text
    assert await _reads(api) == []


async def test_what_was_written_is_text_and_nothing_else(api: Served) -> None:
    hostile = "<script>alert(1)</script>\x1b]0;owned\x07\u202egnp.exe\x00".encode() + b"\xff"
    made = await made_output(api, ADA, hostile, command="<img src=x>")
    page = (await (await browser(api)).get(f"{LIST}/{made.id}")).text
    for part in ("<script>alert", "<img src=x", "\x1b", "\x07", "\x00", "\u202e"):
        assert part not in page, part
    assert r"<script>alert(1)</script>\x1b]0;owned\x07\u202egnp.exe\x00" in html.unescape(page)


async def test_what_is_left_out_is_said(api: Served) -> None:
    most = api.core.settings.exec_output_bytes
    made = await made_output(api, ADA, b"a" * most + b"-" * 2048 + b"z" * most)
    page = (await (await browser(api)).get(f"{LIST}/{made.id}")).text
    assert "2 KiB were not kept" in page
    assert "a" * most in page
    assert "-" * 10 not in page.partition("<pre")[2].rpartition("</pre>")[0]


async def test_what_was_changed_is_said(api: Served) -> None:
    made = await made_output(api, ADA)
    ada = await browser(api)
    said = "not what the event log says"
    assert said not in (await ada.get(f"{LIST}/{made.id}")).text
    async with api.core.db.transaction() as tx:
        await tx.exec_driver_sql("update exec_outputs set command = 'rm -rf /'")
    assert said in (await ada.get(f"{LIST}/{made.id}")).text


async def test_an_admin_deletes_it_and_its_owner_cannot(api: Served) -> None:
    made = await made_output(api, ADA)
    ada, admin = await browser(api), await browser(api, "max")
    assert "Delete this output" not in (await ada.get(f"{LIST}/{made.id}")).text
    assert (await ada.post(f"{LIST}/{made.id}/delete")).status_code == 403
    assert "Delete this output" in (await admin.get(f"{LIST}/{made.id}")).text
    assert (await admin.post(f"{LIST}/{made.id}/delete")).status_code == 303
    assert (await ada.get(f"{LIST}/{made.id}")).status_code == 404


async def test_the_page_of_recordings_leads_there(api: Served) -> None:
    page = (await (await browser(api)).get("/recordings")).text
    assert f'href="{LIST}"' in page
