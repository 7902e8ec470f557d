"""A kept state of a workspace, from which workspaces are made. Pure values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alcove.model.workspace import SnapshotId, Spec, UserId, WorkspaceId


class SnapshotState(StrEnum):
    TAKING = "taking"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One row. What the driver keeps is found by the id."""

    id: SnapshotId
    name: str
    owner: UserId
    workspace: WorkspaceId
    """Whose state it is; the workspace may be gone."""
    template: str
    template_version: int
    spec: Spec
    """Of the workspace when it was taken. Image, isolation, root and user cannot change."""
    request: str
    """What the workspace's owner had asked for, as JSON: what a restored one is rendered from."""
    state: SnapshotState
    detail: str
    """Why it failed, for people."""
    memory: bool
    size_mib: int
    hidden: bool
    """Made for a fork: not listed, and removed when its forks run."""
    created_at: datetime
    expires_at: datetime | None
    check_at: datetime
    """When the keeper of snapshots looks at it next."""
