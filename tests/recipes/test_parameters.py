"""Values of parameters: from JSON, and from texts."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.template import Parameter, ParameterType
from alcove.recipes import parameters
from alcove.recipes.parameters import coerce, read

PLAIN = Parameter(
    name="p",
    type=ParameterType.STRING,
    display_name="p",
    description="",
    default=None,
    required=False,
    mutable=True,
)
NUMBER = replace(PLAIN, type=ParameterType.NUMBER)
BOOL = replace(PLAIN, type=ParameterType.BOOL)
CHOICE = replace(PLAIN, type=ParameterType.CHOICE, options=("a", "b"))
LIST = replace(PLAIN, type=ParameterType.LIST)
ALL = (PLAIN, NUMBER, BOOL, CHOICE, LIST)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("parameter", "given", "value"),
    [
        (PLAIN, "a\nb", "a\nb"),
        (PLAIN, "", ""),
        (NUMBER, 2, 2),
        (NUMBER, 2.5, 2.5),
        (NUMBER, 2.0, 2),
        (BOOL, True, True),
        (CHOICE, "a", "a"),
        (LIST, ["x", "y"], ("x", "y")),
        (LIST, [], ()),
    ],
)
def test_json_values_are_taken_in_their_type(
    parameter: Parameter, given: object, value: object
) -> None:
    found = coerce(parameter, given, strings=False)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (PLAIN, "4", "4"),
        (NUMBER, "4", 4),
        (NUMBER, " 4.5 ", 4.5),
        (NUMBER, "1e3", 1000),
        (NUMBER, "-2", -2),
        (BOOL, "true", True),
        (BOOL, "False", False),
        (BOOL, "1", True),
        (BOOL, "off", False),
        (CHOICE, "b", "b"),
        (LIST, '["x", "y,z"]', ("x", "y,z")),
        (LIST, "x, y", ("x", "y")),
        (LIST, "", ()),
    ],
)
def test_texts_are_parsed_to_the_declared_type(
    parameter: Parameter, text: str, value: object
) -> None:
    found = coerce(parameter, text, strings=True)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("parameter", "given", "said"),
    [
        (PLAIN, 1, "expected a text, got 1"),
        (PLAIN, None, "expected a text, got null"),
        (PLAIN, "\x1b[0m", "has the character U\\+001B"),
        (PLAIN, "\x00", "has the character U\\+0000"),
        (PLAIN, "\ud800", "has the character U\\+D800"),
        (PLAIN, "a" * 40000, "is longer than 32768 bytes"),
        (PLAIN, "é" * 20000, "is longer than 32768 bytes"),
        (NUMBER, True, "expected a number, got true"),
        (NUMBER, "4", "expected a number, got '4'; write it without quotes"),
        (NUMBER, math.nan, "is not a number of ordinary size"),
        (NUMBER, math.inf, "is not a number of ordinary size"),
        (NUMBER, 10**4000, "a huge number is not a number of ordinary size"),
        (NUMBER, {}, "expected a number, got an object"),
        (BOOL, 1, "expected true or false, got 1"),
        (BOOL, "true", "expected true or false, got 'true'"),
        (CHOICE, "c", "'c' is not a or b"),
        (CHOICE, ["a"], "expected a text, got a list"),
        (LIST, "a", "expected a list of texts, got 'a'"),
        (LIST, [1], "expected a text, got 1"),
        (LIST, ["a"] * 101, "has 101 items; at most 100"),
        (LIST, ["a" * 20000] * 2, "is longer than 32768 bytes"),
    ],
)
def test_a_wrong_json_value_is_refused(parameter: Parameter, given: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        coerce(parameter, given, strings=False)


@pytest.mark.parametrize(
    ("parameter", "given", "said"),
    [
        (NUMBER, "four", "'four' is not a number"),
        (NUMBER, "", "'' is not a number"),
        (NUMBER, "0x10", "'0x10' is not a number"),
        (NUMBER, "nan", "'nan' is not a number"),
        (NUMBER, "1e99", "not a number of ordinary size"),
        (NUMBER, "9" * 400, "is not a number"),
        (NUMBER, "١", "is not a number"),
        (BOOL, "maybe", "'maybe' is not true or false"),
        (LIST, "[1", "is not a list like"),
        (LIST, "[1]", "expected a text, got 1"),
        (LIST, "[" * 30000, "is not a list like"),
        (LIST, "[" * 40000, "is longer than 32768 bytes"),
        (NUMBER, 4, "expected a text, as all values here"),
    ],
)
def test_a_wrong_text_is_refused(parameter: Parameter, given: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        coerce(parameter, given, strings=True)


def test_bounds_hold_at_their_edge() -> None:
    bounded = replace(NUMBER, min=1, max=4)
    assert [coerce(bounded, n, strings=False) for n in (1, 4)] == [1, 4]
    for wrong in (0.999, 4.001):
        with pytest.raises(ValueError, match="imum"):
            coerce(bounded, wrong, strings=False)


def test_bounds_of_a_list_count_its_items() -> None:
    bounded = replace(LIST, min=1, max=2)
    assert coerce(bounded, ["a"], strings=False) == ("a",)
    for wrong in ([], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="items"):
            coerce(bounded, wrong, strings=False)


def test_a_pattern_matches_the_whole_text_or_nothing() -> None:
    matched = replace(PLAIN, pattern="[a-z]+")
    assert coerce(matched, "abc", strings=False) == "abc"
    for wrong in ("abc1", "", "abc\n"):
        with pytest.raises(ValueError, match="does not match"):
            coerce(matched, wrong, strings=False)


def test_a_pattern_that_would_hang_a_backtracking_engine_is_matched_at_once() -> None:
    matched = replace(PLAIN, pattern="(a*)*b")
    with pytest.raises(ValueError, match="does not match"):
        coerce(matched, "a" * 30000, strings=False)


def test_an_unknown_parameter_is_refused_with_the_nearest_known() -> None:
    declared = (replace(NUMBER, name="cpu"),)
    errors = read(declared, {"cpuu": 1}, strings=False).errors
    assert [(e.field, e.message) for e in errors] == [
        ("parameters.cpuu", "the template has no such parameter; did you mean 'cpu'?")
    ]


def test_every_value_at_fault_is_named() -> None:
    declared = (replace(NUMBER, name="a"), replace(BOOL, name="b"))
    errors = read(declared, {"a": "x", "b": 1, "z": 1}, strings=False).errors
    assert [e.field for e in errors] == ["parameters.a", "parameters.b", "parameters.z"]


def test_repository_and_lifetime_are_taken_undeclared() -> None:
    given = {"repo": "r", "branch": "b", "ttl": "4h", "ttl_hours": "4"}
    found = read((), given, strings=True)
    assert found.errors == ()
    assert dict(found.beside) == {"repo": "r", "branch": "b", "ttl": "4h", "ttl_hours": 4}


@pytest.mark.parametrize("name", ["cpu", "memory", "disk", "network", "task", "agent"])
def test_other_names_must_be_declared(name: str) -> None:
    assert read((), {name: "1"}, strings=True).errors[0].field == f"parameters.{name}"


def test_null_is_the_same_as_nothing_given() -> None:
    found = read((PLAIN,), {"p": None, "unknown": None}, strings=False)
    assert (found.declared, found.errors) == ({}, ())


def test_too_many_names_are_one_error() -> None:
    errors = read((), {str(n): 1 for n in range(300)}, strings=False).errors
    assert [e.field for e in errors] == ["parameters"]


def test_defaults_fill_in_and_required_ones_are_missed() -> None:
    declared = (
        replace(PLAIN, name="a", default="x"),
        replace(PLAIN, name="b", required=True, default="never taken"),
        replace(PLAIN, name="c"),
    )
    filled, errors = parameters.with_defaults(declared, {})
    assert filled == {"a": "x"}
    assert [(e.field, e.message) for e in errors] == [("parameters.b", "is required")]


def test_values_reach_processes_as_variables() -> None:
    found = parameters.variables({"ttl-x": 1.5, "b": True, "l": ("a", "é"), "s": "$(reboot)"})
    assert found == {
        "ALCOVE_PARAMETER_TTL_X": "1.5",
        "ALCOVE_PARAMETER_B": "true",
        "ALCOVE_PARAMETER_L": '["a", "é"]',
        "ALCOVE_PARAMETER_S": "$(reboot)",
    }


@given(st.dictionaries(st.text(), JSON, max_size=5), st.booleans())
def test_no_values_make_it_raise(given: dict[str, object], strings: bool) -> None:
    named = {f"p{n}": value for n, value in enumerate(given.values())}
    declared = [replace(p, name=f"p{n}") for n, p in enumerate(ALL)]
    found = read(declared, given | named, strings=strings)
    for error in found.errors:
        f"{error.field}: {error.message}".encode()
