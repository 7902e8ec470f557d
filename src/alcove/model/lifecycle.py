"""The workspace state machine: one table and one pure function.

The machine is level-based: a step looks at what is wanted and what is there, never at how we
got here. A missed event, a crash between two writes, or a second server therefore costs time,
not correctness.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from alcove.model.workspace import Desired, Observation, Observed, Phase, Workspace

FAILURES_MAX: Final = 5
RECHECK_BUSY: Final = timedelta(seconds=2)
RECHECK_IDLE: Final = timedelta(seconds=60)
BACKOFF_MAX: Final = timedelta(minutes=5)


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


@dataclass(frozen=True, slots=True)
class Step:
    phase: Phase
    effect: Effect | None
    recheck: timedelta


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


def step(workspace: Workspace, seen: Observation) -> Step:
    """Decide what to do next. Pure: same arguments, same answer."""
    phase, effect = DECISIONS[workspace.desired, seen.state]
    if seen.state is Observed.READY and phase is Phase.RUNNING and seen.boot != workspace.boot:
        fresh = workspace.started_at is None
        phase, effect = (Phase.PROVISIONING if fresh else Phase.STARTING), Effect.CLAIM
    if effect is not None and workspace.failures >= FAILURES_MAX:
        # Give up loudly instead of retrying for ever; a new generation starts afresh.
        return Step(phase=Phase.FAILED, effect=None, recheck=RECHECK_IDLE)
    recheck = RECHECK_IDLE if phase in SETTLED else RECHECK_BUSY
    return Step(phase=phase, effect=effect, recheck=recheck)


def backoff(failures: int) -> timedelta:
    """How long to wait after the given number of consecutive failures (1-based)."""
    assert failures >= 1
    return min(BACKOFF_MAX, RECHECK_BUSY * 2 ** min(failures, 16))
