"""The workspace state machine: one table and one pure function.

The machine is level-based: a step looks at what is wanted and what is there, never at how we
got here. A missed event, a crash between two writes, or a second server therefore costs time,
not correctness.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from alcove.model.workspace import (
    Desired,
    Observation,
    Observed,
    Phase,
    StartedFrom,
    Workspace,
)

FAILURES_MAX: Final = 5
RECHECK_BUSY: Final = timedelta(seconds=2)
RECHECK_IDLE: Final = timedelta(seconds=30)
RECHECK_MEMBER: Final = timedelta(minutes=2)
"""A pool's member is looked at rarely: whoever claims it finds out anyway."""
BACKOFF_MAX: Final = timedelta(minutes=5)
STABLE_AFTER: Final = timedelta(minutes=10)
"""A workspace that has run this long has its failures forgiven."""


class Effect(StrEnum):
    """What a step may ask for. Each is idempotent."""

    CREATE = "create"
    START = "start"
    CLAIM = "claim"
    """Give the agent of a new boot its environment, identity and start-up steps."""
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    DESTROY = "destroy"
    DISCARD = "discard"
    """Throw away what came from a pool and ended before its owner had it, to start cold."""


@dataclass(frozen=True, slots=True)
class Step:
    phase: Phase
    effect: Effect | None
    recheck: timedelta
    ended: str | None = None
    """Set when the runtime ended without being asked to: the reason. It costs a failure."""


_RUN, _PAUSE, _STOP, _DELETE = Desired.RUNNING, Desired.PAUSED, Desired.STOPPED, Desired.DELETED
_UNREACHABLE = (Phase.UNREACHABLE, None)

DECISIONS: Final[dict[tuple[Desired, Observed], tuple[Phase, Effect | None]]] = {
    (_RUN, Observed.ABSENT): (Phase.PROVISIONING, Effect.CREATE),
    (_RUN, Observed.CREATING): (Phase.PROVISIONING, None),
    (_RUN, Observed.READY): (Phase.RUNNING, None),
    (_RUN, Observed.EXITED): (Phase.STARTING, Effect.START),
    (_RUN, Observed.PAUSED): (Phase.RESUMING, Effect.RESUME),
    (_RUN, Observed.UNKNOWN): _UNREACHABLE,
    (_PAUSE, Observed.ABSENT): (Phase.PROVISIONING, Effect.CREATE),
    (_PAUSE, Observed.CREATING): (Phase.PROVISIONING, None),
    (_PAUSE, Observed.READY): (Phase.PAUSING, Effect.PAUSE),
    (_PAUSE, Observed.EXITED): (Phase.STARTING, Effect.START),
    (_PAUSE, Observed.PAUSED): (Phase.PAUSED, None),
    (_PAUSE, Observed.UNKNOWN): _UNREACHABLE,
    (_STOP, Observed.ABSENT): (Phase.STOPPED, None),
    (_STOP, Observed.CREATING): (Phase.STOPPING, Effect.STOP),
    (_STOP, Observed.READY): (Phase.STOPPING, Effect.STOP),
    (_STOP, Observed.EXITED): (Phase.STOPPED, None),
    (_STOP, Observed.PAUSED): (Phase.STOPPING, Effect.STOP),
    (_STOP, Observed.UNKNOWN): _UNREACHABLE,
    (_DELETE, Observed.ABSENT): (Phase.DELETED, None),
    (_DELETE, Observed.CREATING): (Phase.DELETING, Effect.DESTROY),
    (_DELETE, Observed.READY): (Phase.DELETING, Effect.DESTROY),
    (_DELETE, Observed.EXITED): (Phase.DELETING, Effect.DESTROY),
    (_DELETE, Observed.PAUSED): (Phase.DELETING, Effect.DESTROY),
    (_DELETE, Observed.UNKNOWN): _UNREACHABLE,
}

SETTLED: Final = frozenset(
    {Phase.RUNNING, Phase.PAUSED, Phase.STOPPED, Phase.DELETED, Phase.FAILED}
)
_TAKEN_UP: Final = {
    Desired.RUNNING: Phase.STARTING,
    Desired.PAUSED: Phase.STARTING,
    Desired.STOPPED: Phase.STOPPING,
    Desired.DELETED: Phase.DELETING,
}
_WE_ENDED_IT: Final = frozenset({Phase.STOPPING, Phase.STOPPED})
"""Written before the runtime is stopped, so that a crash in between is not blamed on it."""


