"""The nouns of a workspace. Pure values: no I/O, no clock, no defaults left to resolve."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

from alcove.model.app import App, Level
from alcove.model.image import Image

WorkspaceId = NewType("WorkspaceId", str)
"""`ws-` and 16 lower-case base-32 characters: safe in file, cgroup and host names."""
UserId = NewType("UserId", str)
SnapshotId = NewType("SnapshotId", str)
"""`sn-` and 16 lower-case base-32 characters."""
LeaseToken = NewType("LeaseToken", str)


class Kind(StrEnum):
    """Whom a workspace serves. Agents' have other defaults: ephemeral, short-lived, no network."""

    HUMAN = "human"
    AGENT = "agent"


class Desired(StrEnum):
    """What the owner asked for. Written by users and policies only, never by the reconciler."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DELETED = "deleted"


class Observed(StrEnum):
    """What a driver last saw. Written by the reconciler only."""

    ABSENT = "absent"
    CREATING = "creating"
    READY = "ready"
    EXITED = "exited"
    PAUSED = "paused"
    UNKNOWN = "unknown"
    """The driver could not tell. Never act on ignorance: UNKNOWN is not ABSENT."""


class Phase(StrEnum):
    """The one word shown to people. Derived from (Desired, Observed), see `lifecycle`."""

    PROVISIONING = "provisioning"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


class Isolation(StrEnum):
    """What stands between the workspace and the host's kernel."""

    CONTAINER = "container"
    GVISOR = "gvisor"
    MICROVM = "microvm"


_STRENGTH: Final = (Isolation.CONTAINER, Isolation.GVISOR, Isolation.MICROVM)
assert frozenset(_STRENGTH) == frozenset(Isolation)


def strength(isolation: Isolation) -> int:
    """For comparing: the stronger one has the larger number."""
    return _STRENGTH.index(isolation)


class RootMode(StrEnum):
    """What root means inside."""

    NONE = "none"
    """Nobody is root: no capabilities, no_new_privs, a read-only root but for home and /tmp."""
    CONTAINED = "contained"
    """sudo works, inside the workspace's own user namespace; changes outside home end at stop."""


class OnExpiry(StrEnum):
    """What happens to a workspace whose time to live is over."""

    DELETE = "delete"
    PAUSE = "pause"
    """It is kept, paused, until nobody used it for `unused_delete_s`."""


class OnIdle(StrEnum):
    STOP = "stop"
    PAUSE = "pause"


class NetworkMode(StrEnum):
    NONE = "none"
    ALLOWLIST = "allowlist"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits that hold from the first instruction."""

    cpu_millis: int
    memory_mib: int
    disk_mib: int
    pids: int


@dataclass(frozen=True, slots=True)
class Script:
    """A start-up step of the template, run by the agent as the workspace's user."""

    name: str
    run: str
    blocks_login: bool
    timeout_s: int


@dataclass(frozen=True, slots=True)
class Clone:
    """A repository to have in the home at first start. `directory` is a plain name below home."""

    url: str
    branch: str | None
    directory: str
    author_name: str
    author_email: str


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything needed to make the workspace true. A driver reads what the runtime needs; the
    agent is given `env`, `clone`, `scripts` and `apps` when it is claimed."""

    image: Image
    isolation: Isolation
    root: RootMode
    user: str
    """Name of the ordinary user inside; uid and gid are 1000 in images that we build."""
    hostname: str
    resources: Resources
    network: NetworkMode
    ephemeral: bool
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    clone: Clone | None = None
    scripts: tuple[Script, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path to text: small files that the first claim writes, as the user."""
    snapshot: SnapshotId | None = None
    """What a first start begins from instead of the bare image: files, and where the snapshot
    has them, processes and memory. Later starts do not look at it."""
    apps: tuple[App, ...] = ()
    share_max: Level = Level.PUBLIC
    """The widest level at which its template lets ports be shared."""


@dataclass(frozen=True, slots=True)
class Handle:
    """What a driver needs to find its runtime again after a server restart.

    Opaque to everyone but the driver that made it. `version` lets that driver read handles
    written by its older self.
    """

    driver: str
    version: int
    data: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a runtime. `handle` is how to find it again, also if we had forgotten."""

    state: Observed
    handle: Handle | None
    boot: str | None = None
    """Changes with each start of the runtime; the agent of a new boot has to be claimed."""
    detail: str = ""
    """A sentence for people: the step under way, or why it ended ("out of memory")."""
    orderly: bool = False
    """Whether it is EXITED because its driver was told to end it: also when the whole host was
    taken down, which is nobody's failure."""


class StartedFrom(StrEnum):
    COLD = "cold"
    POOL = "pool"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a workspace ends by itself. Durations in seconds; None means never."""

    ttl_s: int | None
    """From creation (or the last renewal) to deletion."""
    idle_stop_s: int | None
    runtime_max_s: int | None
    """From each start to the stop."""
    unused_delete_s: int | None
    on_expiry: OnExpiry = OnExpiry.DELETE
    on_idle: OnIdle = OnIdle.STOP
    auto_resume: bool = False
    """Whether the next request or connection wakes it when it is paused."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """One row: what is wanted, what was last seen, and the bookkeeping of the reconciler."""

    id: WorkspaceId
    name: str
    owner: UserId
    kind: Kind
    template: str
    template_version: int
    spec: Spec
    parameters: Mapping[str, object]
    labels: Mapping[str, str]
    repo: str | None
    branch: str | None
    lifetime: Lifetime
    desired: Desired
    phase: Phase
    reason: str
    """Why it is there, in a sentence: "stopped: idle for 30 minutes"."""
    health: str
    """"ok", "starting", or "degraded: " and the reason (a failed clone, a failed script)."""
    handle: Handle | None
    boot: str | None
    """The boot whose agent we have claimed; None when we ended it, or never had one."""
    retire_boot: str | None
    """The boot that a restart is to end; a later boot is left alone."""
    generation: int
    """Goes up each time a person changes `desired` or `spec`; resets the failure budget."""
    failures: int
    """Consecutive driver failures in this generation."""
    created_at: datetime
    started_at: datetime | None
    last_used_at: datetime
    expires_at: datetime | None
    """Deleted then."""
    stop_at: datetime | None
    """Stopped then: the earliest of what the owner set and the maximum runtime."""
    announced_at: datetime | None
    """When the owner was told that it will be deleted because nobody uses it."""
    check_at: datetime
    """When the reconciler looks at it next."""
    pool: str | None = None
    """The pool whose unowned member it is: `template@version/isolation`. None once claimed, and
    for all that were never pooled. Never set again: what was claimed is used once."""
    started: StartedFrom | None = None
    """How it came to run at first; None until that is known."""
    started_why: str = ""
    """Why it did not come from the pool: "the pool was empty"."""
