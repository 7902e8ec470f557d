"""Between bytes and values: answers, problems and queries, without I/O.

An answer is read tolerantly: a field that we do not know is left out, the server may be newer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

from pydantic import SecretStr, ValidationError

from alcove.clock import system_clock
from alcove.sdk.errors import AlcoveError, FieldError, Invalid, from_problem
from alcove.sdk.retry import parse_retry_after
from alcove.wire.base import Answer, Request

Query: TypeAlias = Mapping[str, str | int | bool | Sequence[str] | None]
AnswerT = TypeVar("AnswerT", bound=Answer)
RequestT = TypeVar("RequestT", bound=Request)


def read(answer: type[AnswerT], content: bytes | str) -> AnswerT:
    """Raises AlcoveError for what cannot be the answer that was asked for."""
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        where, said = _first_fault(error)
        raise AlcoveError(
            f"the server's answer is not what this client expects ({where}: {said}); "
            "is this the URL of an Alcove server, and this client not older than it?"
        ) from error


def request(kind: type[RequestT], body: Mapping[str, object]) -> RequestT:
    """A request from keyword arguments; None means left out. Raises Invalid with the fields.

    It is checked here as the server will check it, so that a mistake costs no round trip.
    """
    given = {name: value for name, value in body.items() if value is not None}
    try:
        return kind.model_validate_json(json.dumps(given, default=_plain))
    except TypeError as error:
        raise Invalid(f"not a value that can be sent: {error}") from error
    except ValidationError as error:
        faults = [
            FieldError(_path(fault["loc"]), fault["msg"].removeprefix("Value error, "))
            for fault in error.errors(include_url=False, include_input=False)
        ]
        said = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3])
        raise Invalid(f"the request is not valid: {said}", errors=faults) from error


def encode(body: Request) -> bytes:
    """A request as JSON, with only what was set."""
    return json.dumps(body.model_dump(exclude_unset=True), default=_revealed).encode()


def problem_of(status: int, headers: Mapping[str, str], content: bytes) -> AlcoveError:
    """The error that an answer stands for; anything may have sent it, also a proxy."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    return from_problem(
        status,
        body,
        request_id=headers.get("x-request-id"),
        retry_after_s=parse_retry_after(headers.get("retry-after"), system_clock),
    )


def problem_in_message(message: str) -> AlcoveError:
    """The error in a text message of a WebSocket, which is a problem document."""
    try:
        body = json.loads(message)
        status = int(body["status"])
    except (ValueError, KeyError, TypeError):
        body, status = {"detail": f"the server said: {message[:200]}"}, 500
    return from_problem(status, body)


def query_pairs(query: Query | None) -> tuple[tuple[str, str | int], ...]:
    pairs: list[tuple[str, str | int]] = []
    for name, value in (query or {}).items():
        match value:
            case None:
                pass
            case bool():
                pairs.append((name, "true" if value else "false"))
            case str() | int():
                pairs.append((name, value))
            case _:
                pairs += [(name, item) for item in value]
    return tuple(pairs)


def _revealed(value: object) -> str:
    """Secrets as they are: sending them is what they were given for."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _plain(value: object) -> object:
    if isinstance(value, Mapping | Sequence):
        return dict(value) if isinstance(value, Mapping) else list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError(f"{type(value).__name__} {value!r}")


def _first_fault(error: ValidationError) -> tuple[str, str]:
    first = error.errors(include_url=False, include_input=False)[0]
    return _path(first["loc"]) or "body", first["msg"]


def _path(location: Sequence[str | int]) -> str:
    """Names only: pydantic's labels of union members (`list[str]`) mean nothing to people."""
    return ".".join(str(part) for part in location if "[" not in str(part))
