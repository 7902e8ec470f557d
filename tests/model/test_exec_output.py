"""What is kept of a stream, and how it is shown."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.exec_output import Ends, ExecOutput, ExecOutputId, Kept, shown
from alcove.model.workspace import UserId, WorkspaceId
from tests.model.test_lifecycle import T0

OUTPUT = ExecOutput(
    id=ExecOutputId("x-1"),
    workspace=WorkspaceId("w1"),
    owner=UserId("u1"),
    actor=UserId("u1"),
    command="make",
    exit_code=0,
    duration_ms=1.0,
    stdout=Kept(b"ab", 2),
    stderr=Kept(b"cd", 2),
    at=T0,
    expires_at=None,
)
PIECES = st.lists(st.binary(max_size=20), max_size=12)


@given(pieces=PIECES, most=st.integers(1, 16))
def test_both_ends_are_kept_and_the_middle_is_counted(pieces: list[bytes], most: int) -> None:
    ends, whole = Ends(most), b"".join(pieces)
    for piece in pieces:
        ends.add(piece)
    kept = ends.kept()
    assert kept.size == len(whole)
    if len(whole) <= 2 * most:
        assert (kept.head, kept.tail, kept.dropped) == (whole, b"", 0)
    else:
        assert (kept.head, kept.tail) == (whole[:most], whole[-most:])
        assert kept.dropped == len(whole) - 2 * most


def test_a_long_piece_is_not_held() -> None:
    ends = Ends(10)
    ends.add(b"x" * 1_000_000)
    ends.add(b"y" * 1_000_000)
    assert ends.kept() == Kept(b"x" * 10 + b"y" * 10, 2_000_000)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\r\ntext\n\ttab", "plain\ntext\n\ttab"),
        (b"\x1b]52;c;b3du\x07", r"\x1b]52;c;b3du\x07"),
        (b"secret\rhidden\b\b", r"secret\rhidden\x08\x08"),
        (b"\x9b31m", "\ufffd31m"),
        ("\u202eevil\u2066".encode(), r"\u202eevil\u2066"),
        ("\u0085\u2028\u200b".encode(), r"\x85\u2028\u200b"),
        ("grüße 日本".encode(), "grüße 日本"),
        (b"\xff\x00", "\ufffd\\x00"),
    ],
)
def test_what_is_shown_is_harmless(data: bytes, text: str) -> None:
    assert shown(data) == text


@pytest.mark.parametrize(
    "other",
    [
        replace(OUTPUT, id=ExecOutputId("x-2")),
        replace(OUTPUT, command="make test"),
        replace(OUTPUT, exit_code=1),
        replace(OUTPUT, exit_code=None),
        replace(OUTPUT, stdout=Kept(b"xb", 2)),
        replace(OUTPUT, stderr=Kept(b"xd", 2)),
        replace(OUTPUT, stdout=Kept(b"ab", 900)),
        replace(OUTPUT, stderr=Kept(b"cd", 900)),
        replace(OUTPUT, stdout=Kept(b"abc", 3), stderr=Kept(b"d", 1)),
    ],
)
def test_what_was_changed_later_has_another_digest(other: ExecOutput) -> None:
    assert other.digest != OUTPUT.digest


def test_the_digest_is_of_256_bits_and_stays() -> None:
    assert len(bytes.fromhex(OUTPUT.digest)) == 32
    assert replace(OUTPUT, expires_at=T0).digest == OUTPUT.digest
