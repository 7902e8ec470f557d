"""The parts of MCP that need no server: bounds, lines, sessions, advice."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.mcp.advice import advised
from alcove.mcp.bounded import Bounded, bounded
from alcove.mcp.sessions import UnderWay, is_session, new_session
from alcove.mcp.tools.editing import EditArguments, places_of, refused
from alcove.mcp.tools.files import Lines
from alcove.model.access import Actor, Role
from alcove.model.errors import Denied, FieldError, Invalid, NotFound, TooMany
from alcove.model.workspace import UserId
from tests.api.served import Served


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_output_keeps_its_beginning_and_end_and_counts_the_rest(pieces: list[bytes]) -> None:
    kept = Bounded(head_max=16, tail_max=24)
    for piece in pieces:
        kept.add(piece)
    whole = b"".join(pieces)
    assert kept.size == len(whole)
    assert kept.left_out == max(0, len(whole) - 40)
    if not kept.left_out:
        assert kept.text() == whole.decode(errors="replace")
    else:
        assert kept.text().startswith(whole[:16].decode(errors="replace"))
        assert kept.text().endswith(whole[-24:].decode(errors="replace"))


def test_a_text_that_fits_is_left_alone() -> None:
    assert bounded("short") == "short"
    assert "5 bytes left out" in bounded("x" * 15, head_max=5, tail_max=5)


@given(
    st.lists(st.text(alphabet="abé ", max_size=6), max_size=12),
    st.booleans(),
    st.integers(1, 14),
    st.integers(1, 14),
    st.integers(1, 7),
)
def test_lines_are_picked_as_they_are_in_whatever_pieces_they_come(
    lines: list[str], ended: bool, first: int, count: int, step: int
) -> None:
    text = "\n".join(lines) + ("\n" if ended and lines and lines[-1] else "")
    data = text.encode()
    picked = Lines(first, count)
    for start in range(0, len(data), step):
        if picked.add(data[start : start + step]):
            break
    found = picked.answer("f")
    there = text.split("\n")
    if there and there[-1] == "":
        there.pop()
    assert found.text == "\n".join(there[first - 1 : first - 1 + count])
    if found.total_lines is not None:
        assert found.total_lines == len(there)
    assert found.truncated == (len(there) > first - 1 + count)


def arguments(old: str, new: str = "n", *, replace_all: bool = False) -> EditArguments:
    return EditArguments(
        sandbox="s", path="a", old_text=old, new_text=new, replace_all=replace_all
    )


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("a b a", arguments("a"), "2 matches in a, on lines 1, 1"),
        ("a\nb", arguments("c"), "0 matches in a."),
        ("a\r\nb", arguments("a\nb"), "end with \\r\\n"),
        ("def  f():", arguments("def f():"), "white space"),
        ("a", arguments("a", "a"), "nothing would change"),
        ("aaa", arguments("aa"), ""),
        ("a b a", arguments("a", replace_all=True), ""),
    ],
)
def test_an_edit_is_refused_with_what_to_do(text: str, asked: EditArguments, said: str) -> None:
    refusal = refused(text, places_of(text, asked.old_text), asked)
    assert said in refusal
    assert bool(refusal) == bool(said)


async def test_a_session_is_good_for_its_credential_alone(api: Served) -> None:
    core = api.core
    ada = Actor(id=UserId("u-1"), name="ada", role=Role.MEMBER, credential="t-1")
    id = new_session(core, ada)
    assert is_session(core, ada, id)
    other = Actor(id=UserId("u-1"), name="ada", role=Role.MEMBER, credential="t-2")
    assert not is_session(core, other, id)
    assert not is_session(core, ada, id.upper())
    assert id != new_session(core, ada)


async def test_cancelling_ends_that_call_of_that_session() -> None:
    under_way = UnderWay()
    with under_way.call("s", 1) as scope:
        under_way.cancel("other", 1)
        under_way.cancel("s", "1")
        assert not scope.cancel_called
        under_way.cancel("s", 1)
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    under_way.cancel("s", 1)


def test_advice_says_what_to_do_and_nothing_of_a_bug_s_inside() -> None:
    assert "list_sandboxes" in advised(NotFound("there is no workspace 'x'"))
    assert "Do not try again" in advised(Denied("no"))
    assert "in 7 s" in advised(TooMany("slow", retry_after_s=7))
    said = advised(Invalid("x: wrong", [FieldError("x", "wrong"), FieldError("y", "missing")]))
    assert said == "invalid: x: wrong\n- y: missing"
    assert "secret" not in advised(RuntimeError("secret"))
