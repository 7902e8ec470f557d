"""The effects of a step, acted out: by the driver on what runs, by the agent on what is inside.

Rule: each may be repeated after a crash at any point, and ends within `timeout_s`.
"""

import logging
import time
from dataclasses import replace
from typing import Final, assert_never

import anyio

from alcove.core import beginnings, identity
from alcove.core.app import Core
from alcove.core.claims import hand_over
from alcove.core.outcomes import claimed, ended, gone_cold, sentence
from alcove.drivers.base import Pausable
from alcove.model.errors import AlcoveError, DriverError, Unavailable
from alcove.model.lifecycle import Effect, is_being_claimed
from alcove.model.workspace import Observation, Workspace

log = logging.getLogger(__name__)

STEP_TIMEOUT_S: Final = 45.0
SLEEP_TIMEOUT_S: Final = 130.0
"""Of a pause and a resume, which write and read all memory; the driver gives up before."""
COPY_TIMEOUT_S: Final = 610.0
"""Of beginning from a snapshot, whose files may be many; the driver gives up before."""
CLAIM_TIMEOUT_S: Final = 15.0
STOP_GRACE_S: Final = 10.0
assert STEP_TIMEOUT_S > CLAIM_TIMEOUT_S > STOP_GRACE_S, "a step must outlast what it waits for"


async def perform(
    core: Core, effect: Effect, workspace: Workspace, seen: Observation
) -> tuple[Workspace, tuple[str, ...]]:
    """Answers what we know then, and what `destroy` left behind. Raises what the driver does, and
    TimeoutError."""
    started, outcome = time.perf_counter(), "failed"
    try:
        with anyio.fail_after(timeout_s(effect, workspace)):
            answer = await _act(core, effect, workspace, seen)
        outcome = "done"
        return answer
    finally:
        took = time.perf_counter() - started
        core.metrics.verbs.labels(verb=effect.value, outcome=outcome).observe(took)


def timeout_s(effect: Effect, workspace: Workspace) -> float:
    """How long a step may take before it counts as failed."""
    if effect in (Effect.PAUSE, Effect.RESUME):
        return SLEEP_TIMEOUT_S
    if effect in (Effect.CREATE, Effect.START) and workspace.spec.snapshot is not None:
        return COPY_TIMEOUT_S
    return STEP_TIMEOUT_S


async def _act(
    core: Core, effect: Effect, workspace: Workspace, seen: Observation
) -> tuple[Workspace, tuple[str, ...]]:
    id, driver, handle = workspace.id, core.driver, workspace.handle
    key = core.agents.control_key(id)
    if effect is Effect.DISCARD:
        return await _discard(core, workspace, why=seen.detail or "it had ended"), ()
    if effect is Effect.CREATE:
        if is_being_claimed(workspace):
            workspace = gone_cold(workspace, "it was gone")
        await beginnings.check_there(core, workspace)
        handle = await driver.create(id, workspace.spec, control_key=key)
        return replace(workspace, handle=handle, boot=None), ()
    if effect is Effect.DESTROY:
        await core.agents.forget(id)
        return workspace, (await driver.destroy(id, handle)).left
    assert handle is not None, "only ABSENT and UNKNOWN come without a handle"
    match effect:
        case Effect.START:
            handle = await driver.start(id, handle, workspace.spec, control_key=key)
            return replace(workspace, handle=handle, boot=None), ()
        case Effect.CLAIM:
            return await _claim(core, workspace, seen), ()
        case Effect.STOP:
            await core.agents.forget(id)
            await driver.stop(id, handle, grace_s=STOP_GRACE_S)
            return ended(workspace), ()
        case Effect.PAUSE | Effect.RESUME:
            if not isinstance(driver, Pausable):
                raise DriverError(f"driver {driver.name} cannot {effect}", retry=False)
            verb = driver.pause if effect is Effect.PAUSE else driver.resume
            await verb(id, handle)
            return workspace, ()
        case _:
            assert_never(effect)


async def _claim(core: Core, workspace: Workspace, seen: Observation) -> Workspace:
    names = await identity.names(core, [workspace.owner])
    try:
        with anyio.fail_after(CLAIM_TIMEOUT_S):
            await hand_over(
                core,
                workspace,
                seen.boot,
                owner_name=names[workspace.owner],
                restored=await beginnings.has_memory(core, workspace),
            )
    except (AlcoveError, TimeoutError) as error:
        if is_being_claimed(workspace):
            return await _discard(core, workspace, why=sentence(error))
        if isinstance(error, DriverError | TimeoutError):
            raise
        raise DriverError(f"the agent: {error}", retry=isinstance(error, Unavailable)) from error
    now = core.clock()
    if workspace.started_at is None:
        core.metrics.provision.observe((now - workspace.created_at).total_seconds())
    return claimed(workspace, seen.boot, now=now)


async def _discard(core: Core, workspace: Workspace, *, why: str) -> Workspace:
    """Remove what a pool gave, files and all; the next step makes the workspace anew."""
    log.warning("workspace %s: its pool's member is discarded: %s", workspace.id, why)
    await core.agents.forget(workspace.id)
    left = (await core.driver.destroy(workspace.id, workspace.handle)).left
    if left:
        raise DriverError(f"it could not be removed: {', '.join(left)}", retry=True)
    return gone_cold(workspace, why)
