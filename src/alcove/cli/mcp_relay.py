"""Between a client's stdin and stdout and the server's `/mcp`: one message, one request.

It understands no more of MCP than it must: which answers belong to which request, what cancels
what, and the headers that HTTP wants. A message that cannot be passed on is answered with an
error, so that the client never waits for nothing.
"""

import base64
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any, Final, cast

import anyio
import anyio.to_thread
import httpx

from alcove.sdk.answers import problem_of
from alcove.sdk.credentials import Endpoint
from alcove.sdk.sse import Parser
from alcove.sdk.version import user_agent

LINE_MAX: Final = 8 << 20
ANSWER_MAX: Final = 32 << 20
UNDER_WAY_MAX: Final = 64
CONNECT_S: Final = 10.0
SILENCE_S: Final = 120.0
"""The server says something at least every fifteen seconds while it works."""
TRIES: Final = 3
AGAIN_S: Final = 0.5
GRACE_S: Final = 1.0
"""For what is under way when the client closes its end."""
_ANSWER: Final = "application/json, text/event-stream"
_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_PARSE_ERROR, _INVALID, _FAILED = -32700, -32600, -32000
_Json = dict[str, Any]


async def relay(endpoint: Endpoint, source: IO[bytes], target: IO[bytes]) -> None:
    """Until the source ends; what is still under way then is ended too."""
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {endpoint.token}", "User-Agent": user_agent()},
        timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S, pool=None),
        limits=httpx.Limits(max_connections=UNDER_WAY_MAX + 4),
        trust_env=not endpoint.is_loopback,
    ) as http:
        await _Relay(http, f"{endpoint.url}/mcp", target).run(source)


