# Made by tools/async_to_sync.py from _async/snapshots.py: change that one.
"""Snapshots: kept states of workspaces. One is taken with `workspace.snapshot()`."""

import time
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from alcove.model.snapshot import SnapshotState
from alcove.sdk._sync.pages import items
from alcove.sdk._sync.primitives import sleep
from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import request
from alcove.sdk.changes import Never
from alcove.sdk.errors import SnapshotFailed, WaitTimeout
from alcove.sdk.waiting import pause
from alcove.wire.base import Page
from alcove.wire.snapshots import NewSnapshot, Snapshot


class Snapshots:
    """`ref` is an id, or your own name for it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, workspace: str | None = None) -> Iterator[Snapshot]:
        """Newest first; with `workspace` only those taken of that one."""
        query: Mapping[str, str | None] = {"workspace": workspace}
        return items(self._transport, Page[Snapshot], "/snapshots", query)

    def get(self, ref: str) -> Snapshot:
        return self._transport.get(Snapshot, path_of(ref))

    def delete(self, ref: str) -> None:
        """Workspaces that were made of it stay."""
        self._transport.send("DELETE", path_of(ref))


def take(
    transport: Transport,
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
    taken = transport.post(Snapshot, f"{workspace}/snapshot", body)
    if timeout_s is None:
        return taken
    deadline = time.monotonic() + timeout_s
    delay = 0.0
    while taken.state is SnapshotState.TAKING:
        if time.monotonic() > deadline:
            raise WaitTimeout(f"snapshot {taken.name!r} is not ready after {timeout_s:.0f} s")
        delay = pause(delay)
        sleep(delay)
        taken = transport.get(Snapshot, path_of(taken.id))
    if taken.state is SnapshotState.FAILED:
        raise SnapshotFailed(f"snapshot {taken.name!r} was not taken: {taken.detail}")
    return taken


def path_of(ref: str) -> str:
    return f"/snapshots/{quote(ref, safe='')}"
