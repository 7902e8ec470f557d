"""A workspace as clients see it, and the details that only its runtime knows."""

from dataclasses import dataclass
from typing import Final

import anyio

from alcove.api.listing import ports_of
from alcove.core.app import Core
from alcove.drivers.base import Metered
from alcove.http.addresses import app_pattern, app_url
from alcove.model.errors import AlcoveError
from alcove.model.lifecycle import shown_phase
from alcove.model.workspace import Phase, Workspace
from alcove.wire import workspaces as wire
from alcove.wire.ports import Port

PATIENCE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Details:
    """What the driver and the agent say now; empty where they do not."""

    usage: wire.WorkspaceUsage | None = None
    ports: list[Port] | None = None


NONE: Final = Details()


def present(
    core: Core, workspace: Workspace, owner: str, details: Details = NONE
) -> wire.Workspace:
    """Exactly the fields of the API's Workspace. Values are ours, so nothing checks them."""
    spec = workspace.spec
    return wire.Workspace.model_construct(
        id=workspace.id,
        name=workspace.name,
        owner=owner,
        kind=workspace.kind,
        template=workspace.template,
        template_version=workspace.template_version,
        phase=shown_phase(workspace),
        desired=workspace.desired,
        reason=workspace.reason,
        health=workspace.health,
        isolation=spec.isolation,
        parameters=dict(workspace.parameters),
        labels=dict(workspace.labels),
        repo=workspace.repo,
        branch=workspace.branch,
        ephemeral=spec.ephemeral,
        created_at=workspace.created_at,
        started_at=workspace.started_at,
        last_used_at=workspace.last_used_at,
        expires_at=workspace.expires_at,
        stop_at=workspace.stop_at,
        node=None,
        ports=details.ports or [],
        urls=_urls(core, workspace, owner),
        usage=details.usage,
        on_expiry=workspace.lifetime.on_expiry,
        auto_resume=workspace.lifetime.auto_resume,
        started=workspace.started,
        started_why=workspace.started_why,
        generation=workspace.generation,
    )


async def details_of(core: Core, workspace: Workspace, *, owner: str) -> Details:
    """Usage and ports of a running workspace; without them if they do not come at once."""
    if workspace.phase is not Phase.RUNNING or workspace.handle is None:
        return NONE
    usage: wire.WorkspaceUsage | None = None
    ports: list[Port] | None = None
    with anyio.move_on_after(PATIENCE_S):
        try:
            usage = await _usage(core, workspace)
            ports = await ports_of(core, workspace, owner=owner)
        except AlcoveError:
            pass
    return Details(usage, ports)


async def _usage(core: Core, workspace: Workspace) -> wire.WorkspaceUsage | None:
    if not isinstance(core.driver, Metered):
        return None
    used = (await core.driver.usage([workspace.id])).get(workspace.id)
    if used is None:
        return None
    return wire.WorkspaceUsage(
        cpu_seconds=round(used.cpu_usec / 1e6, 3),
        memory_mib=used.memory_mib,
        disk_mib=used.disk_mib,
    )


def _urls(core: Core, workspace: Workspace, owner: str) -> dict[str, str]:
    """`app` is a pattern: the port stands for `{port}`. Each of the template's apps is there as
    `app:` and its name, if browsers can find it."""
    urls = {"page": f"{core.settings.url}/workspaces/{workspace.id}"}
    if (pattern := app_pattern(core.settings, workspace, owner=owner)) is not None:
        urls["app"] = pattern
    for app in workspace.spec.apps:
        url = app.url or app_url(core.settings, workspace, app.name, owner=owner)
        if url is not None:
            urls[f"app:{app.name}"] = url
    return urls
