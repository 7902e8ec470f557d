"""The matrix: every route × role × {own, somebody else's} × {every bad credential}.

The expectations are written out by hand, so that a wrong table in `model/access` fails here. A
route without a row fails `test_every_route_has_a_row`.
"""

import string
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.routing import APIRoute, APIWebSocketRoute

from alcove.api.app import ROUTERS
from alcove.api.openapi import api_routes, need_of
from alcove.core import snapshots, ssh_keys, users
from alcove.core.users import UserChanges
from alcove.model.access import Actor, Permission
from alcove.store import tokens
from tests.api.exec_outputs import made_output
from tests.api.live import live
from tests.api.recordings import made_recording
from tests.api.served import ADA, BOB, EVE, MAX, ROOT, Served
from tests.conftest import T0

ROLES = {"owner": ROOT, "admin": MAX, "member": ADA, "auditor": EVE}
YES, NO, HIDDEN = "yes", 403, 404
Subject = Callable[[Served, Actor], Awaitable[str]]
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43


@dataclass(frozen=True)
class Row:
    """What each role gets: for what is its own, and for what is BOB's."""

    own: tuple[object, object, object, object]
    other: tuple[object, object, object, object] | None = None
    """None: the route is about nobody's thing in particular."""
    subject: Subject | None = None
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    bound: object = HIDDEN
    """What a token gets that is bound to another workspace."""


async def workspace(api: Served, owner: Actor) -> str:
    return (await api.workspace(owner)).id


async def snapshot(api: Served, owner: Actor) -> str:
    made = await api.workspace(owner)
    await api.world.settle()
    return (await snapshots.take(api.core, ROOT, made.id)).id


async def token(api: Served, owner: Actor) -> str:
    return (await api.token(owner)).id


async def ssh_key(api: Served, owner: Actor) -> str:
    public = Ed25519PrivateKey.generate().public_key()
    text = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return (await ssh_keys.add(api.core, owner, name="x", public_key=text)).id


async def recording(api: Served, owner: Actor) -> str:
    return (await made_recording(api, owner)).id


async def live_session(api: Served, owner: Actor) -> str:
    return live(api, owner, await api.workspace(owner)).id


async def output(api: Served, owner: Actor) -> str:
    return (await made_output(api, owner)).id


async def user(api: Served, owner: Actor) -> str:
    return owner.name


async def template(api: Served, owner: Actor) -> str:
    return "python"


READ: dict[str, Any] = {
    "own": (YES, YES, YES, YES),
    "other": (YES, YES, HIDDEN, YES),
    "subject": workspace,
}
CHANGE: dict[str, Any] = {
    "own": (YES, YES, YES, NO),
    "other": (YES, YES, HIDDEN, NO),
    "subject": workspace,
}
ANYONE: dict[str, Any] = {"own": (YES, YES, YES, YES), "bound": NO}
ADMINS: dict[str, Any] = {"own": (YES, YES, NO, NO), "bound": NO}
FILE: dict[str, Any] = {"query": {"path": "a"}}
OCTETS: dict[str, Any] = {"headers": {"content-type": "application/octet-stream"}}
TAR: dict[str, Any] = {"headers": {"content-type": "application/x-tar"}}
JSON: dict[str, Any] = {"body": {}}

