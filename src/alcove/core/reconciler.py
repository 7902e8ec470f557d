"""The loop that makes workspaces true: lease, observe, decide, act, settle.

Rules: no transaction is open while a driver or an agent works; nothing is done under a lease
that may have ended; one workspace's trouble, even a bug, stays its own.
"""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import anyio

from alcove.core import beginnings
from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.core.bus import POOLS, RECONCILE, STARTUPS, TIMERS, workspace_topic
from alcove.core.effects import perform
from alcove.core.intents import event
from alcove.core.outcomes import STARTING, failed, given_up, rest, seen_as, sentence
from alcove.model.access import SYSTEM
from alcove.model.errors import AlcoveError, DriverError, Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.lifecycle import Effect, Step, step
from alcove.model.workspace import LeaseToken, Observation, Observed, Phase, Workspace, WorkspaceId
from alcove.store import events, leases

log = logging.getLogger(__name__)

STEPS_MAX: Final = 24
"""Workspaces stepped side by side by one server; also what the driver has to bear."""
POLL_S: Final = 1.0
LEASE: Final = timedelta(seconds=20)
RENEW_S: Final = 5.0
OBSERVE_TIMEOUT_S: Final = 10.0
assert LEASE.total_seconds() >= 4 * RENEW_S, "a lost renewal or two must not cost the lease"


@dataclass(slots=True)
class Lease:
    """Our right to step one workspace; moved forward by the renewals."""

    workspace: WorkspaceId
    token: LeaseToken
    until: datetime

    def valid(self, now: datetime) -> bool:
        return now < self.until


@dataclass(slots=True)
class _Work:
    """What this server has under way."""

    leases: dict[WorkspaceId, Lease] = field(default_factory=dict[WorkspaceId, Lease])
    waiting: bool = False
    """More may be due than there was room for."""


async def run(core: Core) -> None:
    """Reconcile until cancelled. A hint wakes it at once; polling is the safety net."""
    work = _Work()
    if core.db.sqlite:
        # Nobody else uses the file: what a killed server was doing need not wait for a lease.
        await _until_available(core, work)
    with core.bus.subscribe(RECONCILE) as hints:
        async with anyio.create_task_group() as group:
            group.start_soon(_renew, core, work)
            while True:
                room = STEPS_MAX - len(work.leases)
                due = await _lease(core, work, limit=room) if room else ()
                work.waiting = len(due) == room
                for workspace in due:
                    group.start_soon(_drive, core, work, workspace)
                if not room or not work.waiting:
                    await hints.wait(POLL_S)


async def run_once(core: Core, *, limit: int = STEPS_MAX) -> int:
    """Drive every due workspace once, side by side. Returns how many there were."""
    work = _Work()
    due = await _lease(core, work, limit=limit)
    async with anyio.create_task_group() as group:
        for workspace in due:
            group.start_soon(_drive, core, work, workspace)
    return len(due)


async def _until_available(core: Core, work: _Work) -> None:
    while True:
        try:
            async with core.db.transaction() as tx:
                return await leases.give_back_all(tx)
        except Unavailable as error:
            log.warning("reconciler waits: %s", error)
            await anyio.sleep(POLL_S)


async def _lease(core: Core, work: _Work, *, limit: int) -> Sequence[Workspace]:
    token, now = LeaseToken(str(uuid.uuid4())), core.clock()
    lost = frozenset(core.agents.lost)
    try:
        async with core.db.transaction() as tx:
            if lost:
                await leases.look_now(tx, lost, now=now)
            due = await leases.lease_due(tx, token=token, now=now, lease=LEASE, limit=limit)
    except Unavailable as error:
        log.warning("reconciler waits: %s", error)
        return ()
    core.agents.lost -= lost
    for workspace in due:
        work.leases[workspace.id] = Lease(workspace.id, token, now + LEASE)
        core.metrics.lag.observe(max(0.0, (now - workspace.check_at).total_seconds()))
    return due


