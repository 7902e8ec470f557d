"""Errors as E2B's clients read them: `{code, message, error_code}`."""

from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from alcove.http import problem
from alcove.http.context import context_of
from alcove.http.problem import HttpError
from alcove.model.errors import AlcoveError, Invalid, OutOfRange, Unsupported

_NAMES: Final = {
    "ttl": "timeout",
    "idle_stop": "timeout",
    "env": "envVars",
    "labels": "metadata",
    "network": "allow_internet_access",
}
"""What a field of ours is called there."""
_CONNECT: Final = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    409: "already_exists",
    413: "resource_exhausted",
    429: "resource_exhausted",
    501: "unimplemented",
    502: "unavailable",
    503: "unavailable",
}


class SandboxGone(HttpError):
    """Their clients tell by this sentence that a sandbox has ended."""

    def __init__(self, sandbox: str) -> None:
        super().__init__(502, f"The sandbox {sandbox[:64]} was not found")


class PortClosed(HttpError):
    def __init__(self, sandbox: str, port: int) -> None:
        said = f"The sandbox {sandbox[:64]} is running but port is not open: {port}"
        super().__init__(502, said)


def install(app: Starlette) -> None:
    for kind in (AlcoveError, HttpError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, cast("Any", _handle))


def response_for(error: Exception, scope: Any, *, connect: bool = False) -> Response:
    """`connect`: for a caller of the Connect protocol, whose codes are words."""
    status, message, code, headers = describe(error, request_id=context_of(scope).request_id)
    if status >= 500 and not isinstance(error, AlcoveError | HttpError):
        # Logged there, under the request's id.
        problem.response_for(error, Request(scope))
    body: dict[str, Any]
    if connect:
        body = {"code": _CONNECT.get(status, "internal"), "message": message}
    else:
        body = {"code": status, "message": message, "error_code": code}
    return JSONResponse(body, status, headers=dict(headers))


def describe(error: Exception, *, request_id: str) -> tuple[int, str, str, Mapping[str, str]]:
    """Status, sentence, word and headers. Pure."""
    if isinstance(error, HttpError):
        return error.status, str(error), problem.CODES.get(error.status, ""), error.headers
    if isinstance(error, Invalid) and not isinstance(error, OutOfRange):
        return 400, _renamed(error), error.code, {}
    if isinstance(error, Unsupported):
        return 501, str(error), error.code, {}
    found, headers = problem.describe(error, request_id=request_id)
    status = 400 if found.status == 422 else found.status
    headers = {k: v for k, v in headers.items() if k != "www-authenticate"}
    said = found.detail if status != 500 else f"{found.detail} ({request_id})"
    return status, said, found.code, headers


async def _handle(request: Request, error: Exception) -> Response:
    return response_for(error, request.scope)


def _renamed(error: Invalid) -> str:
    if not error.errors:
        return str(error)
    parts: list[str] = []
    for fault in error.errors[:5]:
        first, dot, rest = fault.field.partition(".")
        name = f"{_NAMES.get(first, first)}{dot}{rest}"
        parts.append(f"{name}: {fault.message}" if name else fault.message)
    return "; ".join(parts)
