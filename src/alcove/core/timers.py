"""Ending workspaces by themselves: time to live, maximum runtime, idleness, disuse.

One server at a time has this duty, by a lease; should two believe they have it, nothing happens
twice, because each request holds only for the generation that was looked at. What is decided is
in `model/timers.py`; this is the thin part that looks and asks.
"""

import logging
import uuid
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import anyio

from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.core.bus import TIMERS
from alcove.core.images import Images
from alcove.core.intents import ask, event
from alcove.core.sweeper import Sweeper
from alcove.drivers.base import Metered, Usage
from alcove.model.access import SYSTEM
from alcove.model.errors import AlcoveError, Conflict, Unavailable
from alcove.model.event import EventKind
from alcove.model.timers import Activity, Decision, Sample, Verdict, advance, decide, is_quiet
from alcove.model.workspace import Desired, LeaseToken, Phase, Workspace, WorkspaceId
from alcove.store import duties, events, leases

log = logging.getLogger(__name__)

DUTY: Final = "timers"
LEASE: Final = timedelta(seconds=30)
TICK_S: Final = 5.0
SAMPLE: Final = timedelta(seconds=30)
UNUSED: Final = timedelta(minutes=5)
SWEEP: Final = timedelta(minutes=1)
IMAGES: Final = timedelta(seconds=10)
PAGE: Final = 500
ASKED_AT_ONCE: Final = 16
STATS_TIMEOUT_S: Final = 2.0
assert LEASE.total_seconds() >= 4 * TICK_S, "a slow tick must not cost the duty"

_IN_USE: Final = ("execs_running", "terminals", "streams_open", "tcp_established")


