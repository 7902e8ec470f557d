"""Daytona's sandbox, made of our workspace, and the names it has for our states. Pure."""

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from alcove.core.app import Core
from alcove.model.access import Actor, Permission, allows
from alcove.model.snapshot import Snapshot, SnapshotState
from alcove.model.template import TemplateVersion
from alcove.model.workspace import Desired, NetworkMode, OnIdle, Phase, Workspace

TARGET: Final = "local"
"""The only region there is."""
YEAR_S: Final = 365 * 86400
STATES: Final[Mapping[Phase, str]] = {
    Phase.PROVISIONING: "creating",
    Phase.STARTING: "starting",
    Phase.RUNNING: "started",
    Phase.PAUSING: "pausing",
    Phase.PAUSED: "paused",
    Phase.RESUMING: "resuming",
    Phase.STOPPING: "stopping",
    Phase.STOPPED: "stopped",
    Phase.DELETING: "destroying",
    Phase.DELETED: "destroyed",
    Phase.UNREACHABLE: "unknown",
    Phase.FAILED: "error",
}
_DESIRED: Final[Mapping[Desired, str]] = {
    Desired.RUNNING: "started",
    Desired.PAUSED: "paused",
    Desired.STOPPED: "stopped",
    Desired.DELETED: "destroyed",
}
_SNAPSHOT_STATES: Final[Mapping[SnapshotState, str]] = {
    SnapshotState.TAKING: "snapshotting",
    SnapshotState.READY: "active",
    SnapshotState.FAILED: "error",
    SnapshotState.DELETING: "removing",
}


def organization(core: Core) -> str:
    """One for the whole installation; it does not change."""
    digest = hmac.new(core.secret, b"daytona-organization", hashlib.sha256).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def sandbox(core: Core, actor: Actor, workspace: Workspace, *, base: str) -> dict[str, Any]:
    """All that the clients' models require, and what we know of the rest."""
    spec, lifetime = workspace.spec, workspace.lifetime
    inside = allows(
        actor, Permission.WORKSPACE_EXEC, owner=workspace.owner, workspace=workspace.id
    )
    idle = _minutes(lifetime.idle_stop_s)
    pauses = lifetime.on_idle is OnIdle.PAUSE
    failed = workspace.phase in (Phase.FAILED, Phase.UNREACHABLE)
    return {
        "id": workspace.id,
        "organizationId": organization(core),
        "name": workspace.name,
        "snapshot": spec.snapshot or workspace.template,
        "user": spec.user,
        # Who may not enter it does not get to read what is in its environment.
        "env": dict(spec.env) if inside else {},
        "labels": dict(workspace.labels),
        "public": False,
        "networkBlockAll": spec.network is NetworkMode.NONE,
        "kvm": False,
        "target": TARGET,
        "cpu": _up(spec.resources.cpu_millis, 1000),
        "gpu": 0,
        "memory": _up(spec.resources.memory_mib, 1024),
        "disk": _up(spec.resources.disk_mib, 1024),
        "state": STATES[workspace.phase],
        "desiredState": _DESIRED[workspace.desired],
        "errorReason": workspace.reason if failed else None,
        "recoverable": workspace.phase is Phase.FAILED,
        "backupState": "None",
        "autoStopInterval": 0 if pauses else idle,
        "autoPauseInterval": idle if pauses else 0,
        "autoArchiveInterval": 0,
        "autoDeleteInterval": 0 if spec.ephemeral else -1,
        "autoDestroyAt": stamp(workspace.expires_at),
        "volumes": [],
        "createdAt": stamp(workspace.created_at),
        "updatedAt": stamp(workspace.started_at or workspace.created_at),
        "lastActivityAt": stamp(workspace.last_used_at),
        "sandboxClass": "container",
        "daemonVersion": "alcove",
        "toolboxProxyUrl": f"{base}/daytona/toolbox",
    }


def kept(core: Core, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot of ours as Daytona's."""
    resources = snapshot.spec.resources
    return {
        **_snapshot(core, snapshot.id, snapshot.name, snapshot.created_at),
        "general": False,
        "state": _SNAPSHOT_STATES[snapshot.state],
        "size": round(snapshot.size_mib / 1024, 3),
        "cpu": _up(resources.cpu_millis, 1000),
        "mem": _up(resources.memory_mib, 1024),
        "disk": _up(resources.disk_mib, 1024),
        "errorReason": snapshot.detail or None,
        "sourceSandboxId": snapshot.workspace,
    }


def template(core: Core, version: TemplateVersion) -> dict[str, Any]:
    """A template of ours: what sandboxes are made from by name, and nobody's in particular."""
    resources = version.recipe.resources
    return {
        **_snapshot(core, version.template, version.template, version.created_at),
        "general": True,
        "state": "active",
        "size": None,
        "cpu": _up(resources.cpu_millis, 1000),
        "mem": _up(resources.memory_mib, 1024),
        "disk": _up(resources.disk_mib, 1024),
        "errorReason": None,
        "sourceSandboxId": None,
    }


def stamp(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _minutes(idle_s: int | None) -> int:
    """0 is never, as which a year is asked for too."""
    return 0 if idle_s is None or idle_s >= YEAR_S else max(1, idle_s // 60)


def _snapshot(core: Core, id: str, name: str, at: datetime) -> dict[str, Any]:
    return {
        "id": id,
        "organizationId": organization(core),
        "name": name,
        "imageName": None,
        "entrypoint": None,
        "gpu": 0,
        "createdAt": stamp(at),
        "updatedAt": stamp(at),
        "lastUsedAt": None,
        "regionIds": [TARGET],
    }


def _up(amount: int, unit: int) -> int:
    """Whole cores and GiB, as the clients' models want them, rounded up."""
    return max(1, -(-amount // unit))
