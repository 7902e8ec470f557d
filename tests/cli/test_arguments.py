"""How command lines are read."""

import pytest

from alcove.cli.cp import Remote, place
from alcove.cli.execs import code_of, split_command
from alcove.cli.parameters import typed
from alcove.cli.session import pairs
from alcove.sdk import Exit, Invalid
from alcove.wire.templates import TemplateParameter


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["api", "--", "ls", "-l"], ["api", "--", "ls", "-l"]),
        (["api", "ls", "-l"], ["api", "--", "ls", "-l"]),
        (["api", "--cwd", "/x", "ls", "--cwd"], ["api", "--cwd", "/x", "--", "ls", "--cwd"]),
        (["--env=A=b", "-T", "api", "env"], ["--env=A=b", "-T", "api", "--", "env"]),
        (["api"], ["api"]),
        (["api", "sh", "--", "x"], ["api", "--", "sh", "--", "x"]),
    ],
)
def test_options_after_the_command_are_the_command_s(given: list[str], read: list[str]) -> None:
    assert split_command(given) == read


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("api:notes.txt", Remote("api", "notes.txt")),
        ("api:", Remote("api", ".")),
        ("api:/etc/hosts", Remote("api", "/etc/hosts")),
        ("api:a:b", Remote("api", "a:b")),
        ("ada/api:x", Remote("ada/api", "x")),
        ("./a:b", "./a:b"),
        ("notes.txt", "notes.txt"),
        ("/abs/a:b", "/abs/a:b"),
        ("-", "-"),
    ],
)
def test_a_place_is_here_or_in_a_workspace(text: str, found: Remote | str) -> None:
    assert place(text) == found


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (Exit(0, None, 1.0, None), 0),
        (Exit(7, None, 1.0, None), 7),
        (Exit(0, "KILL", 1.0, None), 137),
        (Exit(143, "TERM", 1.0, None), 143),
        (Exit(0, "NOSUCH", 1.0, None), 1),
    ],
)
def test_the_exit_code_is_a_shell_s(ended: Exit, code: int) -> None:
    assert code_of(ended) == code


def parameter(name: str, kind: str) -> TemplateParameter:
    return TemplateParameter.model_validate(
        {
            "name": name,
            "type": kind,
            "display_name": "",
            "description": "",
            "required": False,
            "mutable": True,
            "options": [],
        }
    )


def test_values_take_the_type_of_their_parameter() -> None:
    asked = [parameter(k, k) for k in ("number", "bool", "list", "string", "choice")]
    given = {"number": "2", "bool": "true", "list": "a, b", "string": "3", "choice": "3.13"}
    assert typed(given, asked) == {
        "number": 2,
        "bool": True,
        "list": ["a", "b"],
        "string": "3",
        "choice": "3.13",
    }


@pytest.mark.parametrize(("kind", "text"), [("number", "two"), ("bool", "perhaps")])
def test_a_value_of_another_type_is_refused_with_its_field(kind: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        typed({"p": text}, [parameter("p", kind)])
    assert caught.value.errors[0].field == "parameters.p"


def test_a_value_may_have_an_equals_sign() -> None:
    assert pairs(["URL=http://x?a=b", "EMPTY="], option="--env") == {
        "URL": "http://x?a=b",
        "EMPTY": "",
    }
