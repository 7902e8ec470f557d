"""What every driver has to do, as checks that run against any of them.

A driver's tests run each check of `ALL` on a `Subject`. One rule: a check knows the protocol and
nothing of the driver; what only some drivers can do is asked of their `Capabilities` first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import anyio

from alcove.drivers.base import (
    AGENT_PORT,
    Adopting,
    Driver,
    Inventoried,
    Keeps,
    Metered,
    Pausable,
    Snapshotting,
)
from alcove.model.errors import AlcoveError, DriverError, Unsupported
from alcove.model.workspace import (
    Handle,
    Isolation,
    NetworkMode,
    Observation,
    Observed,
    SnapshotId,
    Spec,
    WorkspaceId,
)

_READY_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A driver to check, with a Spec that it can run and ids that nobody else uses."""

    driver: Driver
    spec: Spec
    new_id: Callable[[], WorkspaceId]
    control_key: str = "k" * 64

    def new_snapshot(self) -> SnapshotId:
        return SnapshotId("sn-" + self.new_id().removeprefix("ws-"))

    async def created(self) -> tuple[WorkspaceId, Handle]:
        workspace = self.new_id()
        handle = await self.driver.create(workspace, self.spec, control_key=self.control_key)
        await self.until(workspace, Observed.READY)
        return workspace, handle

    async def until(self, workspace: WorkspaceId, state: Observed) -> Observation:
        with anyio.fail_after(_READY_TIMEOUT_S):
            while True:
                seen = await self.driver.observe(workspace, None)
                if seen.state is state:
                    return seen
                await anyio.sleep(0.02)


Check: TypeAlias = Callable[[Subject], Awaitable[None]]


class Violation(AssertionError):
    """The driver does not keep its contract."""


def _require(holds: bool, claim: str) -> None:
    if not holds:
        raise Violation(claim)


async def what_never_was_is_absent(subject: Subject) -> None:
    seen = await subject.driver.observe(subject.new_id(), None)
    _require(seen.state is Observed.ABSENT, f"an unknown workspace is {seen.state}")
    _require(seen.handle is None, "something absent has a handle")


async def what_was_created_is_found_without_its_handle(subject: Subject) -> None:
    workspace, handle = await subject.created()
    seen = await subject.driver.observe(workspace, None)
    _require(seen.handle == handle, f"observe answers the handle {seen.handle}, create {handle}")
    _require(bool(seen.boot), "a running workspace has no boot")
    await subject.driver.destroy(workspace, handle)


async def creating_twice_makes_one(subject: Subject) -> None:
    workspace, handle = await subject.created()
    boot = (await subject.driver.observe(workspace, handle)).boot
    again = await subject.driver.create(workspace, subject.spec, control_key=subject.control_key)
    _require(again == handle, "the second create answers another handle")
    seen = await subject.until(workspace, Observed.READY)
    _require(seen.boot == boot, "the second create started it again")
    await subject.driver.destroy(workspace, handle)


async def the_agent_answers_where_connect_leads(subject: Subject) -> None:
    workspace, handle = await subject.created()
    await _answers(subject, workspace, handle)
    await subject.driver.destroy(workspace, handle)


async def stopping_keeps_it_and_may_be_repeated(subject: Subject) -> None:
    workspace, handle = await subject.created()
    for _ in range(2):
        await subject.driver.stop(workspace, handle, grace_s=1)
        seen = await subject.driver.observe(workspace, handle)
        _require(seen.state is Observed.EXITED, f"a stopped workspace is {seen.state}")
    await subject.driver.destroy(workspace, handle)


async def a_start_is_a_new_boot_and_may_be_repeated(subject: Subject) -> None:
    workspace, handle = await subject.created()
    first = (await subject.driver.observe(workspace, handle)).boot
    await subject.driver.stop(workspace, handle, grace_s=1)
    boots: list[str | None] = []
    for _ in range(2):
        handle = await subject.driver.start(
            workspace, handle, subject.spec, control_key=subject.control_key
        )
        boots.append((await subject.until(workspace, Observed.READY)).boot)
    _require(boots[0] != first, "the boot is that of before the stop")
    _require(boots[0] == boots[1], "the second start started it again")
    await subject.driver.destroy(workspace, handle)


async def a_stopped_one_cannot_be_connected_to(subject: Subject) -> None:
    workspace, handle = await subject.created()
    await subject.driver.stop(workspace, handle, grace_s=1)
    await _refuses_connections(subject, workspace, handle)
    await subject.driver.destroy(workspace, handle)


async def destroying_leaves_nothing_and_may_be_repeated(subject: Subject) -> None:
    workspace, handle = await subject.created()
    for given in (handle, None):
        removal = await subject.driver.destroy(workspace, given)
        _require(removal.left == (), f"destroy left {removal.left}")
        seen = await subject.driver.observe(workspace, None)
        _require(seen.state is Observed.ABSENT, f"a destroyed workspace is {seen.state}")
    await _refuses_connections(subject, workspace, handle)


