"""The listener: what it does about each connection."""

import asyncio
import socket

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from alcove.http import listener
from tests.api.served import listening


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_no_answer_waits_for_what_was_sent_before_to_be_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """asyncio's own loop does not see to it for a listener that it was given."""
    seen: list[int] = []

    class Watched(listener.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            connection: socket.socket = transport.get_extra_info("socket")
            seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(listener, "Protocol", Watched)
    async with listening(_hello) as url, httpx.AsyncClient() as client:
        assert (await client.get(url)).text == "hello"
    assert seen == [1]
