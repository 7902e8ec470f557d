"""Answers: pydantic writes the JSON once, straight from the model, and nothing checks it again.

FastAPI would validate the model a second time and encode it in Python; on a list of 500
workspaces that costs more than the query.
"""

import base64
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from alcove.http.problem import responses

_COMMON: Final = (401, 403, 422, 429, 503)


class Json(Response):
    media_type = "application/json"


def answer(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Json:
    """The model as JSON."""
    return Json(model.__pydantic_serializer__.to_json(model), status, headers=headers)


def nothing() -> Response:
    """204: done, and there is nothing to say."""
    return Response(status_code=204)


def exact(data: bytes) -> str | None:
    """The bytes themselves, where text would lose some."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
    return None


def documents(
    model: type[BaseModel] | None,
    *errors: int,
    status: int = 200,
    description: str = "OK",
    events: str | None = None,
) -> dict[str, Any]:
    """For a route's decorator: what it answers, for OpenAPI. `events`: an example of what it
    streams to those who accept `text/event-stream`."""
    good: dict[str, Any] = {"description": description}
    if model is not None:
        good["model"] = model
    if events is not None:
        good["content"] = {"text/event-stream": {"example": events}}
    return {
        "status_code": status,
        "response_model": None,
        "responses": {status: good, **responses(*sorted({*_COMMON, *errors}))},
    }