class _Relay:
    def __init__(self, http: httpx.AsyncClient, url: str, target: IO[bytes]) -> None:
        self._http, self._url, self._target = http, url, target
        self._writing = anyio.Lock()
        self._room = anyio.Semaphore(UNDER_WAY_MAX)
        self._calls: dict[str, anyio.CancelScope] = {}
        self._session: str | None = None
        self._version: str | None = None

    async def run(self, source: IO[bytes]) -> None:
        async with anyio.create_task_group() as tasks:
            while line := await anyio.to_thread.run_sync(
                source.readline, LINE_MAX, abandon_on_cancel=True
            ):
                message = await self._message(line)
                if message is None:
                    continue
                if message.get("method") == "initialize":
                    # Everything after it needs what it answers.
                    await self._request(message)
                elif "id" in message and "method" in message:
                    await self._room.acquire()
                    tasks.start_soon(self._call, message)
                else:
                    await self._notify(message)
            tasks.cancel_scope.deadline = anyio.current_time() + GRACE_S

    async def _message(self, line: bytes) -> _Json | None:
        if not line.strip():
            return None
        try:
            found: Any = json.loads(line)
        except (ValueError, RecursionError):
            await self._refuse(None, _PARSE_ERROR, "the line is not JSON")
            return None
        if not isinstance(found, dict):
            await self._refuse(None, _INVALID, "send one JSON-RPC object a line")
            return None
        return cast("_Json", found)

    async def _call(self, message: _Json) -> None:
        key = repr(message["id"])
        try:
            with anyio.CancelScope() as scope:
                self._calls[key] = scope
                await self._request(message)
        finally:
            self._calls.pop(key, None)
            self._room.release()

    async def _request(self, message: _Json) -> None:
        """Pass it on, and everything that comes back; the last of it is an answer."""
        try:
            answered = await self._sent(message)
        except (httpx.HTTPError, ValueError) as error:
            said = f"cannot reach {self._url}: {error or type(error).__name__}"
            await self._refuse(message["id"], _FAILED, said)
            return
        if not answered:
            said = "the server ended the answer before it was whole"
            await self._refuse(message["id"], _FAILED, said)

    async def _notify(self, message: _Json) -> None:
        if message.get("method") == "notifications/cancelled":
            params: Any = message.get("params")
            id = cast("_Json", params).get("requestId") if isinstance(params, dict) else None
            if scope := self._calls.get(repr(id)):
                scope.cancel()
        try:
            await self._http.post(self._url, json=message, headers=self._headers(message))
        except httpx.HTTPError as error:
            sys.stderr.write(f"alcove mcp: a notification is lost: {error}\n")

    async def _sent(self, message: _Json) -> bool:
        """Whether an answer to this request came back. A connection that cannot be made is
        tried again, as while the server restarts."""
        for attempt in range(1, TRIES + 1):
            try:
                async with self._http.stream(
                    "POST", self._url, json=message, headers=self._headers(message)
                ) as response:
                    return await self._answer(message, response)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if attempt == TRIES:
                    raise
                await anyio.sleep(AGAIN_S * attempt)
        return False

    async def _answer(self, message: _Json, response: httpx.Response) -> bool:
        kind = response.headers.get("content-type", "").partition(";")[0]
        if kind == "text/event-stream":
            return await self._events(message, response)
        body = b"".join([chunk async for chunk in _bounded(response)])
        if kind != "application/json":
            problem = problem_of(response.status_code, response.headers, body)
            data = {"code": problem.code, "status": response.status_code}
            await self._refuse(message["id"], _FAILED, problem.message, data)
            return True
        return await self._passed(message, body.decode(), response)

    async def _events(self, message: _Json, response: httpx.Response) -> bool:
        parser = Parser()
        answered = False
        async for chunk in response.aiter_bytes():
            for event in parser.feed(chunk):
                if event.data:
                    answered |= await self._passed(message, event.data, response)
        return answered

    async def _passed(self, message: _Json, text: str, response: httpx.Response) -> bool:
        """Write one message of the server's; whether it is the answer."""
        found: Any = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("the server sent what is no message")
        said = cast("_Json", found)
        answer = "method" not in said
        if answer and said.get("id") is None:
            # An error before the server knew what was asked.
            said["id"] = message["id"]
        if answer and message.get("method") == "initialize":
            self._session = response.headers.get("mcp-session-id")
            result: Any = said.get("result") or {}
            self._version = result.get("protocolVersion")
        await self._write(said)
        return answer

    def _headers(self, message: _Json) -> dict[str, str]:
        headers = {"Accept": _ANSWER}
        params: Any = message.get("params")
        params = cast("_Json", params) if isinstance(params, dict) else {}
        meta: Any = params.get("_meta")
        modern = cast("_Json", meta).get(_VERSION_KEY) if isinstance(meta, dict) else None
        if modern is not None:
            method = str(message.get("method"))
            headers |= {"MCP-Protocol-Version": str(modern), "Mcp-Method": _safe(method)}
            if (name := params.get(_NAMED.get(method, ""))) is not None:
                headers["Mcp-Name"] = _safe(str(name))
            return headers
        if message.get("method") != "initialize":
            if self._version is not None:
                headers["MCP-Protocol-Version"] = self._version
            if self._session is not None:
                headers["Mcp-Session-Id"] = self._session
        return headers

    async def _refuse(
        self, id: object, code: int, text: str, data: Mapping[str, object] | None = None
    ) -> None:
        error: _Json = {"code": code, "message": text}
        if data is not None:
            error["data"] = dict(data)
        await self._write({"jsonrpc": "2.0", "id": id, "error": error})

    async def _write(self, message: _Json) -> None:
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        async with self._writing:
            await anyio.to_thread.run_sync(self._written, line)

    def _written(self, line: bytes) -> None:
        self._target.write(line)
        self._target.flush()


async def _bounded(response: httpx.Response) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > ANSWER_MAX:
            raise ValueError("the server's answer is too large")
        yield chunk


def _safe(text: str) -> str:
    """As a header's value; what would not survive there goes in base64."""
    plain = text.isascii() and text.isprintable() and text == text.strip()
    if plain and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="
