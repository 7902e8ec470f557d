"""A new workspace as a value: rendered, begun from a snapshot if asked so, and offered here.

Nothing is written; whoever calls has looked up the owner, the version and the snapshot.
"""

from collections.abc import Mapping
from datetime import datetime

from alcove.config import Settings
from alcove.core.beginnings import Beginning, begun
from alcove.core.deciding import decided
from alcove.core.intents import ends_at
from alcove.core.names import new_workspace_id
from alcove.core.rendering import check_offered, check_promised, rendered
from alcove.drivers.base import Capabilities
from alcove.model.access import Actor
from alcove.model.identity import User
from alcove.model.template import TemplateVersion
from alcove.model.workspace import Desired, Phase, StartedFrom, Workspace
from alcove.recipes.render import Rendered
from alcove.wire.workspaces import NewWorkspace


def made(
    actor: Actor,
    request: NewWorkspace,
    version: TemplateVersion,
    *,
    beginning: Beginning | None,
    name: str,
    owner: User,
    settings: Settings,
    capabilities: Capabilities,
    driver: str,
    now: datetime,
) -> Workspace:
    """Raises Invalid, Denied and Unsupported. With a `beginning`, `request` is its own."""
    found = rendered(version.recipe, request, name=name, owner=owner, settings=settings)
    found = decided(
        actor,
        version.recipe,
        found,
        asked=request.isolation,
        settings=settings,
        capabilities=capabilities,
    )
    if beginning is not None:
        found = begun(beginning, found)
    check_offered(found.spec, capabilities, driver=driver)
    check_promised(found.spec, found.lifetime, capabilities)
    return new_workspace(
        version,
        found,
        name=name,
        owner=owner,
        labels=request.labels or {},
        started=None if beginning is None else StartedFrom.SNAPSHOT,
        now=now,
    )


def new_workspace(
    version: TemplateVersion,
    found: Rendered,
    *,
    name: str,
    owner: User,
    labels: Mapping[str, str],
    started: StartedFrom | None,
    now: datetime,
) -> Workspace:
    return Workspace(
        id=new_workspace_id(),
        name=name,
        owner=owner.id,
        kind=version.recipe.kind,
        template=version.template,
        template_version=version.number,
        spec=found.spec,
        parameters=found.parameters,
        labels=labels,
        repo=found.repo,
        branch=found.branch,
        lifetime=found.lifetime,
        desired=Desired.RUNNING,
        phase=Phase.PROVISIONING,
        reason="",
        health="starting",
        handle=None,
        boot=None,
        retire_boot=None,
        generation=1,
        failures=0,
        created_at=now,
        started_at=None,
        last_used_at=now,
        expires_at=ends_at(now, found.lifetime.ttl_s),
        stop_at=None,
        announced_at=None,
        check_at=now,
        started=started,
    )
