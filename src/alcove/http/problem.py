"""Errors as RFC 9457 problems. One table says which error is which status.

Rule: an answer never tells internals; a request id leads the operator to the log instead.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from alcove.http.context import context_of
from alcove.model.errors import (
    AlcoveError,
    Conflict,
    Denied,
    DriverError,
    FieldError,
    Invalid,
    NoGrant,
    NotFound,
    NotListening,
    OutOfRange,
    QuotaExceeded,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from alcove.wire.problems import Problem, ProblemField

MEDIA_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 50
SOCKET_REFUSED: Final = 4000
"""Close code of a WebSocket after the message that says why."""
STATUS: Final[Mapping[type[AlcoveError], int]] = {
    NotFound: 404,
    Conflict: 409,
    Denied: 403,
    Unauthenticated: 401,
    NoGrant: 400,
    OutOfRange: 416,
    Invalid: 422,
    QuotaExceeded: 403,
    TooMany: 429,
    Unsupported: 422,
    NotListening: 502,
    Unavailable: 503,
    DriverError: 502,
}
CODES: Final = {
    400: "malformed",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "timeout",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    426: "upgrade_required",
    431: "too_large",
    502: "bad_gateway",
    504: "gateway_timeout",
}
_UNAVAILABLE_RETRY_S: Final = 2
_FIELD_FIRST: Final = re.compile(r"([a-z_0-9.]{1,64}): (.+)", re.DOTALL)
_log = structlog.get_logger("alcove.api")


class HttpError(Exception):
    """What goes wrong in HTTP itself, before any verb is called."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def install(app: Starlette) -> None:
    """Answer every error of the app with a problem."""
    for kind in (
        AlcoveError,
        HttpError,
        HTTPException,
        RequestValidationError,
        WebSocketRequestValidationError,
        Exception,
    ):
        app.add_exception_handler(kind, cast("Any", _handle))


def response_for(error: Exception, connection: HTTPConnection) -> Response:
    """The answer to this error; to an unexpected one, which is logged, nothing but its id."""
    context = context_of(connection.scope)
    problem, headers = describe(error, request_id=context.request_id)
    if problem.status >= 500 and not isinstance(error, HttpError | NotListening):
        _log_failure(error, problem)
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def describe(error: Exception, *, request_id: str) -> tuple[Problem, Mapping[str, str]]:
    """The problem and the headers that go with it. Pure."""
    match error:
        case AlcoveError():
            return _of_ours(error, request_id)
        case HttpError():
            return _problem(
                error.status, CODES.get(error.status, "malformed"), str(error), request_id
            ), error.headers
        case ValidationError():
            fields = faults_of(error)
            return _of_ours(Invalid(_summary(fields), fields), request_id)
        case RequestValidationError() | WebSocketRequestValidationError():
            fields = field_errors(cast("Sequence[ErrorDetails]", error.errors()), skip=1)
            return _of_ours(Invalid(_summary(fields), fields), request_id)
        case HTTPException():
            code = CODES.get(error.status_code, "malformed")
            return _problem(error.status_code, code, _http_detail(error), request_id), dict(
                error.headers or {}
            )
        case _:
            said = "something went wrong in the server; its log has more under this request id"
            return _problem(500, "internal", said, request_id), {}


def field_errors(errors: Iterable[ErrorDetails], *, skip: int = 0) -> list[FieldError]:
    """Pydantic's errors as paths that the caller wrote. `skip`: leading words of FastAPI's."""
    found: list[FieldError] = []
    for error in errors:
        if len(found) == ERRORS_MAX:
            break
        path = ".".join(_shown(part) for part in error["loc"][skip:])
        message = error["msg"].removeprefix("Value error, ")
        if not path and (named := _FIELD_FIRST.fullmatch(message)):
            path, message = named[1], named[2]
        found.append(FieldError(path, message))
    return found


def faults_of(error: ValidationError | AlcoveError) -> Sequence[FieldError]:
    """What is wrong with what a form said. What is about no field of it has the field ""."""
    if isinstance(error, ValidationError):
        return field_errors(error.errors(include_url=False, include_input=False))
    found = error.errors if isinstance(error, Invalid) else ()
    return found or (FieldError("", str(error)),)


async def refuse_socket(socket: WebSocket, error: Exception) -> None:
    """Say no over a WebSocket: with an HTTP answer while that is possible, else in a message."""
    if socket.application_state is WebSocketState.CONNECTING:
        await socket.send_denial_response(response_for(error, socket))
        return
    problem, _ = describe(error, request_id=context_of(socket.scope).request_id)
    try:
        await socket.send_text(problem.model_dump_json(exclude_none=True))
        await socket.close(SOCKET_REFUSED)
    except (RuntimeError, WebSocketDisconnect):
        # The client has gone meanwhile.
        return


async def _handle(connection: Request | WebSocket, error: Exception) -> Response | None:
    if isinstance(connection, WebSocket):
        await refuse_socket(connection, error)
        return None
    return response_for(error, connection)


def _of_ours(error: AlcoveError, request_id: str) -> tuple[Problem, Mapping[str, str]]:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    headers: dict[str, str] = {}
    match error:
        case TooMany():
            headers["retry-after"] = str(error.retry_after_s)
        case Unavailable():
            headers["retry-after"] = str(_UNAVAILABLE_RETRY_S)
        case Unauthenticated():
            headers["www-authenticate"] = 'Bearer realm="alcove"'
        case _:
            pass
    errors = error.errors if isinstance(error, Invalid) else ()
    problem = _problem(status, error.code, str(error), request_id, errors)
    return problem, headers


def _problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    errors: Sequence[FieldError] = (),
) -> Problem:
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_clean(detail, 2000),
        code=code,
        errors=[
            ProblemField(field=_clean(e.field, 200), message=_clean(e.message, 500))
            for e in errors
        ]
        or None,
        request_id=request_id or None,
    )


def _summary(fields: Sequence[FieldError]) -> str:
    said = "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in fields[:3])
    more = f"; and {len(fields) - 3} more" if len(fields) > 3 else ""
    return f"{said}{more}"


def _http_detail(error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return "there is nothing at this address"
        case _:
            return str(error.detail)


def _shown(part: object) -> str:
    return _clean(str(part), 64)


def _clean(text: str, length_max: int) -> str:
    """What a caller wrote may come back in an error: bounded, and without control characters
    or half surrogates, which JSON or a terminal would choke on."""
    text = text if len(text) <= length_max else text[: length_max - 1] + "…"
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _log_failure(error: Exception, problem: Problem) -> None:
    if isinstance(error, AlcoveError):
        _log.warning("unavailable", code=problem.code, detail=problem.detail)
    else:
        _log.error("failed", exc_info=error, request_id=problem.request_id)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these statuses are problems."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
