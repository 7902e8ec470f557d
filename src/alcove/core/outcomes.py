"""What a step leaves behind, as pure functions: the workspace as it was → as it is to be.

The reconciler acts; these say what is written down afterwards, and why.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from alcove.model.errors import DriverError
from alcove.model.lifecycle import (
    FAILURES_MAX,
    Effect,
    Step,
    backoff,
    failures_after_end,
    forgiven,
    is_being_claimed,
)
from alcove.model.workspace import (
    Desired,
    Observation,
    Observed,
    Phase,
    StartedFrom,
    Workspace,
)

REASON_MAX: Final = 1000
STARTING: Final = "starting"
"""The health of a workspace whose start-up steps have not ended."""
UPDATE_PENDING: Final = "update pending: restart to apply"
_KEEPS_REASON: Final = frozenset({Desired.STOPPED, Desired.DELETED})
"""Why somebody wanted that is more telling than how far it is."""


def seen_as(workspace: Workspace, seen: Observation) -> Workspace:
    """Remember the handle, also one that we had forgotten; ignorance changes nothing."""
    return workspace if seen.state is Observed.UNKNOWN else replace(workspace, handle=seen.handle)


def rest(workspace: Workspace, todo: Step, seen: Observation, *, now: datetime) -> Workspace:
    """The outcome of a step that asks for nothing to be done."""
    after = replace(seen_as(workspace, seen), phase=todo.phase, check_at=now + todo.recheck)
    if todo.ended is not None:
        return replace(
            after,
            boot=None,
            retire_boot=None,
            failures=failures_after_end(workspace),
            reason=todo.ended[:REASON_MAX],
            stop_at=None,
        )
    match todo.phase:
        case Phase.RUNNING:
            arrived = workspace.phase is not Phase.RUNNING
            if workspace.pool is not None:
                # Remembered, so that an end by itself is noticed.
                return replace(after, boot=workspace.boot or seen.boot, reason="", failures=0)
            return replace(
                after,
                reason="" if arrived else workspace.reason,
                failures=forgiven(workspace, now=now),
                retire_boot=None,
                stop_at=_stop_again(workspace, now),
            )
        case Phase.PAUSED:
            # What does not run uses up no time to run.
            return replace(after, stop_at=None)
        case Phase.STOPPED:
            reason = workspace.reason or "stopped"
            return replace(
                _theirs(after),
                boot=None,
                retire_boot=None,
                stop_at=None,
                health="ok",
                reason=reason,
            )
        case Phase.DELETED:
            if seen.state is Observed.ABSENT:
                return replace(after, boot=None, stop_at=None)
            return given_up(after)
        case Phase.PROVISIONING | Phase.UNREACHABLE if workspace.desired not in _KEEPS_REASON:
            return replace(after, reason=(seen.detail or workspace.reason)[:REASON_MAX])
        case _:
            return after


def _stop_again(workspace: Workspace, now: datetime) -> datetime | None:
    """A pause ended the count of the longest run; going on begins another."""
    longest = workspace.lifetime.runtime_max_s
    if workspace.stop_at is None and longest is not None:
        return now + timedelta(seconds=longest)
    return workspace.stop_at


def given_up(workspace: Workspace) -> Workspace:
    """Deleted, although the driver could not remove everything: the sweeper goes on."""
    reason = f"deleted, but not all could be removed: {workspace.reason}"[:REASON_MAX]
    return replace(workspace, phase=Phase.DELETED, boot=None, stop_at=None, reason=reason)


def failed(
    workspace: Workspace, todo: Step | None, error: BaseException, *, now: datetime
) -> Workspace:
    """The outcome of a step that failed: a failure is spent, and the reason is kept."""
    hopeless = isinstance(error, DriverError) and not error.retry
    failures = FAILURES_MAX if hopeless else workspace.failures + 1
    exhausted = failures >= FAILURES_MAX
    phase = workspace.phase if todo is None else todo.phase
    effect = None if todo is None else todo.effect
    if exhausted and effect is not Effect.DESTROY:
        phase = Phase.FAILED
    wait = timedelta() if exhausted else backoff(failures)
    verb = "look" if effect is None else effect.value
    reason = f"{verb} failed: {sentence(error)}"[:REASON_MAX]
    return replace(workspace, phase=phase, failures=failures, reason=reason, check_at=now + wait)


def claimed(workspace: Workspace, boot: str | None, *, now: datetime) -> Workspace:
    """The agent of this boot knows whose it is."""
    longest = workspace.lifetime.runtime_max_s
    steps = workspace.spec.clone is not None or workspace.spec.scripts
    return replace(
        workspace,
        boot=boot,
        retire_boot=None,
        started=workspace.started or _began(workspace),
        started_at=now,
        last_used_at=now,
        health=STARTING if steps else "ok",
        stop_at=None if longest is None else now + timedelta(seconds=longest),
    )


def gone_cold(workspace: Workspace, why: str) -> Workspace:
    """What a pool gave cannot be used and is removed: the same workspace starts cold."""
    return replace(
        workspace,
        handle=None,
        boot=None,
        retire_boot=None,
        started=None,
        started_why=f"what the pool gave could not be used: {why}"[:REASON_MAX],
    )


def ended(workspace: Workspace) -> Workspace:
    """We stopped it: the boot is over, and that was no failure."""
    return replace(_theirs(workspace), boot=None, retire_boot=None, stop_at=None)


def _theirs(workspace: Workspace) -> Workspace:
    """What its owner stopped is the owner's, also if nobody wrote down that they had it."""
    if not is_being_claimed(workspace):
        return workspace
    return replace(workspace, started_at=workspace.created_at)


def _began(workspace: Workspace) -> StartedFrom:
    """At its first claim: a later start does not change how it came to run at first."""
    if workspace.spec.snapshot is not None:
        return StartedFrom.SNAPSHOT
    return StartedFrom.COLD


def sentence(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return "it took too long"
        case _:
            return str(error) or type(error).__name__
