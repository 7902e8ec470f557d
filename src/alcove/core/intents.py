"""Writing down what somebody wants of a workspace. Whoever calls has checked that they may."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from alcove.core import identity
from alcove.core.app import Core
from alcove.core.bus import RECONCILE, workspace_topic
from alcove.model.access import Actor
from alcove.model.errors import Conflict
from alcove.model.event import EventKind, NewEvent
from alcove.model.lifecycle import shown_phase
from alcove.model.workspace import Desired, Phase, Workspace
from alcove.store import events, workspaces
from alcove.store.workspaces import KEPT, Ends

SETTLED: Final = {
    Desired.RUNNING: Phase.RUNNING,
    Desired.PAUSED: Phase.PAUSED,
    Desired.STOPPED: Phase.STOPPED,
    Desired.DELETED: Phase.DELETED,
}


def is_settled(workspace: Workspace) -> bool:
    """Whether it is what is wanted, or will not be without somebody's doing."""
    phase = shown_phase(workspace)
    if phase is Phase.FAILED:
        return True
    restarting = workspace.desired is Desired.RUNNING and workspace.retire_boot is not None
    return phase is SETTLED[workspace.desired] and not restarting


async def ask(
    core: Core,
    actor: Actor,
    workspace: Workspace,
    desired: Desired,
    *,
    kind: EventKind,
    reason: str,
    retire_boot: str | None = None,
    unless_changed: bool = False,
    endless: bool = False,
) -> Workspace:
    """Write what is wanted, with its event, and wake the reconciler. The caller has checked.

    With `unless_changed` it is a Conflict if somebody asked for something since `workspace` was
    read; so that two servers' timers do a thing once. `endless` takes the end of its time away;
    one that has none although its lifetime has gets a fresh one when it is to run again.
    """
    now = core.clock()
    ends: Ends = KEPT
    if endless:
        ends = None
    elif desired is Desired.RUNNING and workspace.expires_at is None:
        ends = ends_at(now, workspace.lifetime.ttl_s)
    async with core.db.transaction() as tx:
        row = await workspaces.want(
            tx,
            workspace.id,
            desired,
            now=now,
            reason=reason,
            generation=workspace.generation if unless_changed else None,
            retire_boot=retire_boot,
            expires_at=ends,
        )
        if row is None:
            raise Conflict(f"workspace {workspace.name} was deleted or changed meanwhile")
        await events.append(tx, now, event(kind, actor, row, {"reason": reason} if reason else {}))
    core.bus.wake(RECONCILE)
    core.bus.wake(workspace_topic(workspace.id))
    return row


def event(
    kind: EventKind,
    actor: Actor,
    workspace: Workspace,
    detail: Mapping[str, object],
    *,
    at: datetime | None = None,
) -> NewEvent:
    """What somebody did to a workspace, or in it; `at` for what is written a moment later."""
    said = {"name": workspace.name, **detail}
    return identity.event(
        actor, kind, subject=workspace.id, owner=workspace.owner, detail=said, at=at
    )


def ends_at(now: datetime, ttl_s: int | None) -> datetime | None:
    return None if ttl_s is None else now + timedelta(seconds=ttl_s)