def step(workspace: Workspace, seen: Observation) -> Step:
    """Decide what to do next. Pure: same arguments, same answer."""
    phase, effect = DECISIONS[workspace.desired, seen.state]
    if ended := _ended_by_itself(workspace, seen):
        if failures_after_end(workspace) >= FAILURES_MAX:
            return Step(phase=Phase.FAILED, effect=None, recheck=RECHECK_IDLE, ended=ended)
        wait = backoff(workspace.failures + 1)
        return Step(phase=phase, effect=None, recheck=wait, ended=ended)
    if workspace.pool is not None and workspace.desired is _RUN:
        if seen.state is Observed.READY:
            # Nobody's yet: its agent is told nothing. Whoever claims it does that.
            return Step(phase=Phase.RUNNING, effect=None, recheck=RECHECK_MEMBER)
    elif is_being_claimed(workspace) and _ended_unclaimed(workspace, seen):
        phase, effect = Phase.PROVISIONING, Effect.DISCARD
    elif seen.state is Observed.READY and workspace.desired in (_RUN, _PAUSE):
        if seen.boot is not None and seen.boot == workspace.retire_boot:
            phase, effect = Phase.STOPPING, Effect.STOP
        elif is_being_claimed(workspace) and workspace.phase is Phase.RUNNING:
            # Most likely its agent was told already, and only our knowing it was cut off.
            phase, effect = Phase.RUNNING, Effect.CLAIM
        elif seen.boot != workspace.boot or is_being_claimed(workspace):
            fresh = workspace.started_at is None
            phase, effect = (Phase.PROVISIONING if fresh else Phase.STARTING), Effect.CLAIM
    if effect is not None and workspace.failures >= FAILURES_MAX:
        if effect is Effect.DESTROY:
            # Deleting never hangs on what cannot be removed: the sweeper goes on with the rest.
            return Step(phase=Phase.DELETED, effect=None, recheck=RECHECK_IDLE)
        # Give up loudly instead of retrying for ever; a new generation starts afresh.
        return Step(phase=Phase.FAILED, effect=None, recheck=RECHECK_IDLE)
    recheck = RECHECK_IDLE if phase in SETTLED else RECHECK_BUSY
    return Step(phase=phase, effect=effect, recheck=recheck)


def shown_phase(workspace: Workspace) -> Phase:
    """Its phase to whoever looks on. One that failed and was asked for something since is on its
    way there, though no step has begun: who waits for it must not take the old failure for new."""
    if workspace.phase is Phase.FAILED and workspace.failures == 0:
        return _TAKEN_UP[workspace.desired]
    return workspace.phase


def is_being_claimed(workspace: Workspace) -> bool:
    """Whether it came from a pool, and it is not written down that its agent was told whose
    it is."""
    return (
        workspace.pool is None
        and workspace.started is StartedFrom.POOL
        and workspace.started_at is None
    )


def backoff(failures: int) -> timedelta:
    """How long to wait after the given number of consecutive failures (1-based)."""
    assert failures >= 1
    return min(BACKOFF_MAX, RECHECK_BUSY * 2 ** min(failures, 16))


def failures_after_end(workspace: Workspace) -> int:
    """What is spent when the runtime ended by itself: all of it for an ephemeral workspace.

    Its files went with it, and a fresh one in its place would look to its user like the old.
    """
    return FAILURES_MAX if workspace.spec.ephemeral else workspace.failures + 1


def forgiven(workspace: Workspace, *, now: datetime) -> int:
    """The failures that still count for a workspace seen running now."""
    started = workspace.started_at
    return 0 if started is not None and now - started >= STABLE_AFTER else workspace.failures


def _ended_unclaimed(workspace: Workspace, seen: Observation) -> bool:
    """What it left may be another's, should the database be an older one than the host."""
    return workspace.desired in (_RUN, _PAUSE) and seen.state is Observed.EXITED


def _ended_by_itself(workspace: Workspace, seen: Observation) -> str | None:
    """The reason why a boot that we had claimed is gone, if it was not we who ended it."""
    if workspace.desired not in (_RUN, _PAUSE) or workspace.boot is None:
        return None
    if is_being_claimed(workspace):
        return None
    if workspace.phase in _WE_ENDED_IT or workspace.retire_boot == workspace.boot:
        return None
    match seen.state:
        case Observed.EXITED if seen.orderly:
            gone = "ended: its host was stopped, and nothing of an ephemeral one is kept"
            return gone if workspace.spec.ephemeral else None
        case Observed.EXITED:
            return f"ended by itself: {seen.detail or 'the runtime does not say why'}"
        case Observed.ABSENT:
            return f"its runtime and files are gone: {seen.detail or 'removed from outside'}"
        case _:
            return None
