"""A workspace's terminals in the browser. Everything about them is in `frontend/src/terminal`."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import access
from alcove.http.access import needs
from alcove.model.access import Actor, Permission
from alcove.model.workspace import Phase
from alcove.web.contexts import Frame, Link
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router

routes = router()
Runner = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
POLICY: Final = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""As every page's, but for the styles that xterm.js writes for its colours and rows."""


@dataclass(frozen=True, slots=True)
class TerminalPage:
    frame: Frame
    id: str
    name: str
    running: bool


@routes.get("/workspaces/{id}/terminal")
async def terminal(
    request: Request, core: CoreOf, actor: Runner, id: Annotated[str, Path(max_length=64)]
) -> Response:
    """Also of one that does not run: the page says so, and offers to start it."""
    workspace = await access.workspace(core, actor, id, Permission.WORKSPACE_EXEC)
    crumbs = (
        Link("Workspaces", "/"),
        Link(workspace.name, f"/workspaces/{workspace.id}"),
        Link("Terminal"),
    )
    frame = frame_of(request, actor, here="/", crumbs=crumbs)
    running = workspace.phase is Phase.RUNNING
    page = render("terminal.html", TerminalPage(frame, workspace.id, workspace.name, running))
    page.headers["content-security-policy"] = POLICY
    return page
