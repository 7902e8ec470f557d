# Made by tools/async_to_sync.py from _async/pages.py: change that one.
"""Lists arrive in pages; callers see one iterator that fetches as they go."""

from collections.abc import Iterator
from typing import TypeVar

from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import Query
from alcove.wire.base import Answer, Page

ItemT = TypeVar("ItemT", bound=Answer)


def items(
    transport: Transport, page: type[Page[ItemT]], path: str, query: Query | None = None
) -> Iterator[ItemT]:
    """Every item of a list, page by page."""
    cursor: str | None = None
    while True:
        answer = transport.get(page, path, query={**(query or {}), "cursor": cursor})
        yield from answer.items
        cursor = answer.next_cursor
        if cursor is None:
            return
