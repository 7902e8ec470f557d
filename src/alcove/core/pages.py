"""Pages of lists: an opaque cursor says where the last one ended."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from alcove.model.errors import FieldError, Invalid
from alcove.store.workspaces import Position

ItemT = TypeVar("ItemT")
PAGE_MAX: Final = 500
CURSOR_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`limit` is 1 to 500; `cursor` is `next_cursor` of the page before."""

    limit: int = 50
    cursor: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= PAGE_MAX:
            said = f"{self.limit} is not between 1 and {PAGE_MAX}"
            raise Invalid(f"limit: {said}", [FieldError("limit", said)])


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    items: Sequence[ItemT]
    next_cursor: str | None


def write_cursor(*parts: object) -> str:
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type) -> Sequence[object]:
    """The parts, which must be of these kinds. Raises Invalid for anything we did not write."""
    try:
        padded = cursor[:CURSOR_MAX] + "=" * (-len(cursor) % 4)
        parts: list[object] = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        parts = []
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _not_ours()
    if not all(str(part).isprintable() for part in parts):
        # NUL and half surrogates, which a database refuses in text.
        raise _not_ours()
    return parts


def page_of(
    found: Sequence[ItemT], request: PageRequest, at: Callable[[ItemT], Position]
) -> Page[ItemT]:
    """Of one item more than the page takes, where there are so many; `at` is where one stands."""
    items = found[: request.limit]
    more = len(found) > request.limit
    return Page(items, position_cursor(at(items[-1])) if more else None)


def position_cursor(position: Position) -> str:
    return write_cursor(position.created_at.isoformat(), position.id)


def read_position(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    at, id = read_cursor(cursor, str, str)
    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError as error:
        raise _not_ours() from error
    if moment.tzinfo is None:
        raise _not_ours()
    return Position(moment, str(id))


def _not_ours() -> Invalid:
    said = "this cursor is not one that we gave; begin without it"
    return Invalid(f"cursor: {said}", [FieldError("cursor", said)])
