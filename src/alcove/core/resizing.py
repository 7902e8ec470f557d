"""Changing the limits of a running workspace at once, where its driver can.

The change is written first, as one that waits for a restart; when the driver has applied it,
nothing waits any more. So that a crash in between promises too little, never too much.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import anyio

from alcove.core.app import Core
from alcove.core.bus import workspace_topic
from alcove.core.outcomes import UPDATE_PENDING, sentence
from alcove.drivers.base import Adopting
from alcove.model.errors import AlcoveError
from alcove.model.workspace import Phase, Resources, Spec, Workspace
from alcove.store import workspaces

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
_OF_LIMITS: Final = frozenset({"ALCOVE_PARAMETER_CPU", "ALCOVE_PARAMETER_MEMORY"})
"""Variables that repeat a limit. Processes that run have the ones of their start."""


def of_runtime(spec: Spec) -> Spec:
    """What only a start applies: all of it; the host name alone is no reason for one."""
    return replace(spec, hostname="", env=dict(spec.env))


def limits_alone(before: Spec, after: Spec) -> bool:
    """Whether nothing but CPU, memory and the process limit differs."""
    if _limits(before) == _limits(after):
        return False
    same = replace(
        before,
        resources=replace(after.resources, disk_mib=before.resources.disk_mib),
        env=_others(before.env),
    )
    return of_runtime(same) == of_runtime(replace(after, env=_others(after.env)))


async def resized(core: Core, before: Workspace, row: Workspace) -> Workspace:
    """The row after its new limits were applied to what runs; as it is where they were not."""
    driver = core.driver
    waits = row.reason == UPDATE_PENDING and limits_alone(before.spec, row.spec)
    if not waits or row.phase is not Phase.RUNNING or row.handle is None:
        return row
    if not isinstance(driver, Adopting):
        return row
    spec = replace(before.spec, resources=row.spec.resources)
    try:
        with anyio.fail_after(TIMEOUT_S):
            await driver.adopt(row.id, row.handle, spec)
    except (AlcoveError, TimeoutError) as error:
        log.info("workspace %s: limits wait for a restart: %s", row.id, sentence(error))
        return row
    # What waited before this change still does.
    reason = before.reason
    async with core.db.transaction() as tx:
        kept = await workspaces.set_reason(tx, row, reason=reason)
    core.bus.wake(workspace_topic(row.id))
    return replace(row, reason=reason) if kept else row


def _limits(spec: Spec) -> Resources:
    return replace(spec.resources, disk_mib=0)


def _others(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in _OF_LIMITS}
