"""Server-sent events, however the network cuts them."""

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.sdk.sse import EVENT_MAX, Parser, ServerSentEvent

STREAM = (
    ": hello\n\n"
    'id: 7\nevent: workspace.created\ndata: {"a":\ndata: 1}\n\n'
    "data: second\r\n\r\n"
    "id: 9\ndata: größer\n\n"
).encode()
EVENTS = [
    ServerSentEvent("workspace.created", '{"a":\n1}', "7"),
    ServerSentEvent("message", "second", "7"),
    ServerSentEvent("message", "größer", "9"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    parser = Parser()
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    assert [event for piece in pieces for event in parser.feed(piece)] == EVENTS


def test_a_comment_is_no_event() -> None:
    assert list(Parser().feed(b": beat\n\n: beat\n\n")) == []


def test_an_unfinished_event_is_not_given() -> None:
    assert list(Parser().feed(b"data: half\n")) == []


def test_the_last_id_is_kept_for_a_reconnection() -> None:
    parser = Parser()
    list(parser.feed(b"id: 41\ndata: x\n\n: beat\n\n"))
    assert parser.last_event_id == "41"


def test_an_id_with_nul_is_ignored() -> None:
    assert [e.id for e in Parser().feed(b"id: a\0b\ndata: x\n\n")] == [""]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_event_without_an_end_is_refused(end: bytes) -> None:
    parser = Parser()
    endless = (b"data: " + b"x" * 65536 + end for _ in range(EVENT_MAX // 65536 + 2))
    with pytest.raises(ValueError, match="event"):
        list(chain.from_iterable(parser.feed(piece) for piece in endless))
