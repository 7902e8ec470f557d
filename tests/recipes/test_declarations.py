"""Parameters and presets as a template declares them."""

import pytest

from alcove.model.template import ParameterType
from tests.recipes.reading import problems, read_text, recipe

HEAD = "parameters:\n- "
"""The first parameter stands on line 3."""


def test_all_types_are_read_with_their_rules() -> None:
    found = recipe(
        """
parameters:
- {name: a, type: string, pattern: "[a-z]+", min: 1, max: 5, default: abc, mutable: false}
- {name: b, type: number, min: 0.5, max: 2, default: 1}
- {name: c, type: bool, default: false}
- {name: d, type: choice, options: [x, y], default: y}
- {name: e, type: list, options: [x, y], max: 2, default: [x]}
- {name: f, type: string, display_name: F, description: What, required: false}
- {name: g, type: string}
"""
    ).parameters
    assert [p.type for p in found[:5]] == list(ParameterType)
    assert [p.default for p in found] == ["abc", 1, False, "y", ("x",), None, None]
    assert [p.required for p in found] == [False] * 6 + [True]
    assert [p.mutable for p in found] == [False] + [True] * 6
    assert (found[5].display_name, found[5].description) == ("F", "What")
    assert (found[0].pattern, found[0].min, found[0].max) == ("[a-z]+", 1, 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{type: string}", "parameters[0]: name is missing"),
        ("{name: a}", "parameters[0]: type is missing"),
        ("{name: a b, type: bool}", "parameters[0].name: 'a b' is not a parameter's name"),
        (
            "{name: a, type: text}",
            "parameters[0].type: 'text' is not string, number, bool, choice or",
        ),
        ("{name: a, type: choice}", "a: is a choice and has no options"),
        ("{name: a, type: choice, options: []}", "a: is a choice and has no options"),
        ("{name: a, type: choice, default: b}", "a: is a choice and has no options"),
        ("{name: a, type: choice, options: [b, b]}", "a: has an option twice"),
        (
            "{name: a, type: choice, options: [1.10]}",
            'expected a text, got a number; write "1.10"',
        ),
        ("{name: a, type: choice, options: [b], default: c}", "a: default 'c' is not b"),
        ("{name: a, type: number, default: x}", "a: default expected a number, got 'x'"),
        ("{name: a, type: number, default: 5, max: 4}", "a: default 5 is over the maximum 4"),
        ("{name: a, type: number, default: 3, min: 4}", "a: default 3 is under the minimum 4"),
        ("{name: a, type: number, min: 5, max: 4}", "a: min 5 is over max 4"),
        ("{name: a, type: number, pattern: x}", "a: pattern has no meaning for the type number"),
        ("{name: a, type: bool, options: [b]}", "a: options has no meaning for the type bool"),
        (
            "{name: a, type: choice, options: [b], max: 1}",
            "a: max has no meaning for the type choice",
        ),
        ("{name: a, type: bool, default: 1}", "a: default expected true or false, got 1"),
        ("{name: a, type: bool, default: {}}", "parameters[0].default: expected a text, a number"),
        ("{name: a, type: string, default: 1}", "a: default expected a text, got 1"),
        (
            "{name: a, type: string, default: abc, max: 2}",
            "a: default has 3 characters; at most 2",
        ),
        ("{name: a, type: string, default: a, min: 2}", "a: default has 1 characters; at least 2"),
        ("{name: a, type: string, pattern: '(a'}", "a: pattern is not an RE2 pattern: missing )"),
        ("{name: a, type: string, pattern: '(?=a)'}", "a: pattern is not an RE2 pattern"),
        ("{name: a, type: string, pattern: '(a)\\1'}", "a: pattern is not an RE2 pattern"),
        ("{name: a, type: string, pattern: '((a{100}){100}){100}'}", "a: pattern is not an RE2"),
        (
            "{name: a, type: string, pattern: '[a-z]+', default: A}",
            "a: default 'A' does not match",
        ),
        ("{name: a, type: list, options: [b], default: [c]}", "a: default 'c' is not b"),
        ("{name: a, type: list, pattern: b, default: [c]}", "a: default 'c' does not match b"),
        ("{name: a, type: list, default: b}", "a: default expected a list of texts, got 'b'"),
        ("{name: a, type: list, default: [1]}", "default[0]: expected a text, got a number"),
        ("{name: a, type: bool, defualt: 1}", "there is no such field; did you mean 'default'?"),
        ("{name: a, type: bool, required: true, default: true}", "a: is required, so its default"),
    ],
)
def test_a_fault_of_a_parameter_is_named(text: str, said: str) -> None:
    found = problems(HEAD + text + "\n")
    assert len(found) == 1, found
    assert found[0].startswith("template.yaml:3: ")
    assert said in found[0]


