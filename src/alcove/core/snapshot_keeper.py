"""Making snapshots true: taking those that are asked for, removing those that are over.

One is taken under the lease of its workspace, so that nothing stops or destroys that meanwhile.
Every act may be repeated: what a killed server was taking is finished by the next one, which
finds the driver's part by the snapshot's id; or it fails, with the reason. No transaction is
open while the driver works.
"""

import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import anyio

from alcove.core.app import Core
from alcove.core.bus import RECONCILE, SNAPSHOTS
from alcove.core.outcomes import sentence
from alcove.core.snapshots import TAKEN_OF, event, snapshot_topic
from alcove.drivers.base import Snapshotting, Taken
from alcove.model.access import SYSTEM
from alcove.model.errors import AlcoveError, DriverError, Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.snapshot import Snapshot, SnapshotState
from alcove.model.workspace import LeaseToken, Phase, SnapshotId, Workspace
from alcove.store import events, leases, snapshots
from alcove.store.db import Tx

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Snapshots that one server works on side by side."""
POLL_S: Final = 2.0
BUSY: Final = timedelta(milliseconds=200)
"""Until a workspace is asked for again that is being stepped."""
RETRY: Final = timedelta(seconds=5)
PATIENCE: Final = timedelta(minutes=1)
"""How long a driver that may be back soon is asked again."""
LEASE: Final = timedelta(seconds=20)
RENEW_S: Final = 5.0
TAKE_TIMEOUT_S: Final = 600.0
DROP_TIMEOUT_S: Final = 60.0
FAILED_FOR: Final = timedelta(days=1)
"""One that failed is shown for so long."""
FOR_EVER: Final = timedelta(days=36500)
SWEEP: Final = timedelta(minutes=1)
GRACE: Final = timedelta(minutes=10)
TOLERATED: Final = 10
"""See `core/sweeper.py`: a database that knows most of nothing is not believed."""
DETAIL_MAX: Final = 1000
assert LEASE.total_seconds() >= 4 * RENEW_S, "a lost renewal or two must not cost the lease"


class _LostLease(Exception):
    """Somebody else steps the workspace; whoever has it takes the snapshot."""


@dataclass(slots=True)
class Keeper:
    """One server's. Its memory is only of what it found on the host without a row."""

    core: Core
    busy: set[SnapshotId] = field(default_factory=set[SnapshotId])
    unknown_since: dict[SnapshotId, datetime] = field(default_factory=dict[SnapshotId, datetime])
    sweep_at: datetime | None = None

    async def tick(self) -> int:
        """Look at each that is due once, side by side. Returns how many there were."""
        core = self.core
        async with core.db.read() as tx:
            due = await snapshots.due(tx, now=core.clock(), limit=AT_ONCE)
        async with anyio.create_task_group() as group:
            for snapshot in due:
                group.start_soon(self.keep, snapshot)
        await self.sweep()
        return len(due)

    async def keep(self, snapshot: Snapshot) -> None:
        """Do what is due for one. The bulkhead."""
        self.busy.add(snapshot.id)
        try:
            if snapshot.state is SnapshotState.TAKING:
                await self._take(snapshot)
            elif snapshot.state is SnapshotState.DELETING:
                await self._remove(snapshot)
            else:
                await self._over(snapshot)
        except Unavailable as error:
            log.warning("snapshot %s waits: %s", snapshot.id, error)
        except Exception:
            log.exception("snapshot %s: bug in the keeper", snapshot.id)
            await self._after_a_bug(snapshot)
        finally:
            self.busy.discard(snapshot.id)

    async def _take(self, snapshot: Snapshot) -> None:
        core = self.core
        token = LeaseToken(str(uuid.uuid4()))
        async with core.db.transaction() as tx:
            now = core.clock()
            workspace = await snapshots.lease(
                tx, snapshot.workspace, token=token, now=now, lease=LEASE
            )
        if workspace is None:
            # Its reconciler, or another server's keeper, which may take long.
            age = self.core.clock() - snapshot.created_at
            await self._later(snapshot, min(RETRY, max(BUSY, age / 4)))
            return
        try:
            async with _renewed(core, token):
                await self._take_leased(snapshot, workspace)
        except* _LostLease:
            log.info("snapshot %s: lease lost, left to whoever has it", snapshot.id)
        except* Unavailable as lost:
            # What the driver has by then is found again by the snapshot's id.
            log.warning("snapshot %s waits: %s", snapshot.id, lost.exceptions[0])
        finally:
            with anyio.move_on_after(2, shield=True):
                await self._give_back(workspace, token)

    async def _take_leased(self, snapshot: Snapshot, workspace: Workspace) -> None:
        driver = self.core.driver
        if not isinstance(driver, Snapshotting):
            await self._fail(snapshot, f"the driver {driver.name} takes no snapshots")
            return
        try:
            with anyio.fail_after(TAKE_TIMEOUT_S):
                taken = await self._taken(driver, snapshot, workspace)
        except Unavailable:
            raise
        except (AlcoveError, TimeoutError) as error:
            young = self.core.clock() - snapshot.created_at < PATIENCE
            if isinstance(error, DriverError) and error.retry and young:
                log.warning("snapshot %s: %s; tried again", snapshot.id, error)
                await self._later(snapshot, RETRY, detail=f"tried again: {error}")
                return
            log.warning("snapshot %s was not taken: %s", snapshot.id, error)
            await self._drop(driver, snapshot)
            await self._fail(snapshot, sentence(error))
            return
        if taken is not None:
            await self._ready(driver, snapshot, taken)

    async def _taken(
        self, driver: Snapshotting, snapshot: Snapshot, workspace: Workspace
    ) -> Taken | None:
        """What the driver has of it then; None if it is to be tried later."""
        if workspace.phase in TAKEN_OF and workspace.handle is not None:
            return await driver.take_snapshot(workspace.id, workspace.handle, snapshot.id)
        # Perhaps it was taken before the server was killed.
        for known in await driver.snapshots():
            if known.snapshot == snapshot.id:
                return known
        if workspace.phase in (Phase.DELETED, Phase.DELETING, Phase.FAILED):
            why = f"workspace {workspace.name} was {workspace.phase} before it was taken"
            raise DriverError(why, retry=False)
        if self.core.clock() - snapshot.created_at >= PATIENCE:
            why = f"workspace {workspace.name} is {workspace.phase} and did not settle"
            raise DriverError(why, retry=False)
        await self._later(snapshot, RETRY)
        return None

    async def _ready(self, driver: Snapshotting, snapshot: Snapshot, taken: Taken) -> None:
        core = self.core
        most = core.settings.snapshot_mib_max_per_user
        async with core.db.read() as tx:
            kept = await snapshots.kept(tx, owner=snapshot.owner)
        if not snapshot.hidden and kept.size_mib + taken.size_mib > most:
            await self._drop(driver, snapshot)
            await self._fail(
                snapshot,
                f"it takes {taken.size_mib} MiB, which with {kept.size_mib} MiB of others is over "
                f"the limit of {most} MiB per user; delete some",
            )
            return
        now = core.clock()
        async with core.db.transaction() as tx:
            row = await snapshots.settle(
                tx,
                snapshot,
                SnapshotState.READY,
                memory=taken.memory,
                size_mib=taken.size_mib,
                expires_at=snapshot.expires_at,
                check_at=now if snapshot.hidden else snapshot.expires_at or now + FOR_EVER,
            )
            if row is not None:
                said = event(
                    EventKind.SNAPSHOT_TAKEN,
                    SYSTEM,
                    row,
                    size_mib=taken.size_mib,
                    memory=taken.memory,
                    took_s=round((now - snapshot.created_at).total_seconds(), 3),
                )
                await self._tell(tx, row, said)
        self._wake(snapshot)

    async def _fail(self, snapshot: Snapshot, why: str) -> None:
        core, now = self.core, self.core.clock()
        async with core.db.transaction() as tx:
            row = await snapshots.settle(
                tx,
                snapshot,
                SnapshotState.FAILED,
                detail=why[:DETAIL_MAX],
                expires_at=now + FAILED_FOR,
                check_at=now + FAILED_FOR,
            )
            if row is not None:
                said = event(EventKind.SNAPSHOT_FAILED, SYSTEM, row, error=row.detail)
                await self._tell(tx, row, said)
        self._wake(snapshot)

    async def _tell(self, tx: Tx, row: Snapshot, said: NewEvent) -> None:
        """The event, and those that wait for the snapshot are stepped."""
        now = self.core.clock()
        waiting = await snapshots.beginning_from(tx, row)
        await snapshots.look_at(tx, waiting, now=now)
        await events.append(tx, now, said)

    async def _over(self, snapshot: Snapshot) -> None:
        """One that is ready, or failed, and due: its time is over, or its forks run."""
        core, now = self.core, self.core.clock()
        async with core.db.transaction() as tx:
            if snapshot.hidden and await snapshots.beginning_from(tx, snapshot):
                await snapshots.look_later(tx, snapshot, at=now + RETRY)
                return
            if await snapshots.want_deleted(tx, snapshot.id, now=now) is None:
                return
            asked = event(
                EventKind.SNAPSHOT_DELETE_REQUESTED,
                SYSTEM,
                snapshot,
                reason="its forks run" if snapshot.hidden else "its time is over",
            )
            await events.append(tx, now, asked)
        core.bus.wake(SNAPSHOTS)

    async def _remove(self, snapshot: Snapshot) -> None:
        core, driver = self.core, self.core.driver
        async with core.db.read() as tx:
            needed = await snapshots.beginning_from(tx, snapshot)
        if needed:
            await self._later(snapshot, RETRY)
            return
        if isinstance(driver, Snapshotting) and not await self._drop(driver, snapshot):
            await self._later(snapshot, PATIENCE)
            return
        async with core.db.transaction() as tx:
            if await snapshots.remove(tx, snapshot.id):
                gone = event(EventKind.SNAPSHOT_DELETED, SYSTEM, snapshot)
                await events.append(tx, core.clock(), gone)
        self._wake(snapshot)

    async def _drop(self, driver: Snapshotting, snapshot: Snapshot) -> bool:
        try:
            with anyio.fail_after(DROP_TIMEOUT_S):
                await driver.drop_snapshot(snapshot.id)
        except (AlcoveError, TimeoutError) as error:
            log.warning("snapshot %s is not removed: %s", snapshot.id, sentence(error))
            return False
        return True

    async def _later(
        self, snapshot: Snapshot, after: timedelta, *, detail: str | None = None
    ) -> None:
        async with self.core.db.transaction() as tx:
            at = self.core.clock() + after
            await snapshots.look_later(tx, snapshot, at=at, detail=detail and detail[:DETAIL_MAX])

    async def _after_a_bug(self, snapshot: Snapshot) -> None:
        try:
            await self._later(snapshot, PATIENCE)
        except Unavailable as error:
            log.warning("snapshot %s: %s", snapshot.id, error)

    async def _give_back(self, workspace: Workspace, token: LeaseToken) -> None:
        core = self.core
        try:
            async with core.db.transaction() as tx:
                await leases.give_back(tx, workspace.id, token=token)
        except Unavailable:
            log.warning("workspace %s: lease not given back; it runs out", workspace.id)
        # What was asked for meanwhile waited for the lease.
        core.bus.wake(RECONCILE)

    def _wake(self, snapshot: Snapshot) -> None:
        core = self.core
        core.bus.wake(snapshot_topic(snapshot.id))
        core.bus.wake(RECONCILE)
        core.bus.wake(SNAPSHOTS)

    async def sweep(self) -> None:
        """Drop what the driver keeps and no row knows, after a while."""
        core, driver, now = self.core, self.core.driver, self.core.clock()
        if not isinstance(driver, Snapshotting):
            return
        if self.sweep_at is not None and now < self.sweep_at:
            return
        self.sweep_at = now + SWEEP
        try:
            there = {taken.snapshot for taken in await driver.snapshots()}
        except AlcoveError as error:
            log.warning("no list of snapshots: %s", error)
            return
        async with core.db.read() as tx:
            orphans = there - await snapshots.known(tx, there)
        self.unknown_since = {id: self.unknown_since.get(id, now) for id in sorted(orphans)}
        if len(orphans) > TOLERATED and len(orphans) * 2 > len(there):
            log.error("%d of %d snapshots have no record; left alone", len(orphans), len(there))
            return
        for id, since in list(self.unknown_since.items()):
            if now - since >= GRACE:
                await self._drop_orphan(driver, id)

    async def _drop_orphan(self, driver: Snapshotting, id: SnapshotId) -> None:
        core = self.core
        try:
            with anyio.fail_after(DROP_TIMEOUT_S):
                await driver.drop_snapshot(id)
        except (AlcoveError, TimeoutError) as error:
            log.warning("snapshot %s is not removed: %s", id, sentence(error))
            return
        detail = {"what": ["snapshot"], "left": []}
        async with core.db.transaction() as tx:
            removed = NewEvent(EventKind.ORPHAN_REMOVED, SYSTEM.id, id, detail=detail)
            await events.append(tx, core.clock(), removed)
        core.metrics.orphans.inc()
        del self.unknown_since[id]
        log.warning("removed snapshot %s, which has no record", id)


