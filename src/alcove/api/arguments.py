"""Arguments that several routes take: the core, a workspace's name in the path, `wait`."""

from typing import Annotated, TypeAlias

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from starlette.requests import HTTPConnection

from alcove.core.app import Core
from alcove.http.access import core_of
from alcove.model.units import parse_duration
from alcove.wire.base import DURATION_PATTERN

WAIT_MAX_S = 600


async def _core(connection: HTTPConnection) -> Core:
    """Async although it waits for nothing: FastAPI would send a plain function to a thread."""
    return core_of(connection)


CoreOf: TypeAlias = Annotated[Core, Depends(_core)]


def _with_slash(ref: str) -> str:
    """`owner:name` and `owner%2Fname` are the same; see `edge`."""
    return ref.replace(":", "/")


def _wait(text: object) -> object:
    seconds = parse_duration(str(text)[:64])
    if seconds > WAIT_MAX_S:
        raise ValueError(f"must be at most {WAIT_MAX_S}s")
    return seconds


WorkspaceRef: TypeAlias = Annotated[
    str,
    Path(
        alias="workspace",
        max_length=128,
        description="Id, the caller's own name for it, or `owner%2Fname`.",
    ),
    AfterValidator(_with_slash),
]
Wait: TypeAlias = Annotated[
    int,
    BeforeValidator(_wait),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s"]}),
    Query(description="Hold the answer until it is done or failed, or this long (at most 600s)."),
]
