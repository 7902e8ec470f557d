"""Addresses that are given to others: of ports, and the key that signs those of files."""

from typing import Annotated, Final, TypeAlias

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona.creating import unsupported
from alcove.api.compat.daytona.routing import API, SandboxRef, base_url, json, router
from alcove.core import access, file_links, identity, ports
from alcove.core.app import Core
from alcove.http.access import needs
from alcove.http.addresses import PATHS, link_url
from alcove.model.access import Actor, Permission
from alcove.model.port import PORT_MAX

routes = router(API + "/sandbox/{sandbox}")
Updater: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Number: TypeAlias = Annotated[int, Path(ge=1, le=PORT_MAX)]
PREVIEW_S: Final = 3600
SIGNED_S: Final = 60


@routes.get("/ports/{port}/preview-url")
async def preview(
    request: Request, core: CoreOf, actor: Updater, ref: SandboxRef, port: Number
) -> Response:
    """Good for an hour, or as long as links may be here. The token is in the address already;
    sending it too does no harm."""
    seconds = min(PREVIEW_S, ports.link_life_max_s(core.settings)) or PREVIEW_S
    id, url, token = await _link(request, core, actor, ref, port, seconds)
    return json({"sandboxId": id, "url": url, "token": token})


@routes.get("/ports/{port}/signed-preview-url")
async def signed(
    request: Request,
    core: CoreOf,
    actor: Updater,
    ref: SandboxRef,
    port: Number,
    seconds: Annotated[int, Query(alias="expiresInSeconds", ge=1)] = SIGNED_S,
) -> Response:
    """Opens the port for whoever has it, until then."""
    id, url, token = await _link(request, core, actor, ref, port, seconds)
    return json({"sandboxId": id, "port": port, "url": url, "token": token})


@routes.post("/ports/{port}/signed-preview-url/{token}/expire")
async def expire(core: CoreOf, actor: Updater, ref: SandboxRef, port: Number) -> Response:
    await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    raise unsupported("token", "a signed address ends at its time, or with the sandbox")


@routes.get("/signing-key")
async def signing_key(
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_FILES)],
    ref: SandboxRef,
) -> Response:
    """With it clients sign addresses of files themselves."""
    return json(await file_links.key(core, actor, ref))


async def _link(
    request: Request, core: Core, actor: Actor, ref: str, port: int, ttl_s: int
) -> tuple[str, str, str]:
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    made = await ports.sign(core, actor, workspace, port, ttl_s=ttl_s)
    if not core.settings.apps_domain:
        # Programs do not take every name below `localhost` for their own machine, as browsers do.
        return workspace.id, f"{base_url(request)}{PATHS}{made.token}/", made.token
    names = await identity.names(core, [workspace.owner])
    url = link_url(core.settings, made, workspace, owner=names[workspace.owner])
    return workspace.id, url, made.token