async def run(core: Core) -> None:
    """Keep snapshots until cancelled. A hint wakes it at once; polling is the safety net."""
    keeper = Keeper(core)
    with core.bus.subscribe(SNAPSHOTS) as hints:
        async with anyio.create_task_group() as group:
            while True:
                due = list[Snapshot]()
                try:
                    async with core.db.read() as tx:
                        due = list(await snapshots.due(tx, now=core.clock(), limit=AT_ONCE * 4))
                    await keeper.sweep()
                except Unavailable as error:
                    log.warning("snapshots wait: %s", error)
                except Exception:
                    log.exception("bug in the keeper of snapshots")
                free = [one for one in due if one.id not in keeper.busy]
                room = max(0, AT_ONCE - len(keeper.busy))
                for snapshot in free[:room]:
                    group.start_soon(keeper.keep, snapshot)
                await hints.wait(BUSY.total_seconds() if free else POLL_S)


@asynccontextmanager
async def _renewed(core: Core, token: LeaseToken) -> AsyncGenerator[None]:
    """Keep the lease while the block runs. Raises _LostLease, in a group, when it is gone."""
    async with anyio.create_task_group() as group:
        group.start_soon(_renew, core, token)
        yield
        group.cancel_scope.cancel()


async def _renew(core: Core, token: LeaseToken) -> None:
    until = core.clock() + LEASE
    while True:
        await anyio.sleep(RENEW_S)
        now = core.clock()
        try:
            async with core.db.transaction() as tx:
                kept = await leases.renew(tx, [token], now=now, until=now + LEASE)
        except Unavailable as error:
            log.warning("lease for a snapshot not renewed: %s", error)
            if now >= until:
                raise _LostLease from error
            continue
        if not kept:
            raise _LostLease
        until = now + LEASE
