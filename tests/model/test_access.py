"""Who may do what, for a role and for one credential of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.access import ANY, OWN, Actor, Permission, Role, allows
from alcove.model.workspace import UserId, WorkspaceId

ADA, BOB = UserId("u-ada"), UserId("u-bob")
HERE, THERE = WorkspaceId("ws-here"), WorkspaceId("ws-there")
READ, EXEC = Permission.WORKSPACE_READ, Permission.WORKSPACE_EXEC
CHANGES = frozenset(
    p
    for p in Permission
    if p.partition(":")[2] not in ("read",) and p is not Permission.TOKEN_MANAGE
)


def actor(role: Role = Role.MEMBER) -> Actor:
    return Actor(id=ADA, name="ada", role=role)


@pytest.mark.parametrize(("owner", "allowed"), [(ADA, True), (BOB, False), (None, False)])
def test_a_member_enters_only_what_is_their_own(owner: UserId | None, allowed: bool) -> None:
    assert allows(actor(), EXEC, owner=owner, workspace=HERE) is allowed


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_an_administrator_enters_everybodys(role: Role) -> None:
    assert allows(actor(role), EXEC, owner=BOB, workspace=HERE)


def test_an_auditor_changes_nothing_but_their_own_tokens() -> None:
    assert not (OWN[Role.AUDITOR] | ANY[Role.AUDITOR]) & CHANGES
    assert Permission.TOKEN_MANAGE not in ANY[Role.AUDITOR]


@pytest.mark.parametrize("workspace", [THERE, None])
def test_a_token_of_one_workspace_does_nothing_elsewhere(workspace: WorkspaceId | None) -> None:
    bound = replace(actor(Role.OWNER), workspace=HERE)
    assert not allows(bound, READ, owner=ADA, workspace=workspace)


def test_a_token_of_one_workspace_serves_there() -> None:
    assert allows(replace(actor(), workspace=HERE), EXEC, owner=ADA, workspace=HERE)


def test_a_token_does_not_do_what_its_scopes_leave_out() -> None:
    reading = replace(actor(Role.OWNER), scopes=frozenset({READ}))
    assert allows(reading, READ, owner=BOB, workspace=HERE)
    assert not allows(reading, EXEC, owner=BOB, workspace=HERE)


@given(
    role=st.sampled_from(Role),
    permission=st.sampled_from(Permission),
    owner=st.sampled_from([ADA, BOB, None]),
    workspace=st.sampled_from([HERE, THERE, None]),
    scopes=st.none() | st.frozensets(st.sampled_from(Permission)),
    bound=st.sampled_from([HERE, None]),
)
def test_no_credential_may_more_than_its_user(
    role: Role,
    permission: Permission,
    owner: UserId | None,
    workspace: WorkspaceId | None,
    scopes: frozenset[Permission] | None,
    bound: WorkspaceId | None,
) -> None:
    whole = actor(role)
    limited = replace(whole, scopes=scopes, workspace=bound)
    if allows(limited, permission, owner=owner, workspace=workspace):
        assert allows(whole, permission, owner=owner, workspace=workspace)