async def many_verbs_at_once_do_not_mix(subject: Subject) -> None:
    async def live() -> None:
        workspace, handle = await subject.created()
        await subject.driver.stop(workspace, handle, grace_s=1)
        await subject.driver.destroy(workspace, handle)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(live)


async def what_it_cannot_do_is_refused_with_the_reason(subject: Subject) -> None:
    can = await subject.driver.capabilities()
    for isolation in set(Isolation) - can.isolation:
        _require(bool(can.absent.get(isolation)), f"nothing says why {isolation} is absent")
    for network in set(NetworkMode) - can.networks:
        _require(bool(can.absent.get(network)), f"nothing says why network {network} is absent")


async def an_isolation_it_lacks_is_never_downgraded(subject: Subject) -> None:
    can = await subject.driver.capabilities()
    for isolation in set(Isolation) - can.isolation:
        workspace = subject.new_id()
        spec = replace(subject.spec, isolation=isolation)
        try:
            await subject.driver.create(workspace, spec, control_key=subject.control_key)
        except AlcoveError:
            continue
        raise Violation(f"isolation {isolation} was accepted")


async def use_is_told_while_it_runs(subject: Subject) -> None:
    if not isinstance(subject.driver, Metered):
        return
    workspace, handle = await subject.created()
    absent = subject.new_id()
    told = await subject.driver.usage([workspace, absent])
    _require(set(told) == {workspace}, f"usage tells of {set(told)}")
    await subject.driver.destroy(workspace, handle)
    _require(not await subject.driver.usage([workspace]), "a destroyed workspace uses something")


async def the_inventory_names_what_is_there(subject: Subject) -> None:
    if not isinstance(subject.driver, Inventoried):
        return
    workspace, handle = await subject.created()
    there = {one.workspace for one in await subject.driver.inventory()}
    _require(workspace in there, "the inventory lacks a running workspace")
    await subject.driver.destroy(workspace, handle)
    there = {one.workspace for one in await subject.driver.inventory()}
    _require(workspace not in there, "the inventory has a destroyed workspace")


async def pause_and_snapshot_are_what_the_capabilities_say(subject: Subject) -> None:
    can = await subject.driver.capabilities()
    _require(can.pause <= isinstance(subject.driver, Pausable), "it says pause and has none")
    _require(can.snapshot <= isinstance(subject.driver, Snapshotting), "nor has it snapshots")
    for isolation in can.isolation:
        promise = can.promises.get(isolation)
        paused = promise is not None and promise.pause is not Keeps.NOTHING
        kept = promise is not None and promise.snapshot is not Keeps.NOTHING
        _require(paused <= can.pause, f"{isolation} promises a pause that there is not")
        _require(kept <= can.snapshot, f"{isolation} promises snapshots that there are not")


async def a_pause_keeps_the_boot_and_may_be_repeated(subject: Subject) -> None:
    driver = subject.driver
    if not isinstance(driver, Pausable):
        return
    workspace, handle = await subject.created()
    boot = (await subject.driver.observe(workspace, handle)).boot
    for _ in range(2):
        await driver.pause(workspace, handle)
        seen = await subject.driver.observe(workspace, None)
        _require(seen.state is Observed.PAUSED, f"a paused workspace is {seen.state}")
        _require(seen.boot == boot, "a pause is another boot")
    await _refuses_connections(subject, workspace, handle)
    for _ in range(2):
        await driver.resume(workspace, handle)
        seen = await subject.until(workspace, Observed.READY)
        _require(seen.boot == boot, "resuming is another boot")
    await _answers(subject, workspace, handle)
    await subject.driver.destroy(workspace, handle)


async def what_is_paused_can_be_stopped_and_destroyed(subject: Subject) -> None:
    driver = subject.driver
    if not isinstance(driver, Pausable):
        return
    for stopped in (True, False):
        workspace, handle = await subject.created()
        await driver.pause(workspace, handle)
        if stopped:
            await subject.driver.stop(workspace, handle, grace_s=1)
            seen = await subject.driver.observe(workspace, None)
            _require(seen.state is Observed.EXITED, f"stopped while paused, it is {seen.state}")
        removal = await subject.driver.destroy(workspace, handle)
        _require(removal.left == (), f"destroy left {removal.left}")


async def what_does_not_run_cannot_be_paused(subject: Subject) -> None:
    driver = subject.driver
    if not isinstance(driver, Pausable):
        return
    workspace, handle = await subject.created()
    await subject.driver.stop(workspace, handle, grace_s=1)
    try:
        await driver.pause(workspace, handle)
    except DriverError:
        await subject.driver.destroy(workspace, handle)
        return
    raise Violation("a stopped workspace was paused")


async def adopting_keeps_the_boot_and_may_be_repeated(subject: Subject) -> None:
    driver = subject.driver
    if not isinstance(driver, Adopting):
        return
    workspace, handle = await subject.created()
    before = await subject.driver.observe(workspace, handle)
    more = replace(subject.spec.resources, memory_mib=subject.spec.resources.memory_mib * 2)
    wanted = replace(subject.spec, hostname="adopted", resources=more)
    for _ in range(2):
        await driver.adopt(workspace, handle, wanted)
        seen = await subject.driver.observe(workspace, handle)
        _require(seen == before, f"adopting made {before} into {seen}")
    await _answers(subject, workspace, handle)
    await subject.driver.destroy(workspace, handle)


