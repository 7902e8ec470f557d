"""Who may open a port, and the host names that say which one is meant."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.access import Actor, Permission, Role
from alcove.model.app import App, Level
from alcove.model.port import (
    LABEL_MAX,
    LEVELS,
    PORT_MAX,
    AppName,
    Share,
    app_label,
    level_of,
    opens,
    read_app_label,
    said_of,
)
from alcove.model.workspace import UserId, WorkspaceId
from tests.model.test_lifecycle import SPEC, T0, WORKSPACE

ADA, BOB = UserId("u-ada"), UserId("u-bob")
HERE, THERE = WorkspaceId("ws-here"), WorkspaceId("ws-there")
ID = WorkspaceId("ws-abcdefgh234567ab")
CODE = App("code", "Code", port=8080, share=Level.TEAM)
DOCS = App("docs", "Docs", url="https://docs.example")
OFFERING = replace(WORKSPACE, spec=replace(SPEC, apps=(DOCS, CODE)))
BOBS = Actor(id=BOB, name="bob", role=Role.MEMBER)
EXEC = frozenset({Permission.WORKSPACE_EXEC})


def share(level: Level) -> Share:
    return Share(WORKSPACE.id, 8080, level, None, T0, ADA)


def opened(actor: Actor | None, level: Level) -> bool:
    return opens(actor, level, owner=ADA, workspace=HERE)


def test_a_share_is_over_at_its_end() -> None:
    until = replace(share(Level.TEAM), expires_at=T0)
    assert until.holds(T0 - timedelta(microseconds=1))
    assert not until.holds(T0)


def test_a_share_without_an_end_holds() -> None:
    assert share(Level.TEAM).holds(T0 + timedelta(days=9999))


@pytest.mark.parametrize(
    ("level", "open_"), [(Level.PRIVATE, False), (Level.TEAM, False), (Level.PUBLIC, True)]
)
def test_nobody_in_particular_opens_what_is_public_only(level: Level, open_: bool) -> None:
    assert opened(None, level) is open_


@pytest.mark.parametrize(
    ("actor", "open_"),
    [
        (replace(BOBS, id=ADA), True),
        (BOBS, False),
        (replace(BOBS, role=Role.ADMIN), True),
        (replace(BOBS, id=ADA, scopes=frozenset()), False),
        (replace(BOBS, id=ADA, workspace=THERE), False),
    ],
    ids=["owner", "member", "admin", "owner's token without the scope", "token of another"],
)
def test_a_private_port_is_for_who_may_enter_the_workspace(actor: Actor, open_: bool) -> None:
    assert opened(actor, Level.PRIVATE) is open_


@pytest.mark.parametrize(
    ("actor", "open_"),
    [
        (BOBS, True),
        (replace(BOBS, role=Role.AUDITOR), False),
        (replace(BOBS, scopes=EXEC), True),
        (replace(BOBS, scopes=frozenset({Permission.WORKSPACE_READ})), False),
        (replace(BOBS, workspace=HERE), True),
        (replace(BOBS, workspace=THERE), False),
    ],
    ids=["member", "auditor", "scope", "without the scope", "token of it", "token of another"],
)
def test_a_teams_port_is_for_who_may_have_workspaces(actor: Actor, open_: bool) -> None:
    assert opened(actor, Level.TEAM) is open_


@given(*[st.sampled_from(Level)] * 3)
def test_no_word_is_wider_than_the_template_and_the_operator(
    said: Level, template: Level, operator: Level
) -> None:
    workspace = replace(WORKSPACE, spec=replace(SPEC, share_max=template))
    found = level_of(workspace, 8080, share(said), operator=operator)
    assert found is min(said, template, operator, key=LEVELS.index)


def test_a_port_is_as_wide_as_its_owner_said_then_as_its_app_and_else_private() -> None:
    assert said_of(OFFERING, 8080, share(Level.PUBLIC)) is Level.PUBLIC
    assert said_of(OFFERING, 8080, None) is Level.TEAM
    assert said_of(OFFERING, 8081, None) is Level.PRIVATE


@pytest.mark.parametrize(
    ("target", "port"), [(3000, 3000), ("code", 8080), ("docs", None), ("gone", None)]
)
def test_an_app_has_a_port_only_where_it_listens(target: int | str, port: int | None) -> None:
    assert AppName(target, "ada/api").port(OFFERING) == port


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("8000--api--ada", AppName(8000, "ada/api")),
        ("code--api--ada", AppName("code", "ada/api")),
        (f"8000--{ID}", AppName(8000, ID)),
        (f"web-ui--{ID}", AppName("web-ui", ID)),
        (f"{PORT_MAX}--api--ada", AppName(PORT_MAX, "ada/api")),
        (f"{PORT_MAX + 1}--api--ada", None),
        ("0--api--ada", None),
        ("08--api--ada", None),
        ("8000--api", None),
        ("8000-api-ada", None),
        ("8000--api--ada--eve", None),
        ("8000--API--ada", None),
        ("", None),
    ],
)
def test_a_label_means_one_app_or_none(label: str, meant: AppName | None) -> None:
    assert read_app_label(label) == meant


def test_what_no_host_name_can_have_is_no_label() -> None:
    owner = "a" * (LABEL_MAX - len("8000--api--"))
    assert read_app_label(f"8000--api--{owner}") == AppName(8000, f"{owner}/api")
    assert read_app_label(f"8000--api--{owner}a") is None


@given(
    target=st.integers(1, PORT_MAX)
    | st.lists(st.text("az9", min_size=1, max_size=9), min_size=1, max_size=3).map(
        lambda words: "a" + "-".join(words)
    ),
    name=st.text("az9-", max_size=62).map(lambda rest: f"a{rest}"),
    owner=st.text("az9-", max_size=31).map(lambda rest: f"9{rest}"),
)
def test_every_app_has_a_label_that_means_it(target: int | str, name: str, owner: str) -> None:
    label = app_label(target, id=ID, name=name, owner=owner)
    assert len(label) <= LABEL_MAX
    assert read_app_label(label) in (AppName(target, ID), AppName(target, f"{owner}/{name}"))


def test_the_label_is_the_readable_one_where_it_can_be() -> None:
    assert app_label("code", id=ID, name="api", owner="ada") == "code--api--ada"


@pytest.mark.parametrize("name", ["a" * 60, "my--api", "api-"])
def test_the_label_has_the_id_where_the_name_does_not_fit_in(name: str) -> None:
    assert app_label(8000, id=ID, name=name, owner="ada") == f"8000--{ID}"