async def _renew(core: Core, work: _Work) -> None:
    """Keep the leases of long steps. One that could not be renewed runs out by itself."""
    while True:
        await anyio.sleep(RENEW_S)
        held = list(work.leases.values())
        if not held:
            continue
        until = core.clock() + LEASE
        try:
            async with core.db.transaction() as tx:
                kept = await leases.renew(
                    tx, [lease.token for lease in held], now=core.clock(), until=until
                )
        except Unavailable as error:
            log.warning("leases not renewed: %s", error)
            continue
        for lease in held:
            if lease.workspace in kept:
                lease.until = until


async def _drive(core: Core, work: _Work, workspace: Workspace) -> None:
    """Step one workspace until there is nothing to do for now. The bulkhead."""
    lease = work.leases[workspace.id]
    try:
        await _step_on(core, workspace, lease)
    except Unavailable as error:
        # Whoever is next observes afresh: at once, if only our connection was lost; otherwise
        # when the lease has run out.
        log.warning("workspace %s: outcome not written: %s", workspace.id, error)
        await _give_back(core, lease)
    except Exception:
        log.exception("workspace %s: bug in the reconciler", workspace.id)
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(2, shield=True):
            await _give_back(core, lease)
        raise
    finally:
        if work.leases.get(workspace.id) is lease:
            del work.leases[workspace.id]
        if work.waiting:
            core.bus.wake(RECONCILE)


async def _give_back(core: Core, lease: Lease) -> None:
    try:
        async with core.db.transaction() as tx:
            await leases.give_back(tx, lease.workspace, token=lease.token)
    except Unavailable:
        log.warning("workspace %s: lease not given back; it runs out", lease.workspace)


async def _step_on(core: Core, row: Workspace, lease: Lease) -> None:
    """Observe, decide, act, again and again while that makes progress; then settle.

    `row` is what the database says, `current` what we know beyond it.
    """
    current, done = row, set[Effect]()
    while True:
        seen = await _observe(core, current)
        todo = step(current, seen)
        current = seen_as(current, seen)
        if todo.effect is None:
            after = rest(current, todo, seen, now=core.clock())
            failure = _failure(row, after, "look", todo.ended) if todo.ended else None
            left = (row.reason,) if _gave_up(after, seen) else ()
            settled = await _settle(core, row, after, lease, failure=failure, leftovers=left)
            if settled is not None and settled.pool is not None:
                await _warm(core, settled)
            return
        if todo.phase is not row.phase or todo.effect is Effect.STOP:
            # Said before it is done: people see it, and a crash does not blame the runtime.
            now = core.clock()
            known = replace(current, phase=todo.phase, check_at=now)
            kept = await _settle(core, row, known, lease, keep=True)
            if kept is None:
                return
            changed = kept.generation != row.generation
            row, current = kept, replace(kept, handle=current.handle)
            if changed:
                continue
        if not lease.valid(core.clock()):
            log.warning("workspace %s: lease ended before %s", row.id, todo.effect)
            return
        try:
            _refuse_repeated(todo.effect, done, seen)
            current, left = await perform(core, todo.effect, current, seen)
        except Exception as error:
            _log_failure(row, todo, error)
            after = failed(current, todo, error, now=core.clock())
            failure = _failure(row, after, todo.effect, sentence(error))
            await _settle(core, row, after, lease, failure=failure)
            return
        if left:
            after = given_up(replace(current, reason=", ".join(left), check_at=core.clock()))
            await _settle(core, row, after, lease, leftovers=left)
            return
        if current.handle is None:
            done.clear()  # what was discarded is made afresh, and told afresh
        else:
            done.add(todo.effect)


