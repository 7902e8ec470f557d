"""Snapshots: taking one, what it says, and forking a workspace."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from alcove.model.snapshot import SnapshotState
from alcove.model.workspace import Isolation
from alcove.wire.base import Answer, Duration, Name, Request
from alcove.wire.workspaces import SnapshotRef, Workspace

FORKS_MAX = 100


class NewSnapshot(Request):
    """Everything has a default."""

    name: SnapshotRef | None = None
    """Your own name for it, made up when absent."""
    ttl: Duration | None = None
    """How long it is kept; the server's default when absent, for ever when null."""


class Fork(Request):
    """How many workspaces to make of one, and how to name them."""

    count: Annotated[int, Field(ge=1, le=FORKS_MAX)] = 1
    name: Name | None = None
    """Of the fork; of several, with `-1`, `-2`, … after it. Made up when absent."""


class Snapshot(Answer):
    """`detail` says why it failed. Only one that is `ready` or `taking` can be begun from."""

    id: str
    name: str
    owner: str
    state: SnapshotState
    detail: str
    workspace: str
    """Id of the workspace that it was taken of; that may be gone."""
    template: str
    template_version: int
    isolation: Isolation
    memory: bool
    """Whether processes and their memory are in it, or files only."""
    size_mib: int
    created_at: datetime
    expires_at: datetime | None
    """Deleted then."""


class Forks(Answer):
    """The workspaces that were made, in the order of their names."""

    items: list[Workspace]