def test_a_maximum_over_the_ceiling_is_named_with_its_own_line() -> None:
    text = """
parameters:
  - name: cpu
    type: number
    max: 16
ceilings: {cpu: 8}
"""
    assert problems(text) == ["template.yaml:6: cpu: max 16 is over the ceiling 8"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{name: cpu, type: string}",
            "cpu: has the type string; to every template it is a number or",
        ),
        ("{name: cpu, type: number, default: 9}", "cpu: default 9 is over the ceiling 8"),
        ("{name: cpu, type: number, default: 0}", "cpu: default 0 is under the least, 0.05"),
        (
            "{name: cpu, type: choice, options: ['2', '16']}",
            "cpu: option '16' is over the ceiling 8",
        ),
        ("{name: cpu, type: choice, options: [big]}", "cpu: option 'big' is not a number"),
        ("{name: memory, type: number, max: 32}", "memory: max 32 is over the ceiling 16Gi"),
        (
            "{name: memory, type: choice, options: [32Gi]}",
            "memory: option '32Gi' is over the ceiling",
        ),
        ("{name: memory, type: string, default: lots}", "memory: default 'lots' is not a size"),
        ("{name: memory, type: bool}", "memory: has the type bool"),
        (
            "{name: disk, type: string, default: 60Gi}",
            "disk: default '60Gi' is over the ceiling 50Gi",
        ),
        ("{name: ttl_hours, type: number, max: 48}", "ttl_hours: max 48 is over the ceiling 24h"),
        ("{name: ttl, type: choice, options: [2d]}", "ttl: option '2d' is over the ceiling 24h"),
        ("{name: ttl, type: string, default: soon}", "ttl: default 'soon' is not a duration"),
        (
            "{name: network, type: string}",
            "network: has the type string; to every template it is a",
        ),
        (
            "{name: network, type: choice, options: [all]}",
            "network: option 'all' is not none, allowlist",
        ),
        (
            "{name: network, type: choice, options: [none, allowlist]}",
            "network: option allowlist is over the ceiling none or open",
        ),
        ("{name: repo, type: string, default: 'ext::x'}", "repo: default names a remote helper"),
        ("{name: repo, type: number}", "repo: has the type number"),
        (
            "{name: branch, type: string, default: a..b}",
            "branch: default 'a..b' is not a name that",
        ),
    ],
)
def test_a_well_known_parameter_means_the_same_everywhere(text: str, said: str) -> None:
    ceilings = "ceilings: {cpu: 8, memory: 16Gi, disk: 50Gi, ttl: 24h, networks: [none, open]}\n"
    found = problems(HEAD + text + "\n" + ceilings)
    assert len(found) == 1, found
    assert said in found[0]


def test_an_empty_default_says_that_nothing_is_chosen() -> None:
    assert problems(HEAD + '{name: repo, type: string, default: ""}\n') == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "a"), "template.yaml:4: a: is declared twice"),
        (("a-b", "A_B"), "A_B: and a-b would both be the variable ALCOVE_PARAMETER_A_B"),
    ],
)
def test_no_two_parameters_share_a_name_or_variable(names: tuple[str, str], said: str) -> None:
    lines = "".join(f"- {{name: {n}, type: string, default: a}}\n" for n in names)
    found = problems("parameters:\n" + lines)
    assert len(found) == 1
    assert said in found[0]


def test_the_time_to_live_is_declared_once() -> None:
    found = problems(
        "parameters:\n- {name: ttl, type: string}\n- {name: ttl_hours, type: number}\n"
    )
    assert found == ["template.yaml:4: ttl_hours: and ttl mean the same; declare one of them"]


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        (
            "{name: p, parameters: {cpuu: 1}}",
            "p: there is no parameter 'cpuu'; did you mean 'cpu'?",
        ),
        ("{name: p, parameters: {cpu: '2'}}", "p: cpu: expected a number, got '2'"),
        ("{name: p, parameters: {cpu: 9}}", "p: cpu: 9 is over the ceiling 8"),
        ("{name: p}", "presets[0]: parameters is missing"),
        ("{parameters: {}}", "presets[0]: name is missing"),
        ("{name: p, parameters: {repo: a}}", "p: repo: names no host"),
    ],
)
def test_a_preset_holds_to_the_declarations(preset: str, said: str) -> None:
    found = problems(
        "ceilings: {cpu: 8}\nparameters:\n- {name: cpu, type: number, default: 1}\n"
        '- {name: repo, type: string, default: ""}\npresets:\n- ' + preset + "\n"
    )
    assert len(found) == 1, found
    assert found[0].startswith("template.yaml:7: ")
    assert said in found[0]


def test_a_preset_may_leave_a_well_known_parameter_empty() -> None:
    found = problems(
        'parameters:\n- {name: repo, type: string, default: "github.com/org/x"}\n'
        'presets:\n- {name: p, parameters: {repo: ""}}\n'
    )
    assert found == []


def test_a_long_list_of_options_is_cut_in_the_message() -> None:
    options = ", ".join(f"o{n}" for n in range(20))
    found = problems(HEAD + f"{{name: a, type: choice, options: [{options}], default: z}}\n")
    assert found[0].endswith("o10, o11, …")


def test_two_presets_cannot_have_one_name() -> None:
    found = problems("presets:\n- {name: p, parameters: {}}\n- {name: p, parameters: {}}\n")
    assert found == ["template.yaml:4: p: is the name of two presets"]


def test_an_option_at_fault_is_not_also_a_default_at_fault() -> None:
    found = problems(HEAD + "{name: a, type: choice, options: [x, 3.1], default: '3.1'}\n")
    assert len(found) == 1


def test_a_parameter_at_fault_does_not_hide_the_next_one() -> None:
    reading = read_text(
        "image: {debian: bookworm}\nparameters:\n- {name: a}\n- {name: b, type: choice}\n"
    )
    assert [p.line for p in reading.problems] == [3, 4]
