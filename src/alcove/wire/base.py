"""What every request and answer shares: strictness, bounded text, durations, pages.

Rule: nothing that a client sends is unbounded, and every refusal names the field.
"""

import re
import unicodedata
from datetime import timedelta
from typing import Annotated, Final, Generic, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from alcove.model.units import format_duration, parse_duration, parse_size_mib

DURATION_PATTERN: Final = r"^([0-9]{1,9}[smhd])+$"
SIZE_PATTERN: Final = r"^[0-9]{1,9}(Mi|Gi|Ti)$"
NAME_PATTERN: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
"""A host name's label without `--`, which separates the parts of an app's address."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")
PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500


class Request(BaseModel):
    """What a client sends. Read it with `model_validate_json`: types are not guessed."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,  # the command line imports every shape and uses two or three
    )


class Answer(BaseModel):
    """What the server sends."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


def _one_line(text: str) -> str:
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            raise ValueError(f"must not contain the control character U+{ord(character):04X}")
    return text


def plain_text(text: str, *, length_max: int = 65536) -> str:
    """Text of several lines without control characters. Raises ValueError."""
    if len(text) > length_max:
        raise ValueError(f"must have at most {length_max} characters")
    for character in text:
        if character not in "\n\r\t" and unicodedata.category(character) in {"Cc", "Cs"}:
            raise ValueError(f"must not contain the control character U+{ord(character):04X}")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _seconds(value: object) -> object:
    match value:
        case str():
            if len(value) > 64:
                raise ValueError("must be a duration such as 90s, 30m, 4h or 7d")
            return parse_duration(value)
        case timedelta():
            return int(value.total_seconds())
        case _:
            raise ValueError("must be a duration such as 90s, 30m, 4h or 7d")


def _size(text: str) -> str:
    parse_size_mib(text)
    return text


def _written_out(value: object) -> object:
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("must be a time such as 2026-01-31T12:00:00Z")
    return value


Duration: TypeAlias = Annotated[
    int,
    BeforeValidator(_seconds),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["4h"]}),
]
"""Seconds in Python, `"4h"` in JSON."""
Size: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=16, pattern=SIZE_PATTERN),
    AfterValidator(_size),
    Field(examples=["4Gi"]),
]
"""`"512Mi"`, `"20Gi"`; `parse_size_mib` reads it."""

Moment: TypeAlias = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time in the query of a request: RFC 3339, and no number that might mean seconds."""
Name: TypeAlias = Annotated[str, StringConstraints(max_length=63, pattern=NAME_PATTERN)]
"""A workspace's or template's name."""
UserName: TypeAlias = Annotated[str, StringConstraints(max_length=32, pattern=NAME_PATTERN)]
Reference: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=100), AfterValidator(_one_line)
]
"""An id, a name, or `owner/name`."""
Line: TypeAlias = Annotated[str, StringConstraints(max_length=256), AfterValidator(_one_line)]
LongText: TypeAlias = Annotated[
    str, StringConstraints(max_length=65536), AfterValidator(plain_text)
]
Url: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=2048), AfterValidator(_one_line)
]
Branch: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=255), AfterValidator(_one_line)
]
Path: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_no_nul)
]
EnvName: TypeAlias = Annotated[
    str, StringConstraints(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]
EnvValue: TypeAlias = Annotated[str, StringConstraints(max_length=32768), AfterValidator(_no_nul)]
Env: TypeAlias = Annotated[dict[EnvName, EnvValue], Field(max_length=256)]
LabelKey: TypeAlias = Annotated[
    str, StringConstraints(max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$")
]
LabelValue: TypeAlias = Annotated[str, StringConstraints(max_length=63), AfterValidator(_one_line)]
Labels: TypeAlias = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]

ItemT = TypeVar("ItemT", bound=Answer)


class Page(Answer, Generic[ItemT]):
    """Part of a list. Ask again with `cursor=next_cursor` until that is null."""

    items: list[ItemT]
    next_cursor: str | None = None
