"""What every driver has to do, as checks that run against any of them.

A driver's tests run each check of `ALL` on a `Subject`. One rule: a check knows the protocol and
nothing of the driver; what only some drivers can do is asked of their `Capabilities` first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import anyio

from alcove.drivers.base import AGENT_PORT, Driver, Inventoried, Metered
from alcove.model.errors import AlcoveError
from alcove.model.workspace import (
    Handle,
    Isolation,
    NetworkMode,
    Observation,
    Observed,
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
    async with subject.driver.connect(workspace, handle, port=AGENT_PORT) as stream:
        await stream.send(b"GET /health HTTP/1.1\r\nHost: agent\r\n\r\n")
        answer = await stream.receive()
        _require(b" 204 " in answer.partition(b"\r\n")[0], f"/health answers {answer[:80]!r}")
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
)


async def _refuses_connections(subject: Subject, workspace: WorkspaceId, handle: Handle) -> None:
    try:
        async with subject.driver.connect(workspace, handle, port=AGENT_PORT):
            pass
    except AlcoveError:
        return
    raise Violation("there is nobody, and connect finds somebody")
