"""Lists arrive in pages; callers see one iterator that fetches as they go."""

from collections.abc import AsyncIterator
from typing import TypeVar

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import Query
from alcove.wire.base import Answer, Page

ItemT = TypeVar("ItemT", bound=Answer)


async def items(
    transport: AsyncTransport, page: type[Page[ItemT]], path: str, query: Query | None = None
) -> AsyncIterator[ItemT]:
    """Every item of a list, page by page."""
    cursor: str | None = None
    while True:
        answer = await transport.get(page, path, query={**(query or {}), "cursor": cursor})
        for item in answer.items:
            yield item
        cursor = answer.next_cursor
        if cursor is None:
            return
