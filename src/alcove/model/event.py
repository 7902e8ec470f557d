"""Facts, in the past tense, written in the same transaction as the change they tell of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """`noun.verb_in_past_tense`. Keep the list alphabetical."""

    AUDIT_EXPORTED = "audit.exported"
    CHANNEL_OPENED = "channel.opened"
    """Something within an SSH session: a shell, a command, files, a forwarded port."""
    CHANNEL_REFUSED = "channel.refused"
    DEVICE_APPROVED = "device.approved"
    DEVICE_DENIED = "device.denied"
    EXEC_FINISHED = "exec.finished"
    EXEC_STARTED = "exec.started"
    FILE_READ = "file.read"
    FILE_REMOVED = "file.removed"
    FILE_WRITTEN = "file.written"
    IMAGE_BUILT = "image.built"
    IMAGE_FAILED = "image.failed"
    ORPHAN_REMOVED = "orphan.removed"
    POOL_CHANGED = "pool.changed"
    PORT_OPENED = "port.opened"
    PORT_SHARED = "port.shared"
    PORT_UNSHARED = "port.unshared"
    RECORDING_EXTENDED = "recording.extended"
    """A piece of it is on disk: its digest, and that of all before it."""
    RECORDING_FAILED = "recording.failed"
    RECORDING_FINISHED = "recording.finished"
    RECORDING_READ = "recording.read"
    RECORDING_REMOVED = "recording.removed"
    RECORDING_STARTED = "recording.started"
    SESSION_CLOSED = "session.closed"
    SESSION_ENDED = "session.ended"
    """Somebody ended a connection that was open."""
    SESSION_OPENED = "session.opened"
    SESSION_REFUSED = "session.refused"
    SESSION_REVOKED = "session.revoked"
    SIGN_IN_LINK_CREATED = "sign_in_link.created"
    SNAPSHOT_DELETE_REQUESTED = "snapshot.delete_requested"
    SNAPSHOT_DELETED = "snapshot.deleted"
    SNAPSHOT_FAILED = "snapshot.failed"
    SNAPSHOT_REQUESTED = "snapshot.requested"
    SNAPSHOT_TAKEN = "snapshot.taken"
    SSH_CERTIFICATE_ISSUED = "ssh_certificate.issued"
    SSH_KEY_ADDED = "ssh_key.added"
    SSH_KEY_REMOVED = "ssh_key.removed"
    TEMPLATE_CREATED = "template.created"
    TEMPLATE_PROMOTED = "template.promoted"
    TEMPLATE_PUSHED = "template.pushed"
    TOKEN_CREATED = "token.created"
    TOKEN_REVOKED = "token.revoked"
    USER_CREATED = "user.created"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_PASSWORD_CHANGED = "user.password_changed"
    USER_ROLE_CHANGED = "user.role_changed"
    WORKSPACE_CHANGED = "workspace.changed"
    WORKSPACE_CREATED = "workspace.created"
    WORKSPACE_DELETE_REQUESTED = "workspace.delete_requested"
    WORKSPACE_EXPIRY_ANNOUNCED = "workspace.expiry_announced"
    WORKSPACE_FAILED = "workspace.failed"
    WORKSPACE_HEALTH_CHANGED = "workspace.health_changed"
    WORKSPACE_PAUSE_REQUESTED = "workspace.pause_requested"
    WORKSPACE_PHASE_CHANGED = "workspace.phase_changed"
    WORKSPACE_POSTURE_CHECKED = "workspace.posture_checked"
    WORKSPACE_RESTART_REQUESTED = "workspace.restart_requested"
    WORKSPACE_RESUME_REQUESTED = "workspace.resume_requested"
    WORKSPACE_START_REQUESTED = "workspace.start_requested"
    WORKSPACE_STOP_REQUESTED = "workspace.stop_requested"
    WORKSPACE_UPDATED = "workspace.updated"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be written; the store gives it its number."""

    kind: EventKind
    actor: str
    """User id, or `system` for what timers and the reconciler did."""
    subject: str
    """Id of the thing it is about: a workspace, template, user or token."""
    owner: str | None = None
    """User id of whoever owns the subject; people may read events about what is theirs."""
    detail: Mapping[str, object] | None = None
    """Small JSON object; never a secret."""
    address: str = ""
    """The client's network address, where there was one."""
    request_id: str = ""
    at: datetime | None = None
    """When it happened, for what is written a moment later; None: now."""


@dataclass(frozen=True, slots=True)
class Event:
    """`seq` has no gaps and its order is the order of commits."""

    seq: int
    at: datetime
    kind: str
    actor: str
    subject: str
    owner: str | None
    detail: Mapping[str, object]
    address: str
    request_id: str
