"""What E2B's clients send and want back. Names and meanings are theirs.

Requests refuse what they do not know, like ours: a field that were dropped in silence could be
the one that was to keep the sandbox from the network.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

from pydantic import ConfigDict, Field, StringConstraints

from alcove.api.compat.e2b.metadata import from_labels
from alcove.core import envd
from alcove.core.app import Core
from alcove.drivers.base import Usage
from alcove.model.template import TemplateVersion
from alcove.model.workspace import Desired, NetworkMode, OnExpiry, Phase, Workspace
from alcove.wire.base import Env, Request

CLIENT: Final = "alcove"
NEVER: Final = datetime(2999, 12, 31, tzinfo=UTC)
"""The end of what has none; their clients need one."""
TIMEOUT_MAX_S: Final = 10 * 365 * 86400
RUNNING: Final = "running"
PAUSED: Final = "paused"
_PAUSED: Final = frozenset({Phase.PAUSING, Phase.PAUSED})
LIVE: Final = (Phase.RUNNING, Phase.PAUSING, Phase.PAUSED, Phase.RESUMING, Phase.UNREACHABLE)
"""What their lists hold: what runs or is paused."""

Seconds: TypeAlias = Annotated[int, Field(ge=0, le=TIMEOUT_MAX_S)]
Anything: TypeAlias = Any


class Shape(Request):
    """Null is the same as left out, as their clients in JavaScript have it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Network(Shape):
    allowOut: list[str] | None = None
    denyOut: list[str] | None = None
    allowPublicTraffic: bool | None = None
    maskRequestHost: str | None = None
    rules: Anything = None
    egressProxy: Anything = None
    dnsServers: list[str] | None = None
    httpsPorts: list[int] | None = None


class NetworkUpdate(Shape):
    allowOut: list[str] | None = None
    denyOut: list[str] | None = None
    rules: Anything = None
    egressProxy: Anything = None
    dnsServers: list[str] | None = None
    allow_internet_access: bool | None = None


class AutoResume(Shape):
    enabled: bool


class NewSandbox(Shape):
    templateID: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    timeout: Annotated[Seconds, Field(ge=1)] | None = None
    metadata: dict[str, str] | None = None
    envVars: Env | None = None
    autoPause: bool | None = None
    autoPauseMemory: bool | None = None
    autoResume: AutoResume | None = None
    secure: bool | None = None
    """Older clients ask for it; every sandbox is."""
    allow_internet_access: bool | None = None
    network: Network | None = None
    iam: Anything = None
    mcp: Anything = None
    volumeMounts: list[Anything] | None = None


class Connect(Shape):
    timeout: Seconds | None = None
    memory: bool | None = None
    autoPause: bool | None = None


class Timeout(Shape):
    timeout: Seconds


class Refresh(Shape):
    duration: Annotated[int, Field(ge=0, le=3600)] | None = None


class Pause(Shape):
    memory: bool | None = None
    requireHealthyGuest: bool | None = None


class Fork(Shape):
    timeout: Annotated[Seconds, Field(ge=1)] | None = None
    count: Annotated[int, Field(ge=1, le=100)] | None = None


class NewSnapshot(Shape):
    name: Annotated[str, StringConstraints(max_length=128)] | None = None
    memory: bool | None = None


def sandbox(core: Core, workspace: Workspace) -> dict[str, Any]:
    """A sandbox with the secrets that open it; for whoever may have them."""
    return {
        "templateID": workspace.template,
        "alias": workspace.template,
        "sandboxID": workspace.id,
        "clientID": CLIENT,
        "envdVersion": envd.VERSION,
        "envdAccessToken": envd.token(core, workspace.id),
        "trafficAccessToken": envd.traffic_token(core, workspace.id),
        "domain": core.settings.sandbox_domain,
    }


def listed(workspace: Workspace) -> dict[str, Any]:
    resources = workspace.spec.resources
    return {
        "templateID": workspace.template,
        "alias": workspace.template,
        "sandboxID": workspace.id,
        "clientID": CLIENT,
        "startedAt": timestamp(workspace.created_at),
        "endAt": timestamp(workspace.expires_at or NEVER),
        "cpuCount": max(1, -(-resources.cpu_millis // 1000)),
        "memoryMB": resources.memory_mib,
        "diskSizeMB": resources.disk_mib,
        "state": state(workspace),
        "envdVersion": envd.VERSION,
        "metadata": from_labels(workspace.labels),
        "volumeMounts": [],
    }


def detail(core: Core, workspace: Workspace, *, secrets: bool) -> dict[str, Any]:
    lifetime = workspace.lifetime
    paused = lifetime.on_expiry is OnExpiry.PAUSE
    found = {
        **listed(workspace),
        "domain": core.settings.sandbox_domain,
        "allowInternetAccess": workspace.spec.network is not NetworkMode.NONE,
        "lifecycle": {
            "autoResume": lifetime.auto_resume,
            "onTimeout": "pause" if paused else "kill",
        },
    }
    if secrets:
        found["envdAccessToken"] = envd.token(core, workspace.id)
    return found


def state(workspace: Workspace) -> str:
    paused = workspace.desired is Desired.PAUSED or workspace.phase in _PAUSED
    return PAUSED if paused else RUNNING


def metric(workspace: Workspace, used: Usage, cpu_share: float, now: datetime) -> dict[str, Any]:
    """`cpu_share`: cores in use."""
    resources = workspace.spec.resources
    cores = resources.cpu_millis / 1000
    return {
        "timestamp": timestamp(now),
        "timestampUnix": int(now.timestamp()),
        "cpuCount": max(1, -(-resources.cpu_millis // 1000)),
        "cpuUsedPct": round(100 * cpu_share / cores, 2),
        "memUsed": used.memory_mib << 20,
        "memTotal": resources.memory_mib << 20,
        "memCache": 0,
        "diskUsed": used.disk_mib << 20,
        "diskTotal": resources.disk_mib << 20,
    }


def template(version: TemplateVersion, aliases: Sequence[str]) -> dict[str, Any]:
    recipe = version.recipe
    resources = recipe.resources
    names = [version.template, *aliases]
    at = timestamp(version.created_at)
    return {
        "templateID": version.template,
        "buildID": f"{version.template}:{version.number}",
        "cpuCount": max(1, -(-resources.cpu_millis // 1000)),
        "memoryMB": resources.memory_mib,
        "diskSizeMB": resources.disk_mib,
        "public": True,
        "aliases": names,
        "names": names,
        "createdAt": at,
        "updatedAt": at,
        "createdBy": None,
        "lastSpawnedAt": None,
        "spawnCount": 0,
        "buildCount": version.number,
        "envdVersion": envd.VERSION,
        "buildStatus": "ready",
        "description": recipe.description,
    }


def timestamp(at: datetime) -> str:
    """As JavaScript writes it; every client reads that."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
