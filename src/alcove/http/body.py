"""Reading request bodies: JSON with a limit that holds while it is read, forms, and raw bytes.

`request: Annotated[NewUser, body(NewUser)]`. Pydantic parses the bytes itself, in strict mode:
no type is guessed, and what is wrong is named by its field.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qs

import anyio
from fastapi import Depends
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Message

from alcove.http.problem import HttpError, field_errors
from alcove.model.errors import Invalid
from alcove.wire.base import Request as WireRequest

JSON_MAX: Final = 1 << 20
FORM_MAX: Final = 64 << 10
DRAIN_MAX: Final = 16 << 20
DRAIN_S: Final = 2.0
STALLED_S: Final = 60.0
_RAW: Final = "raw_body"
_ModelT = TypeVar("_ModelT", bound=WireRequest)


class Body(Generic[_ModelT]):
    """A dependency that answers the body as this model."""

    def __init__(self, model: type[_ModelT], *, optional: bool, size_max: int) -> None:
        self.model = model
        self.optional = optional
        self.size_max = size_max

    async def __call__(self, request: Request) -> _ModelT:
        raw = await read_all(request, size_max=self.size_max)
        setattr(request.state, _RAW, raw)
        if not raw and self.optional:
            raw = b"{}"
        else:
            require_type(request, "application/json")
        return parse(self.model, raw)


def body(model: type[WireRequest], *, optional: bool = False, size_max: int = JSON_MAX) -> Any:
    """For `Annotated`: the JSON body. `optional`: no body is an empty object."""
    return Depends(Body(model, optional=optional, size_max=size_max), use_cache=False)


def raw_body(request: Request) -> bytes:
    """The bytes that a `body` dependency has read; empty when there was none."""
    return getattr(request.state, _RAW, b"")


def parse(model: type[_ModelT], raw: bytes | str) -> _ModelT:
    """Raises HttpError(400) for what is not JSON and Invalid for what does not fit."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if any(e["type"] == "json_invalid" for e in errors):
            raise HttpError(400, f"the body is not JSON: {_json_fault(errors)}") from None
        fields = field_errors(errors)
        said = "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in fields[:3])
        raise Invalid(said, fields) from None


async def read_all(request: Request, *, size_max: int) -> bytes:
    """The body, as long as it is not longer than allowed; refused as soon as it is."""
    chunks = [chunk async for chunk in stream(request, size_max=size_max)]
    return b"".join(chunks)


async def stream(request: Request, *, size_max: int) -> AsyncIterator[bytes]:
    """The body in the pieces in which it came, unbuffered. Raises HttpError(413)."""
    declared = request.headers.get("content-length", "0")
    if len(declared) > 18 or (declared.isdecimal() and int(declared) > size_max):
        await _drain(request)
        raise _too_large(size_max)
    size = 0
    while True:
        message = await _next(request)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > size_max:
            await _drain(request)
            raise _too_large(size_max)
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def read_form(request: Request) -> dict[str, str]:
    """A form's fields, the last of each name. Raises Invalid for what is not UTF-8."""
    require_type(request, "application/x-www-form-urlencoded")
    raw = await read_all(request, size_max=FORM_MAX)
    try:
        fields = parse_qs(
            raw.decode(), keep_blank_values=True, max_num_fields=200, errors="strict"
        )
    except ValueError as error:
        raise Invalid(f"the form cannot be read: {error}") from None
    return {name: values[-1] for name, values in fields.items()}


def require_type(connection: HTTPConnection, *allowed: str) -> str:
    """The body's media type. Raises HttpError(415) unless it is one of these."""
    said = connection.headers.get("content-type", "")
    kind = said.partition(";")[0].strip().lower()
    if kind not in allowed:
        named = said[:64] if said.isprintable() else "something else"
        raise HttpError(
            415, f"send Content-Type: {' or '.join(allowed)}, not {named or 'nothing'}"
        )
    return kind


async def _next(request: Request) -> Message:
    """Raises HttpError(408) for a client that begins a body and then says nothing."""
    with anyio.move_on_after(STALLED_S):
        return await request.receive()
    raise HttpError(408, f"nothing came for {STALLED_S:.0f} s", {"connection": "close"})


async def _drain(request: Request) -> None:
    """Throw the rest away for a moment: a connection that is closed on unread bytes is reset,
    and most clients then never see the answer. Whoever sends without end is cut off."""
    drained = 0
    with anyio.move_on_after(DRAIN_S):
        while drained < DRAIN_MAX:
            message = await request.receive()
            drained += len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return


def _too_large(size_max: int) -> HttpError:
    # The rest of the body will not be read, so the connection cannot be used again.
    said = f"the body is larger than {size_max} bytes"
    return HttpError(413, said, {"connection": "close"})


def _json_fault(errors: list[ErrorDetails]) -> str:
    return errors[0]["msg"].removeprefix("Invalid JSON: ")
