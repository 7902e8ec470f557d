"""Snapshots: kept states of workspaces. One is taken with `workspace.snapshot()`."""

import time
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from alcove.model.snapshot import SnapshotState
from alcove.sdk._async.pages import items
from alcove.sdk._async.primitives import sleep
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import request
from alcove.sdk.changes import Never
from alcove.sdk.errors import SnapshotFailed, WaitTimeout
from alcove.sdk.waiting import pause
from alcove.wire.base import Page
from alcove.wire.snapshots import NewSnapshot, Snapshot


class AsyncSnapshots:
    """`ref` is an id, or your own name for it."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self, *, workspace: str | None = None) -> AsyncIterator[Snapshot]:
        """Newest first; with `workspace` only those taken of that one."""
        query: Mapping[str, str | None] = {"workspace": workspace}
        return items(self._transport, Page[Snapshot], "/snapshots", query)

    async def get(self, ref: str) -> Snapshot:
        return await self._transport.get(Snapshot, path_of(ref))

    async def delete(self, ref: str) -> None:
        """Workspaces that were made of it stay."""
        await self._transport.send("DELETE", path_of(ref))


async def take(
    transport: AsyncTransport,
    workspace: str,
    *,
    name: str | None,
    ttl: str | Never | None,
    timeout_s: float | None,
) -> Snapshot:
    """Of the workspace at this path; waits until it is ready unless `timeout_s` is None."""
    body = request(NewSnapshot, {"name": name, "ttl": ttl if isinstance(ttl, str) else None})
    if isinstance(ttl, Never):
        # Set, and null: for ever.
        body = body.model_copy(update={"ttl": None})
    taken = await transport.post(Snapshot, f"{workspace}/snapshot", body)
    if timeout_s is None:
        return taken
    deadline = time.monotonic() + timeout_s
    delay = 0.0
    while taken.state is SnapshotState.TAKING:
        if time.monotonic() > deadline:
            raise WaitTimeout(f"snapshot {taken.name!r} is not ready after {timeout_s:.0f} s")
        delay = pause(delay)
        await sleep(delay)
        taken = await transport.get(Snapshot, path_of(taken.id))
    if taken.state is SnapshotState.FAILED:
        raise SnapshotFailed(f"snapshot {taken.name!r} was not taken: {taken.detail}")
    return taken


def path_of(ref: str) -> str:
    return f"/snapshots/{quote(ref, safe='')}"
