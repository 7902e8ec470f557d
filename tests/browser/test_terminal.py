"""The web terminal in a real browser: typed in, reloaded, shared, and used on a phone."""

import re

import pytest
from playwright.sync_api import expect

from alcove.model.workspace import Workspace
from tests.browser.conftest import Opener
from tests.browser.harness import ADA, BOB, PHONE, axe
from tests.browser.shells import PROMPT, Shell, no_terminals, shell, workspace

__all__ = ["no_terminals", "shell", "workspace"]
pytestmark = pytest.mark.root


def test_what_is_typed_runs_and_is_shown(shell: Shell) -> None:
    shell.type("echo sum-$((20+22))")
    shell.shows("sum-42")


_CURSOR = """(state) => {
  const cursor = document.querySelector(`.pane${state} .xterm-focus .xterm-cursor-blink`);
  return cursor && getComputedStyle(cursor).backgroundColor;
}"""
"""Its colour once it is in this state, looked at in one go: it changes twice a second."""


def test_the_cursor_blinks_and_leaves_the_page_at_rest(shell: Shell) -> None:
    """While an animation runs a frame is always due, and what comes from the network waits for
    it after each key."""
    shell.shows(PROMPT)
    shell.page.locator(".xterm-cursor-blink").wait_for()
    unlit = shell.page.wait_for_function(_CURSOR, arg=".unlit").json_value()
    assert shell.page.evaluate("document.getAnimations().length") == 0
    shell.page.keyboard.press("x")
    shell.shows(re.compile("[#$] x"))
    assert shell.page.wait_for_function(_CURSOR, arg=":not(.unlit)").json_value() != unlit


def test_a_cursor_at_rest_stays_lit(shell: Shell) -> None:
    shell.shows(PROMPT)
    shell.page.clock.install()
    shell.page.keyboard.press("x")
    shell.shows(re.compile("[#$] x"))
    shell.page.clock.run_for(20_000)
    for _ in range(4):
        assert shell.page.locator(".pane.unlit").count() == 0
        shell.page.clock.run_for(250)


def test_a_reload_keeps_the_screen_and_the_shell(shell: Shell) -> None:
    shell.type("KEPT=yes; echo before-$((1+1))")
    shell.shows("before-2")
    shell.page.reload()
    shell.ready()
    shell.shows("before-2")
    shell.type("echo kept-$KEPT")
    shell.shows("kept-yes")


def test_answers_to_what_was_asked_in_the_past_are_not_typed(shell: Shell) -> None:
    asking = "stty -icanon -echo min 0 time 5; printf '\\033[c\\033[6n'; cat | wc -c; stty sane"
    shell.type(f"clear; {asking}; echo ok-$((1+1))")
    shell.shows(re.compile(r"[1-9]\d*\s*ok-2"))
    shell.page.reload()
    shell.ready()
    shell.type("echo clean-$((1+1))")
    shell.shows("clean-2")
    assert not re.search(r"\d+;\d+R|\?\d+;\d+c", shell.screen)


def test_two_viewers_share_one_terminal(
    shell: Shell, open_page: Opener, workspace: Workspace
) -> None:
    with open_page(ADA, viewport={"width": 700, "height": 500}) as other:
        second = Shell(other, workspace).open()
        second.type("echo from-second-$((1+1))")
        shell.shows("from-second-2")
        shell.type("stty size; echo sized-$((1+1))")
        shell.shows("sized-2")
        second.shows("sized-2")
        expect(shell.page.locator("#said")).to_contain_text("2 viewers")
        sizes = [
            re.findall(r"^(\d+ \d+)\s*$", one.screen, re.MULTILINE) for one in (shell, second)
        ]
        assert sizes[0] == sizes[1]
    expect(shell.page.locator("#said")).to_have_text("")


def test_tabs_are_other_terminals(shell: Shell) -> None:
    page = shell.page
    shell.type("echo in-first-$((1+1))")
    shell.shows("in-first-2")
    page.get_by_role("button", name="New terminal").click()
    shell.ready()
    shell.type("echo in-second-$((1+1))")
    shell.shows("in-second-2")
    assert "in-first-2" not in shell.screen
    page.get_by_role("tab", name="main").click()
    shell.shows("in-first-2")
    expect(page.get_by_role("tab")).to_have_count(2)


def test_a_terminal_is_renamed_for_everybody_and_closed(shell: Shell) -> None:
    page = shell.page
    page.get_by_role("button", name="New terminal").click()
    shell.ready()
    page.get_by_label("This terminal", exact=True).click()
    page.get_by_role("button", name="Rename…").click()
    page.get_by_role("textbox", name="Name").fill("builds")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.get_by_role("tab", name="builds")).to_be_visible()
    page.reload()
    expect(page.get_by_role("tab", name="builds")).to_be_visible()
    page.get_by_label("This terminal", exact=True).click()
    page.get_by_role("button", name="Close…").click()
    page.get_by_role("button", name="Close it").click()
    expect(page.get_by_role("tab", name="builds")).to_have_count(0)


def test_a_shell_that_ended_is_begun_anew(shell: Shell) -> None:
    shell.type("exit 3")
    expect(shell.page.locator("#banner")).to_contain_text("The shell ended with 3.")
    shell.page.get_by_role("button", name="New shell").click()
    shell.ready()
    shell.type("echo again-$((1+1))")
    shell.shows("again-2")


def test_found_text_is_selected(shell: Shell) -> None:
    shell.type("echo needle-in-$((1+1)); seq 1 100")
    shell.shows("100")
    shell.page.keyboard.press("Control+Shift+F")
    shell.page.get_by_label("Find in this terminal").fill("needle-in-2")
    shell.page.keyboard.press("Enter")
    shell.shows("needle-in-2")
    shell.page.keyboard.press("Escape")
    expect(shell.page.locator("#finder")).to_be_hidden()


