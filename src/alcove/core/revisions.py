"""Changing a workspace: its name, labels, time to live, parameters, template version.

What a change means is rendered anew from what was asked for at first; the home is kept. What the
runtime was started with stays until the next start, and `reason` says so.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final

from alcove.core import access
from alcove.core.app import Core
from alcove.core.bus import RECONCILE, workspace_topic
from alcove.core.deciding import decided
from alcove.core.intents import ends_at, event
from alcove.core.outcomes import UPDATE_PENDING
from alcove.core.rendering import check_offered, check_promised, rendered
from alcove.core.resizing import of_runtime, resized
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, FieldError, Invalid, NotFound
from alcove.model.event import EventKind
from alcove.model.identity import User
from alcove.model.template import Recipe, TemplateVersion
from alcove.model.workspace import Desired, Workspace
from alcove.recipes.render import Rendered, hostname
from alcove.store import events, templates, users, workspaces
from alcove.store.workspaces import Revision
from alcove.wire.workspaces import NewWorkspace, ResourcesRequest, WorkspaceChange

_LIFE: Final = ("on_expiry", "idle_stop", "on_idle", "auto_resume")
_RENDERED: Final = frozenset({"parameters", "template_version", "ttl", "resources", *_LIFE})
"""What the rest of a workspace is rendered anew for."""


async def update(core: Core, actor: Actor, ref: str, change: WorkspaceChange) -> Workspace:
    """Write what is to change; only what is given does.

    Raises Invalid (also for a parameter that cannot change), Unsupported, NotFound, and Conflict
    when the name is taken or somebody else changed it at the same moment.
    """
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    if found.desired is Desired.DELETED:
        raise Conflict(f"workspace {found.name} is being deleted")
    async with core.db.read() as tx:
        asked = NewWorkspace.model_validate_json(await workspaces.request_of(tx, found.id))
        version = await templates.version(
            tx, found.template, change.template_version or found.template_version
        )
        owner = await users.get(tx, found.owner)
    if version is None or owner is None:
        raise NotFound(f"template {found.template!r} has no version {change.template_version}")
    revision, told = await _revised(core, actor, found, asked, change, version, owner)
    if not told:
        return found
    now = core.clock()
    async with core.db.transaction() as tx:
        row = await workspaces.revise(tx, found.id, revision, generation=found.generation, now=now)
        if row is None:
            raise Conflict(f"workspace {found.name} was changed meanwhile; look and try again")
        await events.append(tx, now, event(EventKind.WORKSPACE_UPDATED, actor, row, told))
    core.bus.wake(RECONCILE)
    core.bus.wake(workspace_topic(row.id))
    return await resized(core, found, row)


async def _revised(
    core: Core,
    actor: Actor,
    found: Workspace,
    asked: NewWorkspace,
    change: WorkspaceChange,
    version: TemplateVersion,
    owner: User,
) -> tuple[Revision, Mapping[str, object]]:
    """What to write, and what to tell of it; nothing to tell means nothing changes."""
    name = change.name or found.name
    asked = _asked(found, asked, change, version.recipe)
    made = Rendered(found.spec, found.lifetime, {}, found.repo, found.branch)
    parameters: Mapping[str, object] = found.parameters
    if change.model_fields_set & _RENDERED:
        made = await _rendered(core, actor, found, asked, version, owner, name)
        parameters = made.parameters
        _check_fixed(version.recipe, found, made)
        can = await core.capabilities()
        check_offered(made.spec, can, driver=core.driver.name)
        if change.model_fields_set & {"on_expiry", "on_idle"}:
            check_promised(made.spec, made.lifetime, can)
    spec = replace(made.spec, hostname=hostname(name))
    expires_at = found.expires_at
    if made.lifetime.ttl_s != found.lifetime.ttl_s or "ttl" in change.model_fields_set:
        expires_at = ends_at(core.clock(), made.lifetime.ttl_s)
    restart = found.boot is not None and of_runtime(spec) != of_runtime(found.spec)
    revision = Revision(
        name=name,
        labels=found.labels if change.labels is None else change.labels,
        template_version=version.number,
        spec=spec,
        parameters=parameters,
        repo=made.repo,
        branch=made.branch,
        lifetime=made.lifetime,
        expires_at=expires_at,
        reason=UPDATE_PENDING if restart else found.reason,
        request=asked.model_dump_json(exclude_unset=True),
    )
    return revision, _told(found, revision, restart=restart)


async def _rendered(
    core: Core,
    actor: Actor,
    found: Workspace,
    asked: NewWorkspace,
    version: TemplateVersion,
    owner: User,
    name: str,
) -> Rendered:
    """Another version is decided about anew; otherwise the isolation stays what it is, whatever
    this installation has learnt to offer since."""
    settings = core.settings
    if version.number != found.template_version:
        made = rendered(version.recipe, asked, name=name, owner=owner, settings=settings)
        made = decided(
            actor,
            version.recipe,
            made,
            asked=asked.isolation,
            settings=settings,
            capabilities=await core.capabilities(),
        )
    else:
        kept = asked.model_copy(update={"isolation": found.spec.isolation})
        made = rendered(version.recipe, kept, name=name, owner=owner, settings=settings)
    return replace(made, spec=replace(made.spec, snapshot=found.spec.snapshot))


def _asked(
    found: Workspace, asked: NewWorkspace, change: WorkspaceChange, recipe: Recipe
) -> NewWorkspace:
    """The first request, as if it had been made with the change."""
    given: dict[str, object] = {"template_version": change.template_version}
    declared = {parameter.name for parameter in recipe.parameters}
    # Repo and branch are written on top, whether they came as parameters or not.
    given |= {"repo": found.repo, "branch": found.branch if found.repo else None}
    values = {k: v for k, v in found.parameters.items() if k in declared}
    values |= change.parameters or {}
    for name in ("repo", "branch"):
        if name in (change.parameters or {}):
            given[name] = None
    given |= {"parameters": values, "rich_parameters": None}
    if "ttl" in change.model_fields_set:
        given |= {"ttl": change.ttl, "ttl_hours": None}
    elif {"ttl", "ttl_hours"} & set(change.parameters or {}):
        given |= {"ttl": None, "ttl_hours": None}
    given |= {name: getattr(change, name) for name in _LIFE if name in change.model_fields_set}
    given["resources"] = _resources(asked.resources, change)
    return asked.model_copy(update={k: v for k, v in given.items() if v != getattr(asked, k)})


def _resources(
    before: ResourcesRequest | None, change: WorkspaceChange
) -> ResourcesRequest | None:
    """What was asked for before, with the change; a parameter that means one of them and is
    given now wins over what stood on top before."""
    kept = {} if before is None else before.model_dump(exclude_none=True)
    kept = {k: v for k, v in kept.items() if k not in (change.parameters or {})}
    if change.resources is not None:
        kept |= change.resources.model_dump(exclude_none=True)
    return ResourcesRequest.model_validate(kept) if kept else None


def _check_fixed(recipe: Recipe, found: Workspace, made: Rendered) -> None:
    """Raises Invalid for what cannot change once a workspace exists."""
    faults = [
        FieldError(f"parameters.{p.name}", "cannot change after the workspace was created")
        for p in recipe.parameters
        if not p.mutable
        and p.name in found.parameters
        and _plain(found.parameters[p.name]) != _plain(made.parameters.get(p.name))
    ]
    before, after = found.spec.resources.disk_mib, made.spec.resources.disk_mib
    if after < before:
        faults.append(FieldError("disk", f"cannot shrink from {before} to {after} MiB"))
    if made.spec.ephemeral != found.spec.ephemeral:
        faults.append(FieldError("ephemeral", "cannot change after the workspace was created"))
    if faults:
        raise Invalid(f"{faults[0].field}: {faults[0].message}", faults)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _told(found: Workspace, revision: Revision, *, restart: bool) -> Mapping[str, object]:
    told: dict[str, object] = {}
    if revision.name != found.name:
        told["name_before"] = found.name
    if dict(revision.labels) != dict(found.labels):
        told["labels"] = dict(revision.labels)
    if revision.template_version != found.template_version:
        told["template_version"] = revision.template_version
    changed = [
        name
        for name, value in revision.parameters.items()
        if _plain(value) != _plain(found.parameters.get(name))
    ]
    if changed:
        # Names only: a value may be a secret.
        told["parameters"] = changed
    if revision.expires_at != found.expires_at:
        told["expires_at"] = revision.expires_at and revision.expires_at.isoformat()
    for name in ("on_expiry", "on_idle", "auto_resume", "idle_stop_s"):
        before, after = getattr(found.lifetime, name), getattr(revision.lifetime, name)
        if before != after:
            told[name] = after
    if found.spec.resources != revision.spec.resources:
        told["resources"] = asdict(revision.spec.resources)
    if told and restart:
        told["restart_needed"] = True
    return told
