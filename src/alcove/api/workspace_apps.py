"""`/workspaces/{workspace}/apps`: what the template offers to open in a browser."""

from typing import Annotated, TypeAlias

from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.routing import router
from alcove.config import Settings
from alcove.core import apps, identity
from alcove.core.apps import Offered
from alcove.http.access import needs
from alcove.http.addresses import app_url
from alcove.model.access import Actor, Permission
from alcove.model.workspace import Workspace
from alcove.wire.apps import App, Apps

routes = router("apps")
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]


@routes.get("/workspaces/{workspace}/apps", **documents(Apps, 404))
async def find(core: CoreOf, actor: Reader, ref: WorkspaceRef) -> Response:
    """Its template's apps, with how each is, who may open it, and where."""
    workspace, offered = await apps.find(core, actor, ref)
    owner = (await identity.names(core, [workspace.owner]))[workspace.owner]
    shown = [present(core.settings, workspace, one, owner=owner) for one in offered]
    return answer(Apps(items=shown))


def present(settings: Settings, workspace: Workspace, offered: Offered, *, owner: str) -> App:
    app, health = offered.app, offered.health
    url = app.url
    if url is None:
        url = app_url(settings, workspace, app.name, owner=owner)
    return App(
        name=app.name,
        display_name=app.display_name,
        icon=app.icon,
        url=url,
        external=app.port is None,
        port=app.port,
        state=health.state,
        reason=health.reason,
        since=health.since,
        restarts=health.restarts,
        start=app.start,
        level=offered.level,
        expires_at=offered.expires_at,
        subdomain=app.subdomain,
        open_in=app.open_in,
        hidden=app.hidden,
    )
