"""What `alcove recordings play` lets through to the terminal."""

import time

import pytest

from alcove.cli.recordings import events
from alcove.cli.replay import Harmless

COPY = "\x1b]52;c;cm0gLXJmIC8=\x07"


@pytest.mark.parametrize(
    "hostile",
    [
        COPY,
        "\x1b]0;title\x1b\\",
        "\x9d2;title\x9c",
        '\x1bP$q"p\x1b\\',
        "\x1b_Gi=1,a=q;AAAA\x1b\\",
        "\x1b[6n",
        "\x1b[c",
        "\x1b[>0q",
        "\x1b[21t",
        "\x9b5n",
        "\x1bZ",
        "\x05",
    ],
)
def test_what_does_more_than_draw_is_left_out(hostile: str) -> None:
    assert Harmless().feed(f"a{hostile}b") == "ab"


@pytest.mark.parametrize("hostile", [COPY, "\x1b[6n", "\x1b]0;x\x1b\\"])
def test_it_is_left_out_when_it_comes_in_pieces(hostile: str) -> None:
    for at in range(1, len(hostile)):
        drawn = Harmless()
        assert drawn.feed("a" + hostile[:at]) + drawn.feed(hostile[at:] + "b") == "ab"


def test_colours_and_movements_go_through() -> None:
    drawn = "\x1b[1;31mred\x1b[0m\x1b[2J\x1b[3;4H\x1b[?25l\x1b(B\ttab\r\n"
    assert Harmless().feed(drawn) == drawn


@pytest.mark.parametrize("filler", ["\x90", "\x1b]", "\x1b[", "\x9b0", "\x1b"])
def test_sequences_without_an_end_take_no_time(filler: str) -> None:
    began = time.perf_counter()
    Harmless().feed(filler * 200_000)
    assert time.perf_counter() - began < 2


def test_what_is_no_line_of_a_recording_is_left_out() -> None:
    body = [b'{"version": 2}\n[0.1, "o", "he', b'llo"]\n[nonsense\n[1, 2, 3]\n[0.2, "r", "9x9"]\n']
    assert list(events(iter(body))) == [(0.1, "o", "hello"), (0.2, "r", "9x9")]