W = "/api/v2/workspaces/{workspace}"
ROWS: dict[str, Row] = {
    "GET /api/v2/workspaces": Row(own=(YES, YES, YES, YES), bound=YES),
    "POST /api/v2/workspaces": Row(own=(YES, YES, YES, NO), body={"template": "python"}, bound=NO),
    f"GET {W}": Row(**READ),
    f"PATCH {W}": Row(**CHANGE, body={"labels": {"a": "b"}}),
    f"DELETE {W}": Row(**CHANGE),
    f"GET {W}/apps": Row(**READ),
    f"GET {W}/ports": Row(**READ),
    f"GET {W}/processes": Row(**CHANGE),
    f"POST {W}/processes": Row(**CHANGE, body={"command": "true"}),
    f"GET {W}/processes/{{process}}": Row(**CHANGE),
    f"DELETE {W}/processes/{{process}}": Row(**CHANGE),
    f"POST {W}/processes/{{process}}/signal": Row(**CHANGE, body={"signal": "TERM"}),
    f"GET {W}/terminals": Row(**CHANGE),
    f"PATCH {W}/terminals/{{session}}": Row(**CHANGE, body={"name": "build"}),
    f"DELETE {W}/terminals/{{session}}": Row(**CHANGE),
    f"GET {W}/files/watch": Row(**CHANGE),
    f"POST {W}/ports/{{port}}/share": Row(**CHANGE, body={"level": "team"}),
    f"DELETE {W}/ports/{{port}}/share": Row(**CHANGE),
    f"POST {W}/ports/{{port}}/links": Row(**CHANGE),
    f"GET {W}/events": Row(**READ),
    f"GET {W}/logs": Row(**READ),
    f"POST {W}/start": Row(**CHANGE),
    f"POST {W}/stop": Row(**CHANGE),
    f"POST {W}/restart": Row(**CHANGE),
    f"POST {W}/pause": Row(**CHANGE),
    f"POST {W}/resume": Row(**CHANGE),
    f"POST {W}/exec": Row(**CHANGE, body={"command": ["true"]}),
    f"GET {W}/files": Row(**CHANGE, **FILE),
    f"PUT {W}/files": Row(**CHANGE, **FILE, **OCTETS),
    f"DELETE {W}/files": Row(**CHANGE, **FILE),
    f"GET {W}/files/list": Row(**CHANGE),
    f"GET {W}/archive": Row(**CHANGE),
    f"PUT {W}/archive": Row(**CHANGE, **TAR),
    f"POST {W}/snapshot": Row(**CHANGE, body={}),
    f"POST {W}/fork": Row(**CHANGE, body={}),
    "GET /api/v2/snapshots": Row(own=(YES, YES, YES, YES), bound=YES),
    "GET /api/v2/snapshots/{snapshot}": Row(
        own=(YES, YES, YES, YES), other=(YES, YES, HIDDEN, YES), subject=snapshot
    ),
    "DELETE /api/v2/snapshots/{snapshot}": Row(
        own=(YES, YES, YES, NO), other=(YES, YES, HIDDEN, NO), subject=snapshot
    ),
    "GET /api/v2/events": Row(own=(YES, YES, YES, YES), bound=YES),
    "GET /api/v2/templates": Row(**ANYONE),
    "POST /api/v2/templates": Row(**ADMINS, **JSON),
    "POST /api/v2/templates/lint": Row(own=(YES, YES, YES, YES), body={}, bound=NO),
    "GET /api/v2/templates/{name}": Row(**ANYONE, subject=template),
    "GET /api/v2/templates/{name}/parameters": Row(**ANYONE, subject=template),
    "GET /api/v2/templates/{name}/versions": Row(**ANYONE, subject=template),
    "POST /api/v2/templates/{name}/versions": Row(**ADMINS, **JSON, subject=template),
    "POST /api/v2/templates/{name}/versions/{number}/promote": Row(**ADMINS, subject=template),
    "POST /api/v2/templates/{name}/render": Row(**ANYONE, **JSON, subject=template),
    "GET /api/v2/pools": Row(**ANYONE),
    "GET /api/v2/pools/{template}": Row(**ANYONE, subject=template),
    "PUT /api/v2/pools/{template}": Row(**ADMINS, body={"size": 1}, subject=template),
    "DELETE /api/v2/pools/{template}": Row(**ADMINS, subject=template),
    "GET /api/v2/users": Row(**ANYONE),
    "POST /api/v2/users": Row(**ADMINS, body={"name": "zoe"}),
    "GET /api/v2/users/me": Row(own=(YES, YES, YES, YES), bound=YES),
    "GET /api/v2/users/{user}": Row(**ANYONE, subject=user),
    "PATCH /api/v2/users/{user}": Row(
        own=(YES, YES, YES, YES),
        other=(YES, YES, NO, NO),
        subject=user,
        body={"display_name": "x"},
    ),
    "POST /api/v2/users/{user}/password": Row(
        own=(YES, YES, YES, YES),
        other=(YES, YES, NO, NO),
        subject=user,
        body={"new": "correct horse battery"},
        bound=NO,
    ),
    "POST /api/v2/users/{user}/sign-in-link": Row(**ADMINS, subject=user),
    "GET /api/v2/tokens": Row(own=(YES, YES, YES, YES), bound=NO),
    "POST /api/v2/tokens": Row(own=(YES, YES, YES, YES), body={"name": "x"}, bound=NO),
    "GET /api/v2/tokens/{id}": Row(
        own=(YES, YES, YES, YES), other=(YES, YES, HIDDEN, HIDDEN), subject=token
    ),
    "DELETE /api/v2/tokens/{id}": Row(
        own=(YES, YES, YES, YES), other=(YES, YES, HIDDEN, HIDDEN), subject=token
    ),
    "GET /api/v2/users/me/ssh-keys": Row(**ANYONE),
    "POST /api/v2/users/me/ssh-keys": Row(**ANYONE, body={"name": "x", "public_key": PUBLIC_KEY}),
    "DELETE /api/v2/users/me/ssh-keys/{id}": Row(**ANYONE, subject=ssh_key),
    "POST /api/v2/ssh/certificates": Row(
        own=(YES, YES, YES, YES), body={"public_key": PUBLIC_KEY}, bound=YES
    ),
    "GET /api/v2/recordings": Row(own=(YES, YES, YES, YES), bound=YES),
    **{
        f"GET /api/v2/recordings/{{recording}}{of}": Row(
            own=(YES, YES, YES, YES), other=(YES, YES, HIDDEN, YES), subject=recording
        )
        for of in ("", "/cast", "/commands", "/proof")
    },
    "DELETE /api/v2/recordings/{recording}": Row(
        own=(YES, YES, NO, NO), other=(YES, YES, HIDDEN, NO), subject=recording
    ),
    "GET /api/v2/exec-outputs": Row(own=(YES, YES, YES, YES), bound=YES),
    "GET /api/v2/exec-outputs/{output}": Row(
        own=(YES, YES, YES, YES), other=(YES, YES, HIDDEN, YES), subject=output
    ),
    "DELETE /api/v2/exec-outputs/{output}": Row(
        own=(YES, YES, NO, NO), other=(YES, YES, HIDDEN, NO), subject=output
    ),
    "GET /api/v2/server": Row(**ANYONE),
    "GET /api/v2/sessions": Row(own=(YES, YES, YES, YES), bound=YES),
    "DELETE /api/v2/sessions/{id}": Row(
        own=(YES, YES, YES, NO), other=(YES, YES, HIDDEN, NO), subject=live_session
    ),
}
OPEN = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /schemas/template.json",
    # A program that has no credential yet asks for one.
    "POST /api/v2/device/code",
    "POST /api/v2/device/token",
}
NEEDS_NO_SCOPE = {
    "GET /api/v2/users/me",
    # These ask for a whole credential, or for `user:manage`, in the verb.
    "PATCH /api/v2/users/{user}",
    "POST /api/v2/users/{user}/password",
    "GET /api/v2/users/me/ssh-keys",
    "POST /api/v2/users/me/ssh-keys",
    "DELETE /api/v2/users/me/ssh-keys/{id}",
}
SOCKETS = {
    f"{W}/exec",
    f"{W}/terminal",
    f"{W}/ports/{{port}}/connect",
    f"{W}/processes/{{process}}/attach",
}


