"""One HTTP connection pool to one server: authentication, repetition, problems as exceptions.

Every call of the client goes through here, and none leaves a response unread or unclosed.
"""

import random
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import httpx

from alcove.sdk._async.primitives import sleep
from alcove.sdk.answers import Query, encode, problem_of, query_pairs, read
from alcove.sdk.credentials import Endpoint
from alcove.sdk.errors import AlcoveError, Unavailable
from alcove.sdk.retry import RETRIES, Answer, Broken, Repeat, wait_before_retry
from alcove.sdk.trust import trusted
from alcove.sdk.version import user_agent
from alcove.wire.base import Answer as Model
from alcove.wire.base import Request

if TYPE_CHECKING:
    from alcove.sdk._async.sockets import AsyncSocket

CONNECT_TIMEOUT_S: Final = 10.0
TIMEOUT_S: Final = 60.0
PROBLEM_MAX: Final = 1024 * 1024
_API: Final = "/api/v2"

Body: TypeAlias = bytes | AsyncIterator[bytes]
ModelT = TypeVar("ModelT", bound=Model)


class AsyncTransport:
    """`timeout_s` is for an ordinary call; what streams or waits has its own.

    `http` replaces the network, for tests against an application in the same process.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._retries = retries
        # A proxy from the environment is for the world outside, not for a server on this machine.
        self._headers = {"User-Agent": user_agent()}
        if endpoint.token:
            self._headers["Authorization"] = f"Bearer {endpoint.token}"
        self._client = httpx.AsyncClient(
            base_url=endpoint.url,
            headers=self._headers,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
            trust_env=not endpoint.is_loopback,
            verify=trusted() if endpoint.url.startswith("https:") else True,
            transport=http,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def __aenter__(self) -> "AsyncTransport":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def get(self, answer: type[ModelT], path: str, *, query: Query | None = None) -> ModelT:
        response = await self.send("GET", path, query=query)
        return read(answer, response.content)

    async def post(
        self,
        answer: type[ModelT],
        path: str,
        body: Request | None = None,
        *,
        query: Query | None = None,
        repeat: Repeat = Repeat.SAFE,
        timeout_s: float | None = TIMEOUT_S,
    ) -> ModelT:
        """With `Repeat.SAFE` the call carries an idempotency key of its own."""
        response = await self.send(
            "POST", path, query=query, json=body, repeat=repeat, timeout_s=timeout_s
        )
        return read(answer, response.content)

    async def patch(self, answer: type[ModelT], path: str, body: Request) -> ModelT:
        response = await self.send("PATCH", path, json=body)
        return read(answer, response.content)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Request | None = None,
        content: Body | None = None,
        content_type: str | None = None,
        repeat: Repeat = Repeat.SAFE,
        timeout_s: float | None = TIMEOUT_S,
    ) -> httpx.Response:
        """The whole answer, read. Raises AlcoveError for every outcome but 2xx."""
        async with self.stream(
            method,
            path,
            query=query,
            json=json,
            content=content,
            content_type=content_type,
            repeat=repeat,
            timeout_s=timeout_s,
        ) as response:
            try:
                await response.aread()
            except httpx.TransportError as error:
                raise _lost(self.endpoint.url, error) from error
            return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Request | None = None,
        content: Body | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: Repeat = Repeat.SAFE,
        timeout_s: float | None = TIMEOUT_S,
    ) -> AsyncGenerator[httpx.Response]:
        """The answer's head; the body is the caller's to read. Repeats until there is a head."""
        sent = dict(headers or {})
        if json is not None:
            content, content_type = encode(json), "application/json"
        if content_type is not None:
            sent["Content-Type"] = content_type
        if method == "POST" and repeat is Repeat.SAFE:
            sent["Idempotency-Key"] = secrets.token_hex(16)
        request = self._client.build_request(
            method,
            _API + path,
            params=query_pairs(query),
            content=content,
            headers=sent,
            timeout=self._timeout(timeout_s),
        )
        response = await self._until_answered(request, repeat)
        try:
            yield response
        finally:
            await response.aclose()

    def _timeout(self, asked_s: float | None) -> httpx.Timeout:
        """What a call asks for; the ordinary one is the client's own, and caps connecting."""
        answer_s = self._timeout_s if asked_s == TIMEOUT_S else asked_s
        return httpx.Timeout(answer_s, connect=min(CONNECT_TIMEOUT_S, self._timeout_s))

    async def _until_answered(self, request: httpx.Request, repeat: Repeat) -> httpx.Response:
        attempt = 0
        while True:
            attempt += 1
            error: AlcoveError
            outcome: Answer | Broken
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as cause:
                outcome, error = Broken.UNSENT, _unreachable(self.endpoint.url, cause)
                error.__cause__ = cause
            except httpx.TransportError as cause:
                outcome, error = Broken.LOST, _lost(self.endpoint.url, cause)
                error.__cause__ = cause
            else:
                if response.is_success or response.status_code == 101:
                    return response
                error = await _problem(response)
                outcome = Answer(response.status_code, error.retry_after_s)
            pause = wait_before_retry(
                outcome,
                repeat=repeat,
                attempt=attempt,
                retries=self._retries,
                jitter=random.random(),
            )
            if pause is None:
                raise error
            await sleep(pause)

    @asynccontextmanager
    async def websocket(self, path: str) -> "AsyncGenerator[AsyncSocket]":
        """An open WebSocket. Raises AlcoveError when the server refuses the upgrade."""
        from alcove.sdk._async.sockets import open_socket  # noqa: PLC0415 - by need

        url = "ws" + self.endpoint.url.removeprefix("http") + _API + path
        async with open_socket(
            url,
            headers=self._headers,
            context=trusted() if url.startswith("wss:") else None,
            direct=self.endpoint.is_loopback,
            timeout_s=CONNECT_TIMEOUT_S,
        ) as socket:
            yield socket


async def _problem(response: httpx.Response) -> AlcoveError:
    """The error that an answer stands for; reads it, bounded, and closes it."""
    content = b""
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > PROBLEM_MAX:
                break
    except httpx.TransportError:
        content = b""
    finally:
        await response.aclose()
    return problem_of(response.status_code, response.headers, content)


def _unreachable(url: str, cause: Exception) -> Unavailable:
    return Unavailable(f"cannot reach {url}: {cause or type(cause).__name__}")


def _lost(url: str, cause: Exception) -> Unavailable:
    return Unavailable(f"lost the connection to {url}: {cause or type(cause).__name__}")
