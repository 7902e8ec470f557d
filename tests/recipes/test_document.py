"""YAML within bounds, with its lines."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.recipes.document import DOCUMENT_MAX, NODES_MAX, Node, parse
from alcove.recipes.problem import PROBLEMS_MAX, Report


def parsed(text: str | bytes) -> tuple[Node | None, list[str]]:
    report = Report("f")
    node = parse(text if isinstance(text, bytes) else text.encode(), report)
    return node, [str(p) for p in report.problems]


def values(text: str) -> dict[str, object]:
    node, said = parsed(text)
    assert said == []
    assert node is not None
    assert isinstance(node.value, dict)
    return {key: below.value for key, below in node.value.items()}


def test_each_value_knows_the_line_of_its_key() -> None:
    node, _ = parsed("a: 1\nb:\n  c: [x,\n      y]\n")
    assert node is not None
    assert node.at("b").line == 2
    assert node.at("b", "c").line == 3
    assert node.at("b", "c", 1).line == 4


def test_a_path_that_does_not_exist_leads_to_the_nearest_above_it() -> None:
    node, _ = parsed("a:\n  b: 1\n")
    assert node is not None
    assert node.at("a", "z", 3).line == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.0e3", 1000.0),
        ("yes", "yes"),
        ("off", "off"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_plain_scalars_are_read_by_the_core_schema(text: str, value: object) -> None:
    assert values(f"a: {text}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f: is empty"),
        ("# only a comment", "f: is empty"),
        ("a: &x 1", "f:1: uses an anchor or alias (& or *); write the value out"),
        ("a: 1\nb: *x", "f:2: uses an anchor or alias (& or *); write the value out"),
        ("&k a: 1", "f:1: uses an anchor or alias (& or *); write the value out"),
        ("a: !!python/name:os.system x", "tags are not read"),
        ("!!map {a: 1}", "tags are not read"),
        ("a: 1\n--- \nb: 1", "f:2: has a second document; only one is read"),
        ("? [a]\n: 1", "f:1: has a key that is not a text"),
        ("a" * 300 + ": 1", "f:1: has a key of 300 characters"),
        ("[" * 50, "f:1: is nested deeper than 16 levels"),
        ("a: 1\n b: 2\n", "f:2: is not YAML: mapping values are not allowed here"),
        ("a: 1\nb: [", "f:2: is not YAML:"),
        ("a: 1\nb: \x00", "f:2: is not YAML:"),
        ("%YAML 3.0\n---\na: 1", "f:1: is not YAML:"),
        ('a: "\\q"', "f:1: is not YAML:"),
        ('a: "\\U00110000"', "f:"),
    ],
)
def test_what_is_not_taken_is_said_with_its_line(text: str, said: str) -> None:
    node, found = parsed(text)
    assert node is None
    assert said in found[0]


def test_a_key_that_stands_twice_is_refused_and_the_rest_is_read() -> None:
    node, said = parsed("a: 1\nb: 2\na: 3\n")
    assert said == ["f:3: 'a': stands twice; first on line 1"]
    assert node is not None
    assert node.at("a").value == 1


def test_bytes_that_are_not_text_are_refused_with_their_line() -> None:
    _, said = parsed(b"a: 1\nb: \xff\n")
    assert said == ["f:2: is not UTF-8 (byte 8)"]


def test_a_document_over_the_limit_is_not_looked_at() -> None:
    _, said = parsed(b"#" * (DOCUMENT_MAX + 1))
    assert said == [f"f: is {DOCUMENT_MAX + 1} bytes; the limit is {DOCUMENT_MAX}"]


def test_more_values_than_the_limit_are_refused() -> None:
    _, said = parsed("[" + "1," * NODES_MAX + "]")
    assert said == [f"f:1: has more than {NODES_MAX} values"]


@pytest.mark.timed
@pytest.mark.parametrize(
    "unit",
    ["[", "{", "- ", "? ", "a: ", "&a ", "[a,", "{a: ", "'", "x ", "\\n", "# ", "%A\n", "|\n"],
)
def test_hostile_repetition_costs_little_time(unit: str) -> None:
    started = time.process_time()
    parsed(unit * (DOCUMENT_MAX // len(unit)))
    assert time.process_time() - started < 5


def test_problems_are_bounded_and_the_bound_itself_is_an_error() -> None:
    report = Report("f")
    for n in range(PROBLEMS_MAX + 50):
        report.warn(n, "", "x")
    assert len(report.problems) == PROBLEMS_MAX + 1
    assert report.failed


@given(
    st.binary(max_size=400)
    | st.text("ab:-[]{}&*!|>'\"%@`#?, \n\t~01\\\ufeff\x85", max_size=80).map(str.encode)
)
def test_no_bytes_make_it_raise(data: bytes) -> None:
    report = Report("f")
    node = parse(data, report)
    assert node is not None or report.failed
