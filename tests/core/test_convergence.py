"""Whatever people ask for and whatever breaks, the world comes to match the record.

A machine of rules over the real store and the fake driver: requests, failures, blindness, ends
by themselves, servers killed at any verb, two servers side by side, and a clock that moves.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from alcove.core import reconciler, workspaces
from alcove.core.app import Core
from alcove.core.intents import SETTLED
from alcove.core.sweeper import Sweeper
from alcove.model.errors import Conflict, DriverError
from alcove.model.workspace import Desired, Observed, Phase, WorkspaceId
from alcove.store import workspaces as rows
from alcove.store.db import Database
from tests.conftest import MovedClock
from tests.core.world import ADA, SECRET, World, open_world
from tests.postgres import Postgres


class Killed(BaseException):
    """A server dies here."""


VERBS = ("create", "start", "stop", "destroy", "pause", "resume")
ASKED = {
    "start": workspaces.start,
    "stop": workspaces.stop,
    "restart": workspaces.restart,
    "pause": workspaces.pause,
    "resume": workspaces.resume,
    "delete": workspaces.delete,
}


class Convergence(RuleBasedStateMachine):
    """`url` is set by the test: a fresh, migrated database for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.scope = tempfile.TemporaryDirectory()
        self.url = self.fresh(Path(self.scope.name))
        self.ids: list[WorkspaceId] = []
        self.busy: set[WorkspaceId] = set()
        self.overlaps: list[WorkspaceId] = []
        self.kill: tuple[str, str] | None = None
        self.run(self._open())

    @classmethod
    def fresh(cls, directory: Path) -> str:
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(work)

    async def _open(self) -> None:
        self.db = Database(self.url)
        self.clock = MovedClock()
        self.world: World = await open_world(self.db, self.clock).__aenter__()
        self.driver = self.world.driver
        self.driver.before, self.driver.after = self._before, self._after
        self.servers = [self.world.core, self._server()]

    def _server(self) -> Core:
        core = self.world.core
        return Core.build(
            settings=core.settings,
            driver=self.driver,
            secret=SECRET,
            db=self.db,
            clock=self.clock,
        )

    async def _before(self, verb: str, id: WorkspaceId) -> None:
        if id in self.busy:
            self.overlaps.append(id)
        self.busy.add(id)
        await anyio.lowlevel.checkpoint()
        if self.kill == (verb, "before"):
            self.kill = None
            raise Killed
        if self.driver.fail_next:
            self.busy.discard(id)

    async def _after(self, verb: str, id: WorkspaceId) -> None:
        await anyio.lowlevel.checkpoint()
        self.busy.discard(id)
        if self.kill == (verb, "after"):
            self.kill = None
            raise Killed

    @rule(template=st.sampled_from(["python", "agent"]))
    def create(self, template: str) -> None:
        if len(self.ids) < 5:
            self.ids.append(self.run(self.world.create(template=template)).id)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), verb=st.sampled_from(sorted(ASKED)))
    def ask(self, data: st.DataObject, verb: str) -> None:
        id = data.draw(st.sampled_from(self.ids))
        with contextlib.suppress(Conflict):
            self.run(ASKED[verb](self.world.core, ADA, id))

    @rule(times=st.integers(1, 3), retry=st.booleans())
    def fail(self, times: int, retry: bool) -> None:
        self.driver.fail_next = times
        self.driver.failure = DriverError("scripted", retry=retry)

    @rule(blind=st.booleans())
    def blind(self, blind: bool) -> None:
        self.driver.blind = blind

    @rule(verb=st.sampled_from(VERBS), when=st.sampled_from(["before", "after"]))
    def kill_at(self, verb: str, when: str) -> None:
        self.kill = (verb, when)

    @precondition(lambda self: self.driver.runtimes)
    @rule(data=st.data(), gone=st.booleans())
    def end(self, data: st.DataObject, gone: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.driver.runtimes)))
        if gone:
            self.driver.vanish(id)
        elif self.driver.runtimes[id].state is Observed.READY:
            self.driver.end(id, "out of memory")

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.clock.move(seconds=seconds)

    @rule(servers=st.integers(1, 2))
    def reconcile(self, servers: int) -> None:
        self.run(self._reconcile(servers))

    async def _reconcile(self, servers: int) -> None:
        try:
            async with anyio.create_task_group() as group:
                for core in self.servers[:servers]:
                    group.start_soon(reconciler.run_once, core)
        except BaseExceptionGroup as died:
            if died.split(Killed)[1] is not None:
                raise
            # Its memory is gone with it; what it was doing was cut off with it.
            self.busy.clear()
            self.servers = [self._server(), self._server()]

    @invariant()
    def no_two_verbs_at_once(self) -> None:
        assert self.overlaps == []

    @invariant()
    def what_is_deleted_is_gone(self) -> None:
        for id in self.ids:
            row = self.run(self.world.row(id))
            if row.phase is Phase.DELETED and row.reason.startswith("deleted: "):
                assert id not in self.driver.runtimes

    def teardown(self) -> None:
        try:
            self.run(self._heal())
        finally:
            self.run(self.db.aclose())
            self.loop.close()
            self.scope.cleanup()

    async def _heal(self) -> None:
        """All trouble ends; a while later everything is as it was asked for."""
        self.driver.blind, self.driver.fail_next, self.kill = False, 0, None
        for _ in range(12):
            self.clock.move(minutes=6)
            await self._reconcile(2)
        sweeper = Sweeper(self.world.core)
        for _ in range(3):
            self.clock.move(minutes=6)
            await sweeper.tick()
        for id in self.ids:
            async with self.db.read() as tx:
                row = await rows.get(tx, id)
            assert row is not None
            if row.desired is Desired.DELETED:
                assert row.phase is Phase.DELETED
            assert row.phase in (SETTLED[row.desired], Phase.FAILED), row
            if row.phase is Phase.RUNNING:
                runtime = self.driver.runtimes[id]
                assert (runtime.state, runtime.boot) == (Observed.READY, row.boot)
                assert len(runtime.agent.claims) >= 1
            chain = ["provisioning", *await self.world.phases(id)]
            assert chain[-1] == row.phase
        live = {id for id in self.ids if (await self.world.row(id)).phase is not Phase.DELETED}
        assert set(self.driver.runtimes) <= live


@pytest.mark.slow
def test_the_world_converges_on_sqlite(migrated_file: Path) -> None:
    class OnSqlite(Convergence):
        @classmethod
        def fresh(cls, directory: Path) -> str:
            shutil.copy(migrated_file, directory / "alcove.db")
            return f"sqlite:///{directory}/alcove.db"

    _explore(OnSqlite, examples=25)


@pytest.mark.slow
@pytest.mark.postgres
def test_the_world_converges_on_postgres(postgres_server: Postgres, migrated_url: str) -> None:
    class OnPostgres(Convergence):
        @classmethod
        def fresh(cls, directory: Path) -> str:
            return postgres_server.database(like=migrated_url)

    _explore(OnPostgres, examples=6)


def _explore(machine: type[Convergence], *, examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