async def what_cannot_be_adopted_is_named(subject: Subject) -> None:
    driver = subject.driver
    if not isinstance(driver, Adopting):
        return
    workspace, handle = await subject.created()
    disk = replace(subject.spec.resources, disk_mib=subject.spec.resources.disk_mib * 2)
    for field, wanted in {
        "user": replace(subject.spec, user="another"),
        "disk_mib": replace(subject.spec, resources=disk),
    }.items():
        try:
            await driver.adopt(workspace, handle, wanted)
        except Unsupported as error:
            _require(field in str(error), f"the refusal of another {field} says only: {error}")
            continue
        raise Violation(f"another {field} was accepted while it runs")
    await subject.driver.destroy(workspace, handle)


async def a_snapshot_outlives_its_workspace(subject: Subject) -> None:
    driver = subject.driver
    if not isinstance(driver, Snapshotting):
        return
    snapshot, (workspace, handle) = subject.new_snapshot(), await subject.created()
    first = await driver.take_snapshot(workspace, handle, snapshot)
    _require(await driver.take_snapshot(workspace, handle, snapshot) == first, "taken twice")
    await _answers(subject, workspace, handle)
    await subject.driver.destroy(workspace, handle)
    _require(first in await driver.snapshots(), "the snapshot went with its workspace")
    copy = subject.new_id()
    wanted = replace(subject.spec, snapshot=snapshot)
    handle = await subject.driver.create(copy, wanted, control_key=subject.control_key)
    await subject.until(copy, Observed.READY)
    await _answers(subject, copy, handle)
    for _ in range(2):
        await driver.drop_snapshot(snapshot)
        _require(first not in await driver.snapshots(), "a dropped snapshot is there")
    await subject.driver.destroy(copy, handle)


async def what_is_paused_stays_so_while_it_is_kept(subject: Subject) -> None:
    driver = subject.driver
    if not (isinstance(driver, Snapshotting) and isinstance(driver, Pausable)):
        return
    snapshot, (workspace, handle) = subject.new_snapshot(), await subject.created()
    await driver.pause(workspace, handle)
    await driver.take_snapshot(workspace, handle, snapshot)
    seen = await subject.driver.observe(workspace, handle)
    _require(seen.state is Observed.PAUSED, f"a snapshot made it {seen.state}")
    await driver.drop_snapshot(snapshot)
    await subject.driver.destroy(workspace, handle)


async def nothing_begins_from_a_snapshot_that_is_not_there(subject: Subject) -> None:
    driver = subject.driver
    if not isinstance(driver, Snapshotting):
        return
    workspace = subject.new_id()
    wanted = replace(subject.spec, snapshot=subject.new_snapshot())
    try:
        await subject.driver.create(workspace, wanted, control_key=subject.control_key)
    except DriverError as error:
        _require(not error.retry, "it says that trying again can help")
        await subject.driver.destroy(workspace, None)
        return
    raise Violation("a workspace began from a snapshot that is not there")


ALL: Final[tuple[Check, ...]] = (
    what_never_was_is_absent,
    what_was_created_is_found_without_its_handle,
    creating_twice_makes_one,
    the_agent_answers_where_connect_leads,
    stopping_keeps_it_and_may_be_repeated,
    a_start_is_a_new_boot_and_may_be_repeated,
    a_stopped_one_cannot_be_connected_to,
    destroying_leaves_nothing_and_may_be_repeated,
    many_verbs_at_once_do_not_mix,
    what_it_cannot_do_is_refused_with_the_reason,
    an_isolation_it_lacks_is_never_downgraded,
    use_is_told_while_it_runs,
    the_inventory_names_what_is_there,
    pause_and_snapshot_are_what_the_capabilities_say,
    a_pause_keeps_the_boot_and_may_be_repeated,
    what_is_paused_can_be_stopped_and_destroyed,
    what_does_not_run_cannot_be_paused,
    adopting_keeps_the_boot_and_may_be_repeated,
    what_cannot_be_adopted_is_named,
    a_snapshot_outlives_its_workspace,
    what_is_paused_stays_so_while_it_is_kept,
    nothing_begins_from_a_snapshot_that_is_not_there,
)


async def _answers(subject: Subject, workspace: WorkspaceId, handle: Handle) -> None:
    async with subject.driver.connect(workspace, handle, port=AGENT_PORT) as stream:
        await stream.send(b"GET /health HTTP/1.1\r\nHost: agent\r\n\r\n")
        answer = await stream.receive()
        _require(b" 204 " in answer.partition(b"\r\n")[0], f"/health answers {answer[:80]!r}")


async def _refuses_connections(subject: Subject, workspace: WorkspaceId, handle: Handle) -> None:
    try:
        async with subject.driver.connect(workspace, handle, port=AGENT_PORT):
            pass
    except AlcoveError:
        return
    raise Violation("there is nobody, and connect finds somebody")