@dataclass(slots=True)
class Timers:
    """The holder's memory. It begins empty, so that idleness is counted from then on."""

    core: Core
    token: LeaseToken = field(default_factory=lambda: LeaseToken(str(uuid.uuid4())))
    activity: dict[WorkspaceId, Activity] = field(default_factory=dict[WorkspaceId, Activity])
    sweeper: Sweeper = field(init=False)
    images: Images = field(init=False)
    _next: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.sweeper = Sweeper(self.core)
        self.core.condition.duties[DUTY] = self.token
        self.images = Images(self.core)

    async def tick(self) -> bool:
        """Do what is due, if the duty is ours. Answers whether it is."""
        core = self.core
        for late in core.running.overdue():
            await core.journal.record(late)
        async with core.db.transaction() as tx:
            ours = await leases.hold(tx, DUTY, token=self.token, now=core.clock(), lease=LEASE)
        if not ours:
            self.activity.clear()
            return False
        await self._over()
        if self._due("sample", SAMPLE):
            await self._idle()
        if self._due("unused", UNUSED):
            await self._unused()
        if self._due("images", IMAGES):
            await self.images.tick()
        if self._due("sweep", SWEEP):
            await self.sweeper.tick()
        return True

    async def give_up(self) -> None:
        """Let another server have the duty at once."""
        core = self.core
        async with core.db.transaction() as tx:
            await leases.release(tx, DUTY, token=self.token, now=core.clock())

    def _due(self, name: str, every: timedelta) -> bool:
        now = self.core.clock()
        if name in self._next and now < self._next[name]:
            return False
        self._next[name] = now + every
        return True

    async def _over(self) -> None:
        """The end has come by the row alone."""
        core = self.core
        async with core.db.read() as tx:
            found = await duties.due(tx, now=core.clock(), limit=PAGE)
        for workspace in found:
            await self._act(workspace, decide(workspace, idle_since=None, now=core.clock()))

    async def _unused(self) -> None:
        async for page in self._pages({Phase.STOPPED, Phase.FAILED, Phase.PAUSED}):
            for workspace in page:
                now = self.core.clock()
                await self._act(workspace, decide(workspace, idle_since=None, now=now))

    async def _idle(self) -> None:
        """Sample all that run; stop those that nobody has used for their time."""
        seen: set[WorkspaceId] = set()
        async for page in self._pages({Phase.RUNNING}):
            usages = await self._usages([workspace.id for workspace in page])
            limiter = anyio.CapacityLimiter(ASKED_AT_ONCE)
            async with anyio.create_task_group() as group:
                for workspace in page:
                    usage = usages.get(workspace.id)
                    group.start_soon(self._sample, workspace, usage, limiter)
            seen.update(workspace.id for workspace in page)
        for gone in self.activity.keys() - seen:
            del self.activity[gone]
        for gone in self.core.usages.keys() - seen:
            del self.core.usages[gone]
            self.core.usage_history.forget(gone)

    async def _sample(
        self, workspace: Workspace, usage: Usage | None, limiter: anyio.CapacityLimiter
    ) -> None:
        core, before = self.core, self.activity.get(workspace.id)
        sample = Sample(
            at=core.clock(),
            boot=workspace.boot,
            cpu_usec=usage.cpu_usec if usage else None,
            io_bytes=usage.io_bytes if usage else None,
            network_bytes=usage.network_bytes if usage else None,
            in_use=True if core.running.count(workspace.id) else None,
        )
        counted = before is not None and is_quiet(before.sample, sample)
        if sample.in_use is None and counted is not False and workspace.handle is not None:
            # The agent is asked only when the counters, which cost nothing, show no life.
            async with limiter:
                in_use = await self._asked(workspace)
            sample = Sample(
                sample.at,
                sample.boot,
                sample.cpu_usec,
                sample.io_bytes,
                sample.network_bytes,
                in_use,
            )
        after = self.activity[workspace.id] = advance(before, sample)
        if after.idle_since == sample.at:
            core.journal.used(workspace.id, sample.at)
        if before is not None:
            now = core.clock()
            await self._act(workspace, decide(workspace, idle_since=after.idle_since, now=now))

    async def _asked(self, workspace: Workspace) -> bool | None:
        """Whether the agent says that somebody is there; None when it does not answer."""
        try:
            with anyio.fail_after(STATS_TIMEOUT_S):
                stats = await self.core.agents.stats(Reach.of(workspace))
        except (AlcoveError, TimeoutError):
            return None
        return any(stats.get(name) for name in _IN_USE)

    async def _usages(self, ids: Sequence[WorkspaceId]) -> Mapping[WorkspaceId, Usage]:
        core = self.core
        if not isinstance(core.driver, Metered) or not ids:
            return {}
        try:
            found = await core.driver.usage(ids)
        except AlcoveError as error:
            log.warning("usage is not known: %s", error)
            return {}
        core.usages.update(found)
        core.usage_history.add(found, core.clock())
        return found

    async def _act(self, workspace: Workspace, verdict: Verdict | None) -> None:
        if verdict is None:
            return
        core = self.core
        core.metrics.decisions.labels(decision=verdict.decision.value).inc()
        log.info("workspace %s: %s", workspace.id, verdict.reason)
        match verdict.decision:
            case Decision.ANNOUNCE:
                await self._announce(workspace, verdict)
                return
            case Decision.KEEP:
                await self._keep(workspace, verdict)
                return
            case Decision.PAUSE:
                desired, kind = Desired.PAUSED, EventKind.WORKSPACE_PAUSE_REQUESTED
            case Decision.STOP:
                desired, kind = Desired.STOPPED, EventKind.WORKSPACE_STOP_REQUESTED
            case Decision.DELETE:
                desired, kind = Desired.DELETED, EventKind.WORKSPACE_DELETE_REQUESTED
        try:
            await ask(
                core,
                SYSTEM,
                workspace,
                desired,
                kind=kind,
                reason=verdict.reason,
                unless_changed=True,
                endless=verdict.decision is Decision.PAUSE and _expired(workspace, core.clock()),
            )
        except Conflict:
            # Somebody, perhaps another server's timers, asked for something first.
            log.info("workspace %s: changed meanwhile, left alone", workspace.id)

    async def _keep(self, workspace: Workspace, verdict: Verdict) -> None:
        """Its time is over and it does not run: disuse alone will end it."""
        core, now = self.core, self.core.clock()
        async with core.db.transaction() as tx:
            if await duties.end_expiry(tx, workspace):
                told = {"reason": verdict.reason, "expires_at": None}
                said = event(EventKind.WORKSPACE_UPDATED, SYSTEM, workspace, told)
                await events.append(tx, now, said)

    async def _announce(self, workspace: Workspace, verdict: Verdict) -> None:
        core, now = self.core, self.core.clock()
        async with core.db.transaction() as tx:
            if await duties.announce(tx, workspace, now=now):
                said = event(
                    EventKind.WORKSPACE_EXPIRY_ANNOUNCED,
                    SYSTEM,
                    workspace,
                    {"reason": verdict.reason},
                )
                await events.append(tx, now, said)

    async def _pages(self, phases: Collection[Phase]) -> AsyncGenerator[Sequence[Workspace]]:
        after = ""
        while True:
            async with self.core.db.read() as tx:
                page = await duties.with_phases(tx, phases, after=after, limit=PAGE)
            if page:
                yield page
            if len(page) < PAGE:
                return
            after = page[-1].id


def _expired(workspace: Workspace, now: datetime) -> bool:
    return workspace.expires_at is not None and workspace.expires_at <= now


async def run(core: Core) -> None:
    """Keep the duty, or wait for it, until cancelled."""
    timers = Timers(core)
    with core.bus.subscribe(TIMERS) as hints:
        async with _released(timers):
            while True:
                try:
                    await timers.tick()
                except Unavailable as error:
                    log.warning("timers wait: %s", error)
                except Exception:
                    log.exception("bug in the timers")
                await hints.wait(TICK_S)


@asynccontextmanager
async def _released(timers: Timers) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with anyio.move_on_after(2, shield=True):
            try:
                await timers.give_up()
            except Unavailable:
                log.warning("the duty of the timers was not given back; its lease runs out")
