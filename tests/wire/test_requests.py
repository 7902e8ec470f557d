"""Requests are strict and total: whatever comes is a request or a refusal that names fields."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from alcove.wire.base import Answer, Request
from alcove.wire.execs import ExecRequest, ProcessRequest
from alcove.wire.server import Health
from alcove.wire.templates import NewTemplate, NewTemplateVersion, RenderRequest
from alcove.wire.tokens import NewToken
from alcove.wire.users import NewUser, PasswordChange, UserChange
from alcove.wire.workspaces import NewWorkspace, WorkspaceChange

REQUESTS: list[type[Request]] = [
    *(NewWorkspace, WorkspaceChange, ExecRequest, ProcessRequest, NewUser, UserChange),
    *(PasswordChange, NewToken, NewTemplate, NewTemplateVersion, RenderRequest),
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


def bodies(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have the right names and anything as values."""
    return st.dictionaries(st.sampled_from(list(model.model_fields)), ANYTHING, max_size=6)


@pytest.mark.parametrize("model", REQUESTS, ids=lambda model: model.__name__)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_body_is_read_or_refused(model: type[Request], data: st.DataObject) -> None:
    body = json.dumps(data.draw(bodies(model) | ANYTHING))
    try:
        read = model.model_validate_json(body)
    except ValidationError:
        return
    written = read.model_dump_json(exclude_unset=True)
    if "**********" not in written:  # a secret is never written out
        assert model.model_validate_json(written) == read


@given(raw=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with pytest.raises(ValidationError):
        NewWorkspace.model_validate_json(b"\xff" + raw)


@pytest.mark.parametrize("model", REQUESTS, ids=lambda model: model.__name__)
def test_an_unknown_field_is_refused(model: type[Request]) -> None:
    with pytest.raises(ValidationError, match="surprise"):
        model.model_validate_json('{"surprise": 1}')


def test_an_answer_of_a_newer_server_is_read() -> None:
    text = '{"status": "ok", "checks": {}, "added_later": 1}'
    assert Health.model_validate_json(text).status == "ok"
    assert issubclass(Health, Answer)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("1h30m", 5400), ("7d", 604800)]
)
def test_a_duration_comes_out_as_it_goes_in(text: str, seconds: int) -> None:
    change = WorkspaceChange.model_validate_json(json.dumps({"ttl": text}))
    assert change.ttl == seconds
    assert json.loads(change.model_dump_json(exclude_unset=True)) == {"ttl": text}


def test_no_time_to_live_is_not_the_same_as_an_unchanged_one() -> None:
    assert WorkspaceChange.model_validate_json('{"ttl": null}').model_fields_set == {"ttl"}
    assert WorkspaceChange.model_validate_json("{}").model_fields_set == set()


@pytest.mark.parametrize(
    "command", [[], "", [""], ["a\0"], [1], {"a": 1}, None, ["x"] * 5000, "x" * 200_000]
)
def test_a_command_that_cannot_be_run_is_refused_in_one_sentence(command: object) -> None:
    with pytest.raises(ValidationError) as refused:
        ExecRequest.model_validate_json(json.dumps({"command": command}))
    assert [error["loc"] for error in refused.value.errors()] == [("command",)]


def test_rich_parameters_become_texts_by_name() -> None:
    as_list = [{"name": "a", "value": "1"}, {"name": "b", "value": "x"}]
    for given_form in (as_list, {"a": "1", "b": "x"}, {"a": 1, "b": "x"}):
        body = {"template": "t", "rich_parameters": given_form}
        read = NewWorkspace.model_validate_json(json.dumps(body))
        assert read.rich_parameters == {"a": "1", "b": "x"}


@pytest.mark.parametrize("name", ["a", "a-b", "0", "a1-2b"])
def test_a_host_names_label_is_a_name(name: str) -> None:
    assert NewUser.model_validate_json(json.dumps({"name": name})).name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "A", "ä", "a.b", "a\n", "a" * 33])
def test_what_is_no_label_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError):
        NewUser.model_validate_json(json.dumps({"name": name}))
