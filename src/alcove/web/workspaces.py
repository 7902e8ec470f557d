"""The list of workspaces, one workspace, and its buttons."""

from typing import Annotated, Any, Final

from fastapi import Path, Query
from starlette.responses import Response

from alcove.core import events, identity, workspaces
from alcove.core.app import Core
from alcove.core.pages import CURSOR_MAX, PageRequest
from alcove.http.access import needs
from alcove.model.access import Actor, Permission
from alcove.model.lifecycle import SETTLED
from alcove.model.workspace import Desired, Phase, Workspace
from alcove.store.events import EventFilters
from alcove.store.workspaces import WorkspaceFilters
from alcove.web.pages import CoreOf, Reader, render, router, see

routes = router()
Id = Annotated[str, Path(max_length=64)]
Updater = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Deleter = Annotated[Actor, needs(Permission.WORKSPACE_DELETE)]
EVENTS_SHOWN: Final = 500
SHAPES: Final = {
    Phase.RUNNING: "●",
    Phase.STOPPED: "○",
    Phase.PAUSED: "‖",
    Phase.FAILED: "✕",
    Phase.UNREACHABLE: "?",
    Phase.STOPPING: "◑",
    Phase.DELETING: "◑",
}


@routes.get("/")
async def find(
    core: CoreOf,
    actor: Reader,
    cursor: Annotated[str | None, Query(max_length=CURSOR_MAX)] = None,
) -> Response:
    page = PageRequest(50, cursor)
    found = await workspaces.find(core, actor, WorkspaceFilters(), page)
    return render(
        "workspaces.html",
        user=actor.name,
        items=found.items,
        owners=await identity.names(core, {w.owner for w in found.items}),
        next_cursor=found.next_cursor,
        now=core.clock(),
        shapes=SHAPES,
        moving=any(_moving(w) for w in found.items),
    )


@routes.get("/workspaces/{id}")
async def get(core: CoreOf, actor: Reader, id: Id) -> Response:
    workspace = await workspaces.get(core, actor, id)
    return render("workspace.html", **await _context(core, actor, workspace))


@routes.get("/workspaces/{id}/delete")
async def confirm_delete(core: CoreOf, actor: Deleter, id: Id) -> Response:
    workspace = await workspaces.get(core, actor, id)
    return render("delete.html", user=actor.name, workspace=workspace)


@routes.post("/workspaces/{id}/delete")
async def delete(core: CoreOf, actor: Deleter, id: Id) -> Response:
    await workspaces.delete(core, actor, id)
    return see("/")


@routes.post("/workspaces/{id}/start")
async def start(core: CoreOf, actor: Updater, id: Id) -> Response:
    return see(f"/workspaces/{(await workspaces.start(core, actor, id)).id}")


@routes.post("/workspaces/{id}/stop")
async def stop(core: CoreOf, actor: Updater, id: Id) -> Response:
    return see(f"/workspaces/{(await workspaces.stop(core, actor, id)).id}")


async def _context(core: Core, actor: Actor, workspace: Workspace) -> dict[str, Any]:
    about = EventFilters(subject=workspace.id)
    told = await events.newest(core, actor, filters=about, limit=EVENTS_SHOWN)
    names = await identity.names(core, {workspace.owner} | {e.actor for e in told})
    startable = workspace.desired in {Desired.STOPPED, Desired.PAUSED}
    return {
        "user": actor.name,
        "workspace": workspace,
        "names": names,
        "events": told,
        "now": core.clock(),
        "shapes": SHAPES,
        "moving": _moving(workspace),
        "may_start": startable or workspace.phase is Phase.FAILED,
        "may_stop": workspace.desired is Desired.RUNNING,
        "gone": workspace.desired is Desired.DELETED,
    }


def _moving(workspace: Workspace) -> bool:
    return workspace.phase not in SETTLED
