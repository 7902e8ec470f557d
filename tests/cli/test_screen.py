"""What people read."""

from datetime import UTC, datetime, timedelta

import pytest

from alcove.cli import screen
from alcove.cli.screen import Column

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "now"),
        (-5, "5 s ago"),
        (-100, "100 s ago"),
        (-150, "2 min ago"),
        (-5400, "90 min ago"),
        (-36 * 3600, "36 h ago"),
        (-5 * 86400, "5 d ago"),
        (4 * 3600, "4 h from now".replace(" from now", "")),
    ],
)
def test_times_are_told_as_people_tell_them(seconds: float, text: str) -> None:
    told = screen.ago(NOW + timedelta(seconds=seconds), now=NOW)
    assert told == (f"in {text}" if seconds > 1 else text)


def test_no_time_is_no_text() -> None:
    assert screen.ago(None) == ""


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\rb", "\x07", "\x9b31m", "\u202egnp"])
def test_control_characters_do_not_reach_the_terminal(hostile: str) -> None:
    shown = screen.clean(hostile)
    assert shown.isprintable()


def test_a_table_for_a_program_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_table([Column("NAME"), Column("WHY", 1)], [("a", "w" * 300)], empty="")
    assert capsys.readouterr().out == f"NAME  WHY\na     {'w' * 300}\n"


def test_a_narrow_terminal_loses_the_least_important_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "WIDTH_UNBOUNDED", 20)
    columns = [Column("NAME"), Column("LESS", 2), Column("MORE", 1)]
    screen.print_table(columns, [("a", "b" * 12, "c" * 12)], empty="")
    assert capsys.readouterr().out.splitlines()[0] == "NAME  MORE"


def test_markup_in_what_the_server_says_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_table([Column("NAME")], [("[red]x[/red]",)], empty="")
    screen.say("[bold]y")
    captured = capsys.readouterr()
    assert "[red]x[/red]" in captured.out
    assert "[bold]y" in captured.err


def test_an_empty_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_table([Column("NAME")], [], empty="make one")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "make one\n")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")]
)
def test_sizes_are_told_as_people_tell_them(count: int, text: str) -> None:
    assert screen.size(count) == text
