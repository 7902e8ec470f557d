"""Pools: workspaces that are started before somebody asks for them."""

from collections.abc import Sequence
from urllib.parse import quote

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import read, request
from alcove.wire.base import Page
from alcove.wire.pools import NewPool, Pool


class AsyncPools:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> tuple[Pool, ...]:
        """All of them, with what they have and are to have."""
        return tuple((await self._transport.get(Page[Pool], "/pools")).items)

    async def get(self, template: str, *, isolation: str | None = None) -> Pool:
        return await self._transport.get(Pool, _path(template), query={"isolation": isolation})

    async def set(
        self,
        template: str,
        *,
        size: int | None = None,
        min: int | None = None,
        max: int | None = None,
        isolation: str | None = None,
        schedule: Sequence[dict[str, object]] | None = None,
        zone: str | None = None,
        refill_per_second: float | None = None,
    ) -> Pool:
        """Keep `size` started, or between `min` and `max` after the demand; 0 is no pool.

        `schedule`: `{"days": "mon-fri", "from": "08:00", "to": "18:00", "min": 20}`, in `zone`.
        For administrators.
        """
        body = request(
            NewPool,
            {
                "size": size,
                "min": min,
                "max": max,
                "isolation": isolation,
                "schedule": schedule,
                "zone": zone,
                "refill_per_second": refill_per_second,
            },
        )
        return read(Pool, (await self._transport.send("PUT", _path(template), json=body)).content)

    async def reset(self, template: str, *, isolation: str | None = None) -> Pool:
        """Let the template decide again. For administrators."""
        sent = await self._transport.send(
            "DELETE", _path(template), query={"isolation": isolation}
        )
        return read(Pool, sent.content)


def _path(template: str) -> str:
    return f"/pools/{quote(template, safe='')}"
