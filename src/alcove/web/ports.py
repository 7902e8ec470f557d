"""A workspace's ports on its page: who may open one, and links that let their bearer in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import Path
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import ports, workspaces
from alcove.http.addresses import link_url
from alcove.http.body import read_form
from alcove.http.problem import faults_of
from alcove.model.errors import FieldError, Invalid
from alcove.model.units import format_duration
from alcove.model.workspace import Workspace
from alcove.web.about import Live, live_of
from alcove.web.contexts import Frame
from alcove.web.frame import served
from alcove.web.listing import Row, rows_of
from alcove.web.pages import CoreOf, Reader, render, router, see
from alcove.web.workspace import Updater, frame_of_workspace
from alcove.wire.base import Request as Requested
from alcove.wire.ports import NewPortLink, PortShare

routes = router()
Id = Annotated[str, Path(max_length=64)]
Number = Annotated[str, Path(max_length=5, pattern="^[0-9]+$")]
Shape = TypeVar("Shape", bound=Requested)


@dataclass(frozen=True, slots=True)
class PortsFragment:
    now: datetime
    workspace: Workspace
    row: Row
    live: Live


@dataclass(frozen=True, slots=True)
class LinkPage:
    frame: Frame
    now: datetime
    workspace: Workspace
    port: int
    url: str
    """Shown this once."""
    expires_at: datetime
    command: str


@routes.get("/workspaces/{id}/ports")
async def ports_part(request: Request, core: CoreOf, actor: Reader, id: Id) -> Response:
    """Its ports, again."""
    workspace = await workspaces.get(core, actor, id)
    [row] = await rows_of(core, actor, [workspace], pages=served(request))
    live = await live_of(core, workspace, owner=row.owner, state=False)
    context = PortsFragment(core.clock(), workspace, row, live)
    return render("workspace_ports.html", context)


@routes.post("/workspaces/{id}/ports")
async def share(request: Request, core: CoreOf, actor: Updater, id: Id) -> Response:
    """Share a port, or make it private again."""
    fields = await read_form(request)
    number = fields.get("port", "")
    if not number.isdecimal() or len(number) > 5:
        said = "is a number between 1 and 65535"
        raise Invalid(f"port: {said}", [FieldError("port", said)])
    asked = _read(PortShare, {name: fields.get(name, "") for name in ("level", "ttl")})
    await ports.share(core, actor, id, int(number), level=asked.level, ttl_s=asked.ttl)
    return see(f"/workspaces/{id}#ports")


@routes.post("/workspaces/{id}/ports/{port}/link")
async def link(request: Request, core: CoreOf, actor: Updater, id: Id, port: Number) -> Response:
    """The link is on the page that answers, and nowhere else."""
    fields = await read_form(request)
    asked = _read(NewPortLink, {name: fields.get(name, "") for name in ("ttl", "path")})
    workspace = await workspaces.get(core, actor, id)
    made = await ports.sign(core, actor, workspace, int(port), ttl_s=asked.ttl)
    [row] = await rows_of(core, actor, [workspace])
    life = format_duration(asked.ttl)
    context = LinkPage(
        frame=frame_of_workspace(request, actor, workspace, f"Link to port {made.port}"),
        now=core.clock(),
        workspace=workspace,
        port=made.port,
        url=link_url(core.settings, made, workspace, owner=row.owner),
        expires_at=datetime.fromtimestamp(made.expires, UTC),
        command=f"alcove port share {workspace.name} {made.port} --link --ttl {life}",
    )
    page = render("workspace_link.html", context, status=201)
    page.headers["cache-control"] = "no-store"
    return page


def _read(shape: type[Shape], fields: Mapping[str, str]) -> Shape:
    """What the form says; an empty field is not given. Raises Invalid, by the first field."""
    try:
        return shape.model_validate({k: v for k, v in fields.items() if v}, strict=False)
    except ValidationError as error:
        [fault, *_] = faults_of(error)
        raise Invalid(f"{fault.field}: {fault.message}", [fault]) from None