async def _observe(core: Core, workspace: Workspace) -> Observation:
    try:
        with anyio.fail_after(OBSERVE_TIMEOUT_S):
            seen = await core.driver.observe(workspace.id, workspace.handle)
            return await beginnings.awaited(core, workspace, seen)
    except (DriverError, TimeoutError, Unavailable) as error:
        return Observation(Observed.UNKNOWN, workspace.handle, detail=sentence(error))
    except Exception as error:
        log.exception("workspace %s: bug in the driver's observe", workspace.id)
        return Observation(Observed.UNKNOWN, workspace.handle, detail=sentence(error))


async def _warm(core: Core, member: Workspace) -> None:
    """Connect to a pool's member before it is claimed, which is then so much quicker."""
    if member.phase is Phase.RUNNING and member.handle is not None:
        await core.agents.warm(Reach(member.id, member.handle, member.boot))


async def _settle(
    core: Core,
    before: Workspace,
    after: Workspace,
    lease: Lease,
    *,
    keep: bool = False,
    failure: NewEvent | None = None,
    leftovers: tuple[str, ...] = (),
) -> Workspace | None:
    """Write the outcome with its events; None, and nothing written, if the lease was lost."""
    now = core.clock()
    until = now + LEASE if keep else None
    if after.phase in (Phase.STOPPED, Phase.DELETED, Phase.FAILED):
        await core.agents.forget(after.id)
    async with core.db.transaction() as tx:
        row = await leases.settle(
            tx, before, after, token=lease.token, keep_until=until, leftovers=leftovers
        )
        news = [] if failure is None else [failure]
        # What nobody owns has no story of its own; that it failed is told.
        if row is not None and row.phase is not before.phase and row.pool is None:
            news.append(_phase_changed(before, row, leftovers))
        if row is not None and news:
            await events.append(tx, now, *news)
    if failure is not None and failure.detail is not None:
        core.metrics.failures.labels(verb=str(failure.detail["verb"])).inc()
    if row is None:
        log.info("workspace %s: lease lost, result dropped", before.id)
        return None
    if until is not None:
        lease.until = until
    core.bus.wake(POOLS if row.pool is not None else workspace_topic(row.id))
    if not keep and row.check_at <= now:
        # Somebody asked for something else meanwhile, or a failure was final.
        core.bus.wake(RECONCILE)
    if row.phase is Phase.RUNNING and row.health == STARTING:
        core.bus.wake(STARTUPS)
    elif row.phase is Phase.STOPPED and row.spec.ephemeral:
        core.bus.wake(TIMERS)
    return row


def _phase_changed(before: Workspace, row: Workspace, leftovers: tuple[str, ...]) -> NewEvent:
    detail: dict[str, object] = {"from": before.phase, "to": row.phase}
    if row.reason:
        detail["reason"] = row.reason
    if leftovers:
        detail["left"] = list(leftovers)
    return event(EventKind.WORKSPACE_PHASE_CHANGED, SYSTEM, row, detail)


def _failure(before: Workspace, after: Workspace, verb: str, error: str | None) -> NewEvent:
    detail: dict[str, object] = {
        "verb": verb,
        "error": (error or "")[:1000],
        "failures": after.failures,
        "final": after.phase in (Phase.FAILED, Phase.DELETED),
    }
    return event(EventKind.WORKSPACE_FAILED, SYSTEM, before, detail)


def _refuse_repeated(effect: Effect, done: set[Effect], seen: Observation) -> None:
    """What was done a moment ago and is asked for again had no effect: that is a failure."""
    if effect in done:
        raise DriverError(f"it did not last: {seen.detail or seen.state}", retry=True)


def _gave_up(after: Workspace, seen: Observation) -> bool:
    return after.phase is Phase.DELETED and seen.state is not Observed.ABSENT


def _log_failure(workspace: Workspace, todo: Step, error: Exception) -> None:
    if isinstance(error, (AlcoveError, TimeoutError)):
        log.warning("workspace %s: %s failed: %s", workspace.id, todo.effect, sentence(error))
    else:
        log.error("workspace %s: bug in %s", workspace.id, todo.effect, exc_info=error)