def described() -> Iterator[tuple[str, APIRoute]]:
    for route in api_routes(ROUTERS):
        for method in sorted(route.methods or ()):
            yield f"{method} {route.path_format}", route


def test_every_route_has_a_row() -> None:
    known = {name for name, _ in described()}
    assert known == ROWS.keys() | OPEN


def test_every_socket_is_known() -> None:
    found = {
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIWebSocketRoute)
    }
    assert found == SOCKETS


def test_every_route_declares_what_it_needs() -> None:
    without = {name for name, route in described() if need_of(route) is None}
    assert without == OPEN


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_the_table_says_to_its_own(
    api: Served, name: str, role: str
) -> None:
    row, actor = ROWS[name], ROLES[role]
    expected = row.own[list(ROLES).index(role)]
    _check(await _call(api, name, await api.client(actor), actor), expected)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.other])
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_the_table_says_to_somebody_elses(
    api: Served, name: str, role: str
) -> None:
    row, actor = ROWS[name], ROLES[role]
    assert row.other is not None
    expected = row.other[list(ROLES).index(role)]
    _check(await _call(api, name, await api.client(actor), BOB), expected)


@pytest.mark.parametrize("name", ROWS)
async def test_no_route_takes_a_credential_that_is_no_longer_good(api: Served, name: str) -> None:
    expired = await api.client(ROOT, expires_at=T0 - timedelta(seconds=1))
    disabled = await api.client(MAX)
    await users.update(api.core, ROOT, "max", UserChanges(disabled=True))
    revoked = await api.client(ROOT)
    async with api.core.db.transaction() as tx:
        await tokens.revoke_all(tx, ROOT.id, now=T0)
    nobody = api.bare()
    forged = api.bare(authorization="Bearer alc_" + "a" * 16 + "_" + "b" * 43)
    for client in (expired, disabled, revoked, nobody, forged):
        answer = await _call(api, name, client, ROOT)
        assert answer.status_code == 401, answer.text


