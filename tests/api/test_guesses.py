"""Ten thousand wrong tokens: none gets in, and they take nothing of what others need."""

import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from alcove.core.gate import ENTRIES_MAX
from alcove.core.proofs import SecretKind, new_secret
from tests.api.served import ADA, Served

pytestmark = pytest.mark.timeout(600)


def _guesses(many: int) -> Sequence[str]:
    """Well-formed ones of unknown ids, and some that are not."""
    formed = [new_secret(SecretKind.TOKEN).text for _ in range(many - 200)]
    return [*formed, *(secrets.token_hex(20) for _ in range(200))]


@pytest.mark.parametrize(
    ("path", "header", "before", "many"),
    [
        ("/api/v2/workspaces", b"authorization", "Bearer ", 10_000),
        ("/e2b/v2/sandboxes", b"x-api-key", "", 2_000),
        ("/daytona/api/sandbox", b"authorization", "Bearer ", 2_000),
    ],
)
async def test_wrong_tokens_open_nothing_and_fill_nothing(
    api: Served, path: str, header: bytes, before: str, many: int
) -> None:
    ada = await api.client(ADA)
    seen = {await _status(api, path, header, before + guess) for guess in _guesses(many)}
    assert seen == {401} or seen == {401, 429}
    assert len(api.core.gate._seen) <= ENTRIES_MAX  # pyright: ignore[reportPrivateUsage]
    assert (await ada.get("/api/v2/workspaces")).status_code == 200


async def _status(api: Served, path: str, header: bytes, value: str) -> int:
    """One request without a client's own cost, which would be most of it."""
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"127.0.0.1:7080"), (header, value.encode())],
        "client": ("198.51.100.7", 4321), "server": ("127.0.0.1", 7080),
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await api.app(scope, receive, send)
    return statuses[0]
