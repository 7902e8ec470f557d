"""Recordings in a real browser: found, replayed, harmless."""

from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from alcove.core import execs
from alcove.core.agent import Call
from alcove.core.execs import shell
from alcove.core.frames import Frame
from alcove.model.recording import RecordingState, SessionKind
from alcove.store import recordings
from alcove.store.recordings import RecordingFilters
from tests.browser import harness
from tests.browser.conftest import Opener
from tests.browser.harness import ADA, BOB, MAX, Site, axe


@pytest.fixture(scope="module")
def site(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """One that records."""
    data = tmp_path_factory.mktemp("data")
    (data / "server").mkdir()
    file = tmp_path_factory.mktemp("site") / "alcove.db"
    file.write_bytes(migrated_file.read_bytes())
    with harness.site(f"sqlite:///{file}", data_dir=data, recording="require") as found:
        yield found


def _recorded(site: Site, ref: str, line: str, *, actor: harness.Actor = ADA) -> str:
    """Runs the line in a terminal; answers the id of its recording."""

    async def act() -> str:
        call = Call(
            command=shell(line), terminal=(80, 24), kind=SessionKind.SSH, shown=(line,), stdin=True
        )
        async with execs.process(site.core, actor, ref, call) as process:
            async for kind, _ in process.frames():
                if kind is Frame.EXIT:
                    break
        async with site.core.db.read() as tx:
            found = await recordings.find(tx, RecordingFilters(), after=None, limit=1)
        assert found[0].state is RecordingState.FINISHED
        return found[0].id

    return site.call(act)


MARKED = (
    r"printf '\033]133;A\007$ \033]133;B\007make test\r\n\033]133;C\007'; echo passed;"
    r" printf '\033]133;D;0\007'; sleep 1; printf '\033]133;A\007$ \033]133;B\007false\r\n"
    r"\033]133;C\007\033]133;D;1\007'"
)


def test_a_recording_is_found_and_replayed(site: Site, page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    made = site.workspace(f"replayed-{theme}")
    id = _recorded(site, made.id, MARKED)
    page.goto("/recordings")
    expect(page.locator("tbody tr").first).to_contain_text("complete")
    assert axe(page) == []
    page.locator(f"a[href='/recordings/{id}']").click()
    page.get_by_role("button", name="make test").click()
    page.get_by_role("group", name="Replay of the terminal").press("9")
    expect(page.locator(".ap-term-text")).to_contain_text("passed")
    expect(page.locator("#commands")).to_contain_text("exit 1")
    assert axe(page) == []


HOSTILE = "<img src=x onerror=document.title='owned'>"


def test_what_was_shown_and_its_title_do_nothing_to_the_page(site: Site, page: Page) -> None:
    made = site.workspace("hostile")
    line = (
        f"printf '%s' \"{HOSTILE}\"; printf '\\033]0;owned\\007\\033]52;c;b3duZWQ=\\007';"
        f" printf '\\033]133;B\\007%s\\033]133;C\\007' \"{HOSTILE}\"; sleep 1; echo done"
    )
    id = _recorded(site, made.id, line)
    page.goto("/recordings")
    expect(page.locator("tbody tr").first).to_contain_text("onerror")
    page.evaluate("navigator.clipboard.writeText('mine')")
    page.goto(f"/recordings/{id}")
    expect(page.locator("#commands button")).to_contain_text(HOSTILE)
    page.get_by_role("group", name="Replay of the terminal").press("9")
    expect(page.locator(".ap-term-text")).to_contain_text("onerror")
    assert page.locator("main img").count() == 0
    assert "owned" not in page.title().partition("<img")[0]
    assert page.evaluate("navigator.clipboard.readText()") == "mine"


def test_a_search_finds_what_was_shown(site: Site, page: Page) -> None:
    made = site.workspace("searched")
    _recorded(site, made.id, "printf 'a nee'; echo dle, surely")
    page.goto("/recordings")
    page.get_by_label("Search what terminals showed").fill("NEEDLE, surely")
    page.locator("main").get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Search what terminals showed").fill("no such words")
    page.locator("main").get_by_role("button", name="Search").click()
    expect(page.locator("main")).to_contain_text("Nothing matches")


def test_others_are_not_found_and_an_admin_deletes(
    site: Site, page: Page, open_page: Opener
) -> None:
    made = site.workspace("theirs", owner=BOB)
    id = _recorded(site, made.id, "echo private", actor=BOB)
    page.goto(f"/recordings/{id}")
    expect(page.locator("main")).to_contain_text("not yours to see")
    with open_page(MAX, javascript=False) as admin:
        admin.goto(f"/recordings/{id}")
        admin.get_by_text("Delete this recording").click()
        admin.get_by_role("button", name="Delete", exact=True).click()
        admin.goto(f"/recordings/{id}")
        expect(admin.locator("main")).to_contain_text("there is no recording")


def test_only_this_page_may_run_webassembly(site: Site, page: Page) -> None:
    made = site.workspace("policy")
    id = _recorded(site, made.id, "true")
    policies: dict[str, str] = {}
    for path in (f"/recordings/{id}", "/recordings"):
        answer = page.goto(path)
        assert answer is not None
        policies[path] = answer.headers["content-security-policy"]
    one, other = policies.values()
    assert one.replace(" 'wasm-unsafe-eval'", "") == other
    assert one != other


def test_what_a_command_wrote_is_found_and_read(site: Site, page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    made = site.workspace(f"commands-{theme}")
    line = f": {theme}; printf '%s' \"{HOSTILE}\"; printf '\\033[2J\\033]0;owned\\007'"

    async def act() -> None:
        await execs.run(site.core, ADA, made.id, Call(command=shell(line)))
        await site.core.journal.flush(site.core)

    site.call(act)
    page.goto("/recordings")
    page.get_by_role("link", name="Commands", exact=True).click()
    assert axe(page) == []
    page.locator("tbody tr a").first.click()
    expect(page.locator("pre.log")).to_contain_text(f"{HOSTILE}\\x1b[2J\\x1b]0;owned\\x07")
    assert page.title() != "owned"
    assert page.locator("pre img").count() == 0
    assert axe(page) == []