@pytest.mark.parametrize("name", sorted(ROWS.keys() - NEEDS_NO_SCOPE))
async def test_a_scope_is_needed(api: Served, name: str) -> None:
    needed = next(n for r, n in _permissions() if r == name)
    others = [p for p in Permission if p is not needed]
    answer = await _call(api, name, await api.client(ROOT, scopes=others), ROOT)
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("name", sorted(NEEDS_NO_SCOPE - {"GET /api/v2/users/me"}))
async def test_a_token_with_scopes_does_not_change_who_its_user_is(api: Served, name: str) -> None:
    scopes = [Permission.WORKSPACE_READ, Permission.USER_READ]
    answer = await _call(api, name, await api.client(ADA, scopes=scopes), ADA)
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("name", ROWS)
async def test_a_token_of_one_workspace_does_nothing_else(api: Served, name: str) -> None:
    bound = await api.workspace(ADA, name="bound")
    client = await api.client(ADA, workspace=bound.id)
    answer = await _call(api, name, client, ADA)
    expected = ROWS[name].bound
    if expected is YES:
        assert answer.status_code < 400, answer.text
    else:
        assert answer.status_code in {403, 404}, answer.text


async def test_a_token_of_one_workspace_lists_that_one_alone(api: Served) -> None:
    bound = await api.workspace(ADA, name="bound")
    await api.workspace(ADA, name="other")
    client = await api.client(ADA, workspace=bound.id)
    listed = (await client.get("/api/v2/workspaces")).json()["items"]
    assert [item["id"] for item in listed] == [bound.id]


async def test_a_member_sees_no_sign_of_what_is_not_theirs(api: Served) -> None:
    await api.workspace(BOB, name="secret-plan")
    client = await api.client(ADA)
    assert (await client.get("/api/v2/workspaces?owner=bob")).json()["items"] == []
    hidden = await client.get("/api/v2/workspaces/bob%2Fsecret-plan")
    absent = await client.get("/api/v2/workspaces/bob%2Fnothing")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["code"] == absent.json()["code"]


def _permissions() -> Iterator[tuple[str, Permission | None]]:
    for name, route in described():
        need = need_of(route)
        yield name, need.permission if need else None


async def _call(api: Served, name: str, client: httpx.AsyncClient, about: Actor) -> httpx.Response:
    """The row's request, about something of this user's."""
    row = ROWS[name]
    method, _, path = name.partition(" ")
    if row.subject is not None:
        named = await row.subject(api, about)
        fields = {f for _, f, _, _ in string.Formatter().parse(path) if f}
        path = path.format(
            **{f: "1" if f in {"number", "port", "process", "session"} else named for f in fields}
        )
    return await client.request(
        method, path, json=row.body, params=dict(row.query), headers=dict(row.headers)
    )


def _check(answer: httpx.Response, expected: object) -> None:
    if expected is YES:
        # Later refusals (not running, a template that is none) are not about who asks.
        assert answer.status_code not in {401, 403, 404}, answer.text
        assert answer.status_code < 500, answer.text
    else:
        assert answer.status_code == expected, answer.text
