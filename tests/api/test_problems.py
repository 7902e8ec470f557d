"""Every error is a problem, names the field at fault, and tells nothing of the inside."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from alcove.model.errors import Unavailable
from alcove.model.workspace import WorkspaceId
from tests.api.served import ADA, ROOT, Served

CREATE = "/api/v2/workspaces"


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    return problem


async def test_an_unknown_address_is_a_problem(api: Served) -> None:
    answer = await api.bare().get("/api/v2/nothing")
    assert problem_of(answer)["code"] == "not_found"


async def test_a_wrong_method_is_a_problem_that_lists_the_right_ones(api: Served) -> None:
    answer = await api.bare().put("/api/v2/users")
    assert problem_of(answer)["code"] == "method_not_allowed"
    assert "allow" in answer.headers


async def test_no_credential_is_a_401_that_says_how(api: Served) -> None:
    answer = await api.bare().get("/api/v2/users/me")
    assert problem_of(answer)["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"template": "\xff"}', b'{"template": "\\ud800"}', b"\0"]
)
async def test_what_is_not_json_is_a_400(api: Served, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await (await api.client()).post(CREATE, content=body, headers=headers)
    assert answer.status_code == 400
    assert problem_of(answer)["code"] == "malformed"


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_another_media_type_is_a_415(api: Served, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = await (await api.client()).post(CREATE, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert problem_of(answer)["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        ({"template": 5}, "template"),
        ({"template": "python", "nmae": "x"}, "nmae"),
        ({"template": "python", "name": "Not A Label"}, "name"),
        ({"template": "python", "name": "a\0b"}, "name"),
        ({"template": "python", "name": "a" * 10_000}, "name"),
        ({"template": "python", "ttl": 5}, "ttl"),
        ({"template": "python", "ttl": "a day"}, "ttl"),
        ({"template": "python", "ttl_hours": -1}, "ttl_hours"),
        ({"template": "python", "ttl": "1h", "ttl_hours": 1}, "ttl_hours"),
        ({"template": "python", "template_id": "python"}, "template"),
        ({}, "template"),
        ({"template": "python", "ephemeral": "yes"}, "ephemeral"),
        ({"template": "python", "isolation": "none"}, "isolation"),
        ({"template": "python", "env": {"A=B": "x"}}, "env.A=B.[key]"),
        ({"template": "python", "env": {"A": "x\0"}}, "env.A"),
        ({"template": "python", "labels": {"a": "\x1b[31m"}}, "labels.a"),
        ({"template": "python", "repo": "https://x\n.example"}, "repo"),
        ({"template": "python", "parameters": {"cpu": {"a": 1}}}, "parameters.cpu"),
        ({"template": "python", "parameters": {"cpu": 10**400}}, "parameters.cpu"),
        ({"template": "python", "parameters": {"cpu": 64}}, "parameters.cpu"),
        ({"template": "python", "parameters": {"cup": 2}}, "parameters.cup"),
        ({"template": "python", "rich_parameters": [{"name": "cpu"}]}, "rich_parameters"),
        ({"template": "python", "rich_parameters": {"cpu": "lots"}}, "parameters.cpu"),
        ({"template": "python", "network": {"mode": "open", "x": 1}}, "network.x"),
    ],
)
async def test_a_wrong_field_is_named(api: Served, body: object, field: str) -> None:
    headers = {"content-type": "application/json"}
    answer = await (await api.client()).post(CREATE, content=json.dumps(body), headers=headers)
    assert answer.status_code == 422
    problem = problem_of(answer)
    assert problem["code"] == "invalid"
    assert field in [error["field"] for error in problem["errors"]]


async def test_all_wrong_fields_are_named_at_once(api: Served) -> None:
    body = {"template": 5, "ttl": 5, "ephemeral": 5}
    answer = await (await api.client()).post(CREATE, json=body)
    fields = {error["field"] for error in problem_of(answer)["errors"]}
    assert fields == {"template", "ttl", "ephemeral"}


async def test_a_body_over_the_limit_is_refused_by_its_announced_length(api: Served) -> None:
    headers = {"content-type": "application/json", "content-length": str(10 << 20)}
    request = httpx.Request("POST", f"http://127.0.0.1:7080{CREATE}", headers=headers)
    client = await api.client()
    request.headers["authorization"] = client.headers["authorization"]
    answer = await client.send(request)
    assert problem_of(answer)["code"] == "too_large"


async def test_a_body_without_an_announced_length_is_cut_off_at_the_limit(api: Served) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"name": "'
        while True:
            sent += 65536
            yield b"a" * 65536

    headers = {"content-type": "application/json"}
    answer = await (await api.client()).post(CREATE, content=endless(), headers=headers)
    assert problem_of(answer)["code"] == "too_large"
    assert sent < 20 << 20


async def test_an_unknown_query_parameter_is_refused_by_name(api: Served) -> None:
    answer = await (await api.client()).get(CREATE, params={"onwer": "ada"})
    assert answer.status_code == 422
    assert problem_of(answer)["errors"][0]["field"] == "onwer"


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "phase=fine", "label=x"])
async def test_a_wrong_query_parameter_is_named(api: Served, query: str) -> None:
    answer = await (await api.client()).get(f"{CREATE}?{query}")
    assert answer.status_code == 422
    assert problem_of(answer)["errors"][0]["field"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("path", ["/api/v2/workspaces/a%00b", "/api/v2/users/a%00b"])
async def test_nul_in_a_path_is_not_found(api: Served, path: str) -> None:
    answer = await (await api.client()).get(path)
    assert answer.status_code == 404


async def test_nul_in_a_query_is_refused(api: Served) -> None:
    answer = await (await api.client()).get(f"{CREATE}?owner=%00")
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "cursor", ["x", "W10", "WyJcdTAwMDAiXQ", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsIlx1MDAwMCJd", "é"]
)
async def test_a_cursor_that_we_did_not_give_is_refused(api: Served, cursor: str) -> None:
    for path in ("workspaces", "users", "tokens", "templates", "events"):
        client = await api.client(ROOT)
        answer = await client.get(f"/api/v2/{path}", params={"cursor": cursor})
        assert answer.status_code == 422, path
        assert problem_of(answer)["errors"][0]["field"] == "cursor"


async def test_an_unexpected_error_tells_its_id_and_nothing_else(api: Served) -> None:
    async def broken(verb: str, workspace: WorkspaceId) -> None:
        raise ZeroDivisionError(f"secret {verb} {workspace}")

    async def capabilities() -> object:
        await broken("capabilities", WorkspaceId("x"))
        return None

    api.world.driver.capabilities = capabilities  # pyright: ignore[reportAttributeAccessIssue]
    answer = await (await api.client()).get("/api/v2/server")
    problem = problem_of(answer)
    assert problem["code"] == "internal"
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text


async def test_what_is_out_of_reach_says_when_to_try_again(api: Served) -> None:
    async def capabilities() -> object:
        raise Unavailable("the host process does not answer")

    api.world.driver.capabilities = capabilities  # pyright: ignore[reportAttributeAccessIssue]
    answer = await (await api.client()).get("/api/v2/server")
    assert problem_of(answer)["code"] == "unavailable"
    assert int(answer.headers["retry-after"]) > 0


async def test_who_asks_too_often_is_told_when_to_come_back(api: Served) -> None:
    client = await api.client()
    for _ in range(api.core.settings.request_rate_per_minute):
        api.core.gate.rates.take(
            f"requests:{ADA.id}", per_minute=6000, burst=6000, now=api.world.clock()
        )
    answer = await client.get("/api/v2/users/me")
    assert problem_of(answer)["code"] == "rate_limited"
    assert int(answer.headers["retry-after"]) >= 1
    api.world.clock.move(seconds=2)
    assert (await client.get("/api/v2/users/me")).status_code == 200


async def test_what_a_caller_wrote_comes_back_bounded_and_without_control_characters(
    api: Served,
) -> None:
    answer = await (await api.client()).get(f"/api/v2/users/{'%1b' * 30}")
    assert "\x1b" not in json.loads(answer.text)["detail"]
