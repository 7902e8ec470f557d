"""`limit` and `cursor`, the same for every list."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from alcove.core.pages import CURSOR_MAX, PAGE_MAX, read_cursor
from alcove.wire.base import PAGE_DEFAULT


class PageQuery(BaseModel):
    """Query parameters of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    cursor: Annotated[str, Field(max_length=CURSOR_MAX)] | None = None
    """`next_cursor` of the page before."""


def after(cursor: str | None) -> str:
    """Where a list in the order of a text ended; empty at its beginning. Raises Invalid."""
    return "" if cursor is None else str(read_cursor(cursor, str)[0])
