"""One workspace: what it does now, the ways in, and what can be done to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from alcove.core import usage_history, workspaces
from alcove.core.app import Core
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.model.access import Actor, Permission
from alcove.model.workspace import Workspace
from alcove.web.about import (
    PAGE_PATIENCE_S,
    Live,
    Told,
    commands_of,
    facts_of,
    live_of,
    told_of,
)
from alcove.web.contexts import Command, Fact, Frame, Link, Step, Tab
from alcove.web.editors import Editor, editors_of, host_of
from alcove.web.frame import frame_of, served
from alcove.web.listing import Row, rows_of
from alcove.web.pages import CoreOf, Reader, render, router, see

routes = router()
Id = Annotated[str, Path(max_length=64)]
Updater = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Deleter = Annotated[Actor, needs(Permission.WORKSPACE_DELETE)]
EVENTS_SHOWN: Final = 500
RECENT: Final = 8
TABS: Final = (
    ("Overview", ""),
    ("Terminal", "/terminal"),
    ("Files", "/files"),
    ("Logs", "/logs"),
    ("Events", "/events"),
    ("Recordings", "/recordings"),
    ("Settings", "/settings"),
)


@dataclass(frozen=True, slots=True)
class RowFragment:
    now: datetime
    row: Row
    everybody: bool


@dataclass(frozen=True, slots=True)
class WorkspacePage:
    frame: Frame
    now: datetime
    workspace: Workspace
    row: Row
    tabs: Sequence[Tab]
    live: Live
    commands: Sequence[Command]
    editors: Sequence[Editor]
    facts: Sequence[Fact]
    recent: Sequence[Step]


@dataclass(frozen=True, slots=True)
class LiveFragment:
    """What changes by itself."""

    now: datetime
    workspace: Workspace
    row: Row
    live: Live


@dataclass(frozen=True, slots=True)
class EventsPage:
    frame: Frame
    now: datetime
    workspace: Workspace
    row: Row
    tabs: Sequence[Tab]
    told: Sequence[Told]


@dataclass(frozen=True, slots=True)
class DeletePage:
    frame: Frame
    workspace: Workspace
    fault: str = ""


def tabs_of(request: Request, workspace: Workspace, here: str) -> Sequence[Tab]:
    """The tabs whose pages are served. `here` is a name of TABS."""
    base, paths = f"/workspaces/{workspace.id}", served(request)
    return [
        Tab(name, base + path, here=name == here)
        for name, path in TABS
        if f"/workspaces/{{id}}{path}" in paths
    ]


@routes.get("/workspaces/{id}")
async def overview(request: Request, core: CoreOf, actor: Reader, id: Id) -> Response:
    workspace = await workspaces.get(core, actor, id)
    row, live, told = await _parts(request, core, actor, workspace)
    own = workspace.owner == actor.id
    host = host_of(workspace, row.owner, own=own)
    context = WorkspacePage(
        frame=frame_of_workspace(request, actor, workspace),
        now=core.clock(),
        workspace=workspace,
        row=row,
        tabs=tabs_of(request, workspace, "Overview"),
        live=live,
        commands=commands_of(workspace, host) if row.may_enter else (),
        editors=editors_of(workspace, row.owner, own=own) if row.may_enter else (),
        facts=facts_of(workspace, row.owner),
        recent=[Step(one.what, "done", one.who, at=one.at) for one in told],
    )
    return render("workspace.html", context)


@routes.get("/workspaces/{id}/live")
async def live_part(request: Request, core: CoreOf, actor: Reader, id: Id) -> Response:
    """The part of the page that changes by itself, again."""
    workspace = await workspaces.get(core, actor, id)
    [row] = await rows_of(core, actor, [workspace], pages=served(request))
    live = await live_of(core, workspace, owner=row.owner, doors=False)
    context = LiveFragment(core.clock(), workspace, row, live)
    return render("workspace_live.html", context)


@routes.get("/workspaces/{id}/events")
async def what_happened(request: Request, core: CoreOf, actor: Reader, id: Id) -> Response:
    workspace = await workspaces.get(core, actor, id)
    [row] = await rows_of(core, actor, [workspace], pages=served(request))
    context = EventsPage(
        frame=frame_of_workspace(request, actor, workspace, "Events"),
        now=core.clock(),
        workspace=workspace,
        row=row,
        tabs=tabs_of(request, workspace, "Events"),
        told=await told_of(core, actor, workspace, limit=EVENTS_SHOWN),
    )
    return render("workspace_events.html", context)


async def _parts(
    request: Request, core: Core, actor: Actor, workspace: Workspace
) -> tuple[Row, Live, Sequence[Told]]:
    [row] = await rows_of(core, actor, [workspace], pages=served(request))
    live = await live_of(core, workspace, owner=row.owner, patience_s=PAGE_PATIENCE_S)
    return row, live, await told_of(core, actor, workspace, limit=RECENT)


def frame_of_workspace(
    request: Request, actor: Actor, workspace: Workspace, part: str = ""
) -> Frame:
    """The frame of one of the workspace's pages; `part`: the tab's name but for the first."""
    here = f"/workspaces/{workspace.id}"
    way = [Link("Workspaces", "/"), Link(workspace.name, here if part else "")]
    return frame_of(request, actor, here="/", crumbs=[*way, Link(part)] if part else way)


@routes.get("/workspaces/{id}/row")
async def row(
    request: Request, core: CoreOf, actor: Reader, id: Id, everybody: bool = False
) -> Response:
    """Its line of the list, again."""
    workspace = await workspaces.get(core, actor, id)
    [found] = await rows_of(core, actor, [workspace], pages=served(request))
    return render("workspace_row.html", RowFragment(core.clock(), found, everybody))


@routes.get("/workspaces/{id}/usage")
async def usage(core: CoreOf, actor: Reader, id: Id) -> Response:
    """What it used of late, for the charts; looking adds a sample."""
    workspace = await workspaces.get(core, actor, id)
    samples = await usage_history.sampled(core, workspace)
    return JSONResponse(
        {
            "at": [round(sample.at.timestamp()) for sample in samples],
            "cpu": [round(sample.cpu_share, 4) for sample in samples],
            "memory": [sample.memory_mib for sample in samples],
        }
    )


@routes.get("/workspaces/{id}/delete")
async def confirm_delete(request: Request, core: CoreOf, actor: Deleter, id: Id) -> Response:
    workspace = await workspaces.get(core, actor, id)
    return render(
        "delete.html",
        DeletePage(frame_of_workspace(request, actor, workspace, "Delete"), workspace),
    )


@routes.post("/workspaces/{id}/delete")
async def delete(request: Request, core: CoreOf, actor: Deleter, id: Id) -> Response:
    """Where files are lost, the name is asked for."""
    workspace = await workspaces.get(core, actor, id)
    typed = (await read_form(request)).get("name", "") if _is_form(request) else ""
    if not workspace.spec.ephemeral and typed.strip() != workspace.name:
        frame = frame_of_workspace(request, actor, workspace, "Delete")
        fault = f"write {workspace.name} to delete it"
        return render("delete.html", DeletePage(frame, workspace, fault), status=422)
    await workspaces.delete(core, actor, id)
    return see("/")


def _is_form(request: Request) -> bool:
    return bool(request.headers.get("content-type"))


@routes.post("/workspaces/{id}/start")
async def start(core: CoreOf, actor: Updater, id: Id) -> Response:
    return see(f"/workspaces/{(await workspaces.start(core, actor, id)).id}")


@routes.post("/workspaces/{id}/stop")
async def stop(core: CoreOf, actor: Updater, id: Id) -> Response:
    return see(f"/workspaces/{(await workspaces.stop(core, actor, id)).id}")


@routes.post("/workspaces/{id}/restart")
async def restart(core: CoreOf, actor: Updater, id: Id) -> Response:
    return see(f"/workspaces/{(await workspaces.restart(core, actor, id)).id}")


@routes.post("/workspaces/{id}/pause")
async def pause(core: CoreOf, actor: Updater, id: Id) -> Response:
    return see(f"/workspaces/{(await workspaces.pause(core, actor, id)).id}")


@routes.post("/workspaces/{id}/resume")
async def resume(core: CoreOf, actor: Updater, id: Id) -> Response:
    return see(f"/workspaces/{(await workspaces.resume(core, actor, id)).id}")
