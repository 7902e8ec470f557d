"""The document is whole, and the app keeps to it whatever schemathesis sends."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from alcove.api.app import ROUTERS, build
from alcove.api.openapi import api_routes, describe
from alcove.core import reconciler, snapshot_keeper
from alcove.http import access
from tests.api.served import ROOT, Served, listening


def document(api: Served) -> dict[str, Any]:
    return describe(build(api.core), ROUTERS, "0")


async def test_every_operation_says_what_it_does_and_what_it_answers(api: Served) -> None:
    for path, item in document(api)["paths"].items():
        for method, operation in item.items():
            assert operation.get("description"), f"{method} {path}"
            assert operation["responses"], f"{method} {path}"
            assert "HTTPValidationError" not in str(operation), f"{method} {path}"


async def test_every_reference_has_a_target(api: Served) -> None:
    made = document(api)
    targets = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            found = {v for k, v in value.items() if k == "$ref"}  # pyright: ignore
            return found.union(*(references(v) for v in value.values()))  # pyright: ignore
        if isinstance(value, list):
            return set[str]().union(*(references(v) for v in value))  # pyright: ignore
        return set()

    assert references(made) <= targets


async def test_every_route_that_takes_json_documents_its_body(api: Served) -> None:
    made = document(api)
    bodies = {
        f"{method} {path}"
        for path, item in made["paths"].items()
        for method, operation in item.items()
        if "requestBody" in operation
    }
    assert "post /api/v2/workspaces" in bodies
    assert "patch /api/v2/users/{user}" in bodies
    assert "put /api/v2/workspaces/{workspace}/files" in bodies


async def test_fields_carry_their_docstrings(api: Served) -> None:
    schemas = document(api)["components"]["schemas"]
    assert schemas["Workspace"]["properties"]["started"]["description"].startswith(
        "How it came to run"
    )


async def test_the_document_is_public(api: Served) -> None:
    answer = await api.bare().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")


async def test_allow_names_every_method_of_an_address(api: Served) -> None:
    answer = await api.bare().put("/api/v2/workspaces/x")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"


def test_no_two_routes_share_a_name() -> None:
    names = [f"{r.path_format} {sorted(r.methods or ())}" for r in api_routes(ROUTERS)]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_app_keeps_to_its_document(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fixed seed, so that a failure can be had again."""
    # The clock stands still, and every operation is tried without a credential.
    monkeypatch.setattr(access, "FAILURES_PER_MINUTE", 1_000_000)
    secret = await api.token(ROOT)
    said, code = "", 1
    async with listening(api.app) as url, anyio.create_task_group() as tasks:
        tasks.start_soon(reconciler.run, api.core)
        tasks.start_soon(snapshot_keeper.run, api.core)
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"),
            *("-H", f"Authorization: Bearer {secret.text}"),
            *("--seed", "3", "--max-examples", "3", "--phases", "examples,coverage"),
            # What fits the schema may still be refused: a template that is not there, say.
            # `Allow` tells what works, and PATCH /users/me does, by way of /users/{user}.
            *("--exclude-checks", "positive_data_acceptance,allow_header_conformance"),
            *("--request-timeout", "6", "--no-color"),
        ]
        done = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)
        said, code = done.stdout.decode(), done.returncode
        tasks.cancel_scope.cancel()
    assert code == 0, "\n".join(line[:300] for line in said.splitlines()[-200:])
    assert "Tested: 0" not in said
