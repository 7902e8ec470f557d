"""Errors as Daytona's clients read them: `{statusCode, message, code, source, path, …}`.

The clients choose an exception class by `source` and `code`, and else by the status. What ours
mean is decided in `http/problem.py`; here they are only said in other words.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from alcove.http.access import core_of
from alcove.http.context import context_of
from alcove.http.problem import describe
from alcove.model.errors import AlcoveError, Invalid, Unsupported

API: Final = "DAYTONA_API"
DAEMON: Final = "DAYTONA_DAEMON"
_STATUS: Final = {"unsupported": 501, "invalid": 400, "driver_error": 502}
_GENERIC: Final = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    410: "GONE",
}
_OF_FILES: Final = {
    400: "INVALID_FILE_PATH",
    403: "FILE_ACCESS_DENIED",
    404: "FILE_NOT_FOUND",
}


class Refused(Exception):
    """What only Daytona's clients have a word for. `code` is one of the daemon's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def said(
    error: Exception, *, path: str, request_id: str, now: str
) -> tuple[Mapping[str, Any], int, Mapping[str, str]]:
    """The body, the status and the headers of the answer. Pure."""
    toolbox = is_toolbox(path)
    headers: Mapping[str, str] = {}
    match error:
        case Refused():
            status, code, message = error.status, error.code, str(error)
        case _:
            problem, headers = describe(error, request_id=request_id)
            status = _STATUS.get(problem.code, problem.status)
            message = problem.detail or HTTPStatus(status).phrase
            code = problem.code if isinstance(error, Unsupported) else _code(status, path)
            if isinstance(error, Invalid) and problem.errors:
                message = "; ".join(f"{one.field}: {one.message}" for one in problem.errors[:5])
    body = {
        "statusCode": status,
        "message": message,
        "error": HTTPStatus(status).phrase,
        "code": code,
        "source": DAEMON if toolbox else API,
        "path": path,
        "timestamp": now,
    }
    return body, status, headers


def is_toolbox(path: str) -> bool:
    return "/toolbox/" in path


def response_for(error: Exception, connection: HTTPConnection) -> Response:
    context = context_of(connection.scope)
    core = core_of(connection)
    body, status, headers = said(
        error,
        path=str(connection.scope["path"])[:1024],
        request_id=context.request_id,
        now=core.clock().isoformat(),
    )
    if status >= 500 and not isinstance(error, AlcoveError | Refused):
        # Only the log tells more.
        raise error
    return JSONResponse(dict(body), status_code=status, headers=dict(headers))


async def refuse_socket(socket: WebSocket, error: Exception) -> None:
    """An HTTP answer while that is possible, and else a close with the reason."""
    if socket.application_state is WebSocketState.CONNECTING:
        await socket.send_denial_response(response_for(error, socket))
        return
    try:
        reason = str(error)[:100] if isinstance(error, AlcoveError | Refused) else "internal error"
        await socket.close(1011, reason)
    except (RuntimeError, WebSocketDisconnect):
        return


def _code(status: int, path: str) -> str:
    codes = _GENERIC | _OF_FILES if "/files" in path and is_toolbox(path) else _GENERIC
    return codes.get(status, HTTPStatus(status).name)
