"""Following the agent's start-up after each claim, and writing down how it went.

The start-up runs inside the workspace and goes on without us; a server that restarts takes it up
where it is. Several servers may follow the same one: who writes the end first tells of it.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import anyio

from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.core.bus import STARTUPS, workspace_topic
from alcove.core.intents import event
from alcove.core.outcomes import STARTING
from alcove.model.access import SYSTEM
from alcove.model.errors import AlcoveError, Conflict, Unavailable
from alcove.model.event import EventKind
from alcove.model.workspace import Phase, Workspace, WorkspaceId
from alcove.store import duties, events, workspaces

log = logging.getLogger(__name__)

FOLLOWED_MAX: Final = 256
POLL_S: Final = 5.0
WAIT_S: Final = 25.0
RETRY_S: Final = 2.0
HEALTH_MAX: Final = 1000


async def run(core: Core) -> None:
    """Follow every start-up whose end nobody has written down, until cancelled."""
    followed: set[WorkspaceId] = set()
    with core.bus.subscribe(STARTUPS) as hints:
        async with anyio.create_task_group() as group:
            while True:
                try:
                    async with core.db.read() as tx:
                        found = await duties.starting_up(tx, limit=FOLLOWED_MAX)
                except Unavailable as error:
                    log.warning("start-ups wait: %s", error)
                    found = ()
                for workspace in found:
                    if workspace.id not in followed and len(followed) < FOLLOWED_MAX:
                        followed.add(workspace.id)
                        group.start_soon(_bulkhead, core, workspace, followed)
                await hints.wait(POLL_S)


async def follow(core: Core, workspace: Workspace, *, wait_s: float = WAIT_S) -> None:
    """Until this boot's start-up has ended and is written down, or the boot has."""
    assert workspace.boot is not None
    seen = 0
    while await _still(core, workspace):
        try:
            answer = await core.agents.startup(Reach.of(workspace), seen=seen, wait_s=wait_s)
            state = str(answer.get("state"))
            seen = int(answer.get("revision") or 0)
        except (Unavailable, Conflict, ValueError, AttributeError) as error:
            log.info("workspace %s: start-up not known: %s", workspace.id, error)
            await anyio.sleep(RETRY_S)
            continue
        if state in ("done", "failed"):
            await _write(core, workspace, answer.get("steps") or ())
            return


def health_of(steps: Sequence[Mapping[str, Any]]) -> str:
    """`ok`, or `degraded: ` and what failed. A failed step leaves the workspace usable."""
    failed = [step for step in steps if step.get("state") == "failed"]
    if not failed:
        return "ok"
    told: list[str] = []
    for step in failed:
        code = step.get("exit_code")
        why = step.get("error") or (f"exit code {code}" if code is not None else "no reason given")
        told.append(f"{step.get('name')} failed: {why}")
    return f"degraded: {'; '.join(told)}"[:HEALTH_MAX]


async def _bulkhead(core: Core, workspace: Workspace, followed: set[WorkspaceId]) -> None:
    try:
        await follow(core, workspace)
    except AlcoveError as error:
        log.warning("workspace %s: start-up not followed: %s", workspace.id, error)
        await anyio.sleep(RETRY_S)
    except Exception:
        log.exception("workspace %s: bug while following its start-up", workspace.id)
        await anyio.sleep(RETRY_S)
    finally:
        followed.discard(workspace.id)


async def _still(core: Core, workspace: Workspace) -> bool:
    """Whether this boot runs and its health is not known yet."""
    try:
        async with core.db.read() as tx:
            row = await workspaces.get(tx, workspace.id)
    except Unavailable:
        await anyio.sleep(RETRY_S)
        return True
    if row is None or row.phase is not Phase.RUNNING:
        return False
    return row.boot == workspace.boot and row.health == STARTING


async def _write(core: Core, workspace: Workspace, steps: Sequence[Mapping[str, Any]]) -> None:
    assert workspace.boot is not None
    health, now = health_of(steps), core.clock()
    async with core.db.transaction() as tx:
        former = await workspaces.set_health(tx, workspace.id, boot=workspace.boot, health=health)
        if former is None:
            return
        detail = {"from": former, "to": health, "steps": [_told(step) for step in steps[:50]]}
        changed = event(EventKind.WORKSPACE_HEALTH_CHANGED, SYSTEM, workspace, detail)
        await events.append(tx, now, changed)
    core.bus.wake(workspace_topic(workspace.id))


def _told(step: Mapping[str, Any]) -> Mapping[str, object]:
    told: dict[str, object] = {
        "name": str(step.get("name"))[:64],
        "state": str(step.get("state"))[:16],
    }
    try:
        started = datetime.fromisoformat(str(step["started_at"]))
        ended = datetime.fromisoformat(str(step["ended_at"]))
        told["duration_ms"] = round((ended - started).total_seconds() * 1000)
    except (KeyError, ValueError, TypeError):
        pass
    if step.get("state") == "failed":
        told["error"] = str(step.get("error") or step.get("exit_code"))[:500]
    return told
