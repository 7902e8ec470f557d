"""What `alcove create` asks at a terminal, what it takes for an answer, and when it is silent."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from alcove.cli import prompts
from alcove.cli.prompts import choice, complete, fault, question
from alcove.cli.tree import State, Tree, took
from alcove.model.template import ParameterType
from alcove.sdk.errors import NotFound
from alcove.wire.templates import TemplateParameter
from tests.cli.conftest import CommandLine
from tests.cli.terminal import at_a_terminal
from tests.sdk.answers import workspace as answer

if TYPE_CHECKING:
    from alcove.sdk import Alcove


def parameter(name: str = "cpu", **about: Any) -> TemplateParameter:
    fields: dict[str, Any] = {
        "type": ParameterType.STRING,
        "display_name": "",
        "description": "",
        "required": False,
        "mutable": True,
        "options": [],
    }
    return TemplateParameter(name=name, **{**fields, **about})


NUMBER = parameter(type=ParameterType.NUMBER, default=2, min=1, max=8)
CHOICE = parameter("python", type=ParameterType.CHOICE, options=["3.12", "3.13"], default="3.13")


@pytest.mark.parametrize(
    ("about", "text", "wrong"),
    [
        (NUMBER, "4", None),
        (NUMBER, "", None),
        (NUMBER, "0", "at least 1"),
        (NUMBER, "9", "at most 8"),
        (NUMBER, "four", "four"),
        (CHOICE, "3.12", None),
        (CHOICE, "2.7", "none of 3.12, 3.13"),
        (parameter(type=ParameterType.BOOL), "yes", None),
        (parameter(type=ParameterType.BOOL), "perhaps", "neither"),
        (parameter(required=True), "", "needed"),
        (parameter(required=True, default="x"), "", None),
        (parameter(pattern="[0-9]+Gi"), "4Gi", None),
        (parameter(pattern="[0-9]+Gi"), "much", "look like"),
        (parameter(pattern="("), "anything", None),
    ],
)
def test_what_is_typed_is_checked_against_the_template(
    about: TemplateParameter, text: str, wrong: str | None
) -> None:
    found = fault(about, text)
    assert (found is None) if wrong is None else (found is not None and wrong in found)


def test_a_question_tells_the_range_and_the_default() -> None:
    assert question(NUMBER) == "cpu, a number from 1 to 8 [2]: "
    assert question(parameter(type=ParameterType.BOOL, default=True)) == "cpu, yes or no [yes]: "


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("2", "python"),
        ("python", "python"),
        ("py", "python"),
        ("p", None),
        ("9", None),
        ("", None),
    ],
)
def test_one_chooses_by_number_name_or_its_beginning(text: str, chosen: str | None) -> None:
    assert choice(text, ["plain", "python"]) == chosen


class _Template:
    def __init__(self, name: str, *parameters: TemplateParameter, presets: Any = ()) -> None:
        self.name, self.parameters, self.presets = name, parameters, presets
        self.description, self.display_name, self.active = "About it", "", 1


class _Api:
    """As much of a client as the prompts use."""

    def __init__(self, *templates: _Template) -> None:
        self._templates = templates

    @property
    def templates(self) -> "_Api":
        return self

    def list(self) -> Iterator[_Template]:
        return iter(self._templates)

    def get(self, name: str) -> _Template:
        return next(t for t in self._templates if t.name == name)


def asked(api: _Api, template: str | None, *typed: str, **options: Any) -> prompts.Answers:
    answers = iter(typed)
    given: dict[str, str] = options.pop("given", {})
    found = complete(cast("Alcove", api), template, given, ask=lambda _: next(answers), **options)
    assert next(answers, None) is None, "not all was asked for"
    return found


def test_without_a_template_all_is_asked_for() -> None:
    api = _Api(_Template("plain"), _Template("python", NUMBER, CHOICE))
    found = asked(api, None, "nothing such", "2", "99", "4", "1")
    assert found == prompts.Answers("python", {"cpu": "4", "python": "3.12"})


def test_an_empty_line_leaves_the_default_to_the_server() -> None:
    assert asked(_Api(_Template("python", NUMBER, CHOICE)), None, "1", "", "").parameters == {}


def test_what_was_given_is_not_asked_again() -> None:
    api = _Api(_Template("python", NUMBER, parameter("repo")))
    found = asked(api, None, "python", given={"cpu": "3"}, told=["repo"])
    assert found.parameters == {"cpu": "3"}


def test_with_a_template_only_what_is_needed_is_asked_for() -> None:
    api = _Api(_Template("agent", NUMBER, parameter("task", required=True)))
    assert asked(api, "agent", "", "mend it").parameters == {"task": "mend it"}
    assert asked(api, "agent", given={"task": "x"}).parameters == {"task": "x"}


def test_a_preset_answers_its_questions() -> None:
    class Preset:
        name, description = "large", ""
        parameters = {"cpu": 8}  # noqa: RUF012 - never changed

    api = _Api(_Template("python", NUMBER, CHOICE, presets=[Preset()]))
    assert asked(api, None, "python", "large", "").parameters == {"cpu": "8"}


def test_without_templates_it_says_how_to_get_one() -> None:
    with pytest.raises(NotFound, match="template push"):
        asked(_Api(), None)


def test_a_step_tells_how_far_it_is_and_how_long_it_took() -> None:
    tree = Tree()
    tree.saw(answer(phase="provisioning", reason="unpacking the image"), 0.0)
    assert [step.line(0.5) for step in tree.steps] == ["workspace ▸ unpacking the image 0.5s"]
    tree.saw(answer(phase="running"), 1.0)
    tree.read("clone", "Receiving objects:  34% (34/100)", 1.0)
    tree.read("agent", "listening", 1.0)
    assert [step.line(2.0) for step in tree.steps] == ["workspace ✓ 1.0s", "clone ▸ 34 % 1.0s"]
    tree.read("setup", "installing", 3.0)
    assert tree.steps[1].state is State.DONE
    tree.finish([{"name": "setup", "state": "failed", "duration_ms": 400, "error": "no"}], 9.0)
    assert tree.steps[2].line(9.0) == "setup ✗ no 0.4s"


def test_what_a_step_says_has_bounds() -> None:
    tree = Tree()
    for number in range(500):
        tree.read(f"step {number}", "x", 0.0)
    tree.finish([None, {"name": 7}, {"name": "x", "duration_ms": "long"}], 1.0)
    assert len(tree.steps) < 60


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0s"), (42.4, "42s"), (252, "4m 12s")])
def test_how_long_it_took(seconds: float, text: str) -> None:
    assert took(seconds) == text


@pytest.mark.root
def test_at_a_terminal_one_is_asked_and_sees_it_come_up(alcove: CommandLine) -> None:
    with at_a_terminal(
        "create", "asked-for", "-e", "SHELL=/bin/sh", env=alcove.environment
    ) as seen:
        seen.wait_for("number or name: ")
        seen.type("plain\n")
        seen.wait_for("workspace ✓")
        seen.wait_for("asked-for is ready")
        assert seen.end() == 0
    assert alcove("delete", "asked-for", "--yes").returncode == 0


@pytest.mark.root
def test_elsewhere_nothing_is_asked(alcove: CommandLine) -> None:
    done = alcove("create", stdin=b"plain\n")
    assert done.returncode == 2
    assert b"--template" in done.stderr


@pytest.mark.root
def test_with_json_there_is_nothing_beside_the_document(alcove: CommandLine) -> None:
    done = alcove("create", "-t", "plain", "--json")
    assert done.stderr == b""
    name = json.loads(done.stdout)["name"]
    assert alcove("delete", name, "--yes").returncode == 0
