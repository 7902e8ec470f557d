"""A workspace's apps: what its template offers, joined with how each is and who may open it.

Rule: the template says which apps there are; the agent says how they are, and is believed no
further than that.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import anyio

from alcove.core import access, ports
from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.model.access import Actor, Permission
from alcove.model.app import App, AppHealth, AppStart, AppState, Level, by_port
from alcove.model.errors import AlcoveError, Unavailable
from alcove.model.workspace import Phase, Workspace

PATIENCE_S: Final = 2.0
FIRST_USE_S: Final = 60.0
REASON_MAX: Final = 500
_UNKNOWN: Final = AppHealth(AppState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Offered:
    """One app of one workspace, now."""

    app: App
    health: AppHealth
    level: Level
    expires_at: datetime | None
    """When it goes back to what the template says."""


async def find(core: Core, actor: Actor, ref: str) -> tuple[Workspace, Sequence[Offered]]:
    """In the order of pages, hidden ones too. Raises NotFound."""
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_READ)
    return workspace, await of(core, workspace)


async def of(core: Core, workspace: Workspace) -> Sequence[Offered]:
    """The same for a workspace that was found and may be read."""
    apps = workspace.spec.apps
    if not apps:
        return ()
    seen = await _seen(core, workspace)
    shared = {share.port: share for share in await ports.shared(core, workspace)}
    offered: list[Offered] = []
    for app in apps:
        if app.port is None:
            offered.append(Offered(app, AppHealth(AppState.HEALTHY), Level.PRIVATE, None))
            continue
        share = shared.get(app.port)
        level = ports.level_now(core, workspace, app.port, share)
        until = None if share is None else share.expires_at
        offered.append(Offered(app, seen.get(app.name, _UNKNOWN), level, until))
    return offered


async def first_use(core: Core, workspace: Workspace, port: int) -> None:
    """Have the app on this port started if it waits for that, and wait until it answers or has
    failed to. Never raises: whoever opens the port finds out whether it listens."""
    app = by_port(workspace.spec.apps, port)
    if app is None or app.start is not AppStart.FIRST_USE:
        return
    key = f"{workspace.boot} {app.name}"
    if core.doors.was_used(workspace.id, key):
        return
    query = urlencode({"name": app.name, "wait": f"{FIRST_USE_S:g}s"})
    target = f"/alcove/apps/use?{query}"
    with suppress(AlcoveError):
        reach = Reach.of(workspace)
        said = await core.agents.json(reach, "POST", target, {}, timeout_s=FIRST_USE_S + 5)
        if _health(said).state is AppState.HEALTHY:
            core.doors.note_used(workspace.id, key)


async def _seen(core: Core, workspace: Workspace) -> Mapping[str, AppHealth]:
    """By name; empty when the agent does not say."""
    if workspace.phase is not Phase.RUNNING or workspace.handle is None:
        return {}
    said: Any = None
    with anyio.move_on_after(PATIENCE_S), suppress(AlcoveError):
        said = await core.agents.json(Reach.of(workspace), "GET", "/alcove/apps")
    if said is None:
        return {}
    try:
        listed: list[Any] = list(said["apps"])[:64]
        return {str(one["name"]): _health(one) for one in listed}
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable("the agent's list of apps cannot be read") from error


def _health(said: Any) -> AppHealth:
    """What is not as it should be is unknown."""
    try:
        state = AppState(str(said["state"]))
        since = datetime.fromisoformat(str(said["since"]))
        reason, restarts = str(said.get("reason") or "")[:REASON_MAX], int(said["restarts"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return _UNKNOWN
    return AppHealth(state, _printable(reason), since if since.tzinfo else None, restarts)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