def test_a_selection_is_copied_and_pasted(shell: Shell) -> None:
    shell.type("clear; echo clip-$((1+1))")
    expect(shell.page.locator(".xterm-rows > div").first).to_contain_text("clip-2")
    row = shell.page.locator(".xterm-rows > div").first.bounding_box()
    assert row is not None
    shell.page.mouse.dblclick(row["x"] + 12, row["y"] + 8)
    shell.page.keyboard.press("Control+Shift+C")
    assert "clip" in str(shell.page.evaluate("navigator.clipboard.readText()"))


def test_a_program_cannot_write_to_the_clipboard(shell: Shell) -> None:
    shell.page.evaluate("navigator.clipboard.writeText('mine')")
    shell.type("printf '\\033]52;c;c3RvbGVu\\a'; echo tried-$((1+1))")
    shell.shows("tried-2")
    assert shell.page.evaluate("navigator.clipboard.readText()") == "mine"


def test_a_link_is_opened_only_after_its_real_address_was_shown(shell: Shell) -> None:
    line = "\\033]8;;https://evil.example/x\\abank\\033]8;;\\a"
    shell.type(f"clear; printf '{line} done-%s\\n' $((1+1))")
    shell.shows("bank done-2")
    last = shell.page.locator(".xterm-rows > div", has_text=re.compile("^bank done-2"))
    row = last.bounding_box()
    assert row is not None
    shell.page.mouse.move(row["x"] + 12, row["y"] + 8, steps=5)
    shell.page.mouse.click(row["x"] + 12, row["y"] + 8)
    asking = shell.page.locator("#ask")
    expect(asking).to_contain_text("https://evil.example/x")
    asking.get_by_role("button", name="Cancel").click()
    assert len(shell.page.context.pages) == 1


def test_a_hostile_title_is_text_and_bounded(shell: Shell) -> None:
    shell.type("printf '\\033]2;<img src=x onerror=alert(1)>%0400d\\a' 0; sleep 20")
    tab = shell.page.get_by_role("tab", selected=True)
    expect(tab).to_contain_text("<img src=x")
    assert len(tab.inner_text()) <= 80
    assert shell.page.locator("#tabs img").count() == 0


def test_much_output_leaves_the_page_and_ctrl_c_alive(shell: Shell) -> None:
    shell.type("yes 0123456789012345678901234567890123456789")
    shell.shows("0123456789")
    shell.page.wait_for_timeout(1500)
    worst = shell.page.evaluate(
        """() => new Promise(done => {
             let worst = 0, last = performance.now(), left = 30
             const tick = now => {
               worst = Math.max(worst, now - last)
               last = now
               if (left-- > 0) requestAnimationFrame(tick)
               else done(worst)
             }
             requestAnimationFrame(tick)
           })"""
    )
    assert float(worst) < 1000
    shell.page.keyboard.press("Control+C")
    shell.type("clear; echo stopped-$((1+1))")
    shell.shows("stopped-2")


def test_a_phone_has_the_keys_that_its_keyboard_lacks(
    open_page: Opener, workspace: Workspace
) -> None:
    with open_page(ADA, viewport=PHONE) as phone:
        shell = Shell(phone, workspace).open()
        shell.type("sed -u s/a/-found/")
        shell.type("a")
        shell.shows("-found")  # it runs: a signal that came before would be the shell's
        phone.get_by_role("button", name="Ctrl").tap()
        phone.keyboard.type("c")
        shell.type("echo out-$((1+1))")
        shell.shows("out-2")
        phone.get_by_role("button", name="Up").tap()
        below = phone.evaluate("document.documentElement.scrollHeight - innerHeight")
        assert below <= 0
        assert axe(phone) == []


def test_nobody_is_locked_in_by_the_keyboard(shell: Shell) -> None:
    shell.page.keyboard.press("Control+Shift+L")
    expect(shell.page.get_by_role("tab", selected=True)).to_be_focused()
    shell.page.keyboard.press("Tab")
    expect(shell.page.get_by_role("button", name="New terminal")).to_be_focused()


def test_what_is_shown_can_be_read_aloud(shell: Shell) -> None:
    shell.page.get_by_label("This terminal", exact=True).click()
    shell.page.get_by_role("button", name="For a screen reader").click()
    shell.ready()
    shell.type("echo aloud-$((1+1))")
    expect(shell.page.locator(".xterm-accessibility")).to_contain_text("aloud-2")
    assert axe(shell.page) == []


def test_the_page_has_no_faults_of_access(
    open_page: Opener, workspace: Workspace, theme: str
) -> None:
    with open_page(ADA, theme=theme) as page:
        shell = Shell(page, workspace).open()
        shell.type("ls --color=always /; echo seen-$((1+1))")
        shell.shows("seen-2")
        assert axe(page) == []


def test_without_javascript_the_page_names_the_command(
    open_page: Opener, workspace: Workspace
) -> None:
    with open_page(ADA, javascript=False) as page:
        page.goto(f"/workspaces/{workspace.id}/terminal")
        expect(page.locator("noscript h2")).to_be_visible()
        expect(page.locator("noscript code")).to_have_text("alcove ssh shells")


def test_somebody_elses_terminal_is_not_there(open_page: Opener, workspace: Workspace) -> None:
    with open_page(BOB) as page:
        answer = page.goto(f"/workspaces/{workspace.id}/terminal")
        assert answer is not None
        assert answer.status == 404
