"""Making a workspace of a snapshot: its kept request, with the new one's changes, rendered anew.

What the snapshot's files and memory depend on is fixed: the template's version, the image, the
isolation, what root means, the user, the clone. Asking for another is refused by its field, and
the ceilings of template and operator hold as for any workspace.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from alcove.core.app import Core
from alcove.model.errors import Conflict, DriverError, FieldError, Invalid, NotFound
from alcove.model.snapshot import Snapshot, SnapshotState
from alcove.model.template import Recipe, TemplateVersion
from alcove.model.workspace import (
    Desired,
    Isolation,
    Observation,
    Observed,
    SnapshotId,
    UserId,
    Workspace,
)
from alcove.recipes.render import Rendered
from alcove.store import snapshots, templates
from alcove.store.db import Tx
from alcove.wire.workspaces import NewWorkspace

SNAPSHOT_ID: Final = re.compile(r"sn-[a-z2-7]{16}")
_FIXED: Final = ("template_version", "isolation", "repo", "branch")
_TAKEN_OVER: Final = (
    "ttl",
    "ttl_hours",
    "ephemeral",
    "resources",
    "network",
    "files",
    "on_expiry",
    "idle_stop",
    "on_idle",
    "auto_resume",
)
"""What the new request says of these replaces what the kept one said."""


@dataclass(frozen=True, slots=True)
class Beginning:
    snapshot: Snapshot
    version: TemplateVersion
    request: NewWorkspace
    """The whole of what is asked for, as if it had been asked of the template."""


def kept_request(found: Workspace, asked: NewWorkspace) -> str:
    """What a workspace's owner asked for, settled, as JSON: to be rendered again by others."""
    kept = asked.model_copy(
        update={
            "template": found.template,
            "template_id": None,
            "template_version": found.template_version,
            "snapshot": None,
            "name": None,
            "owner": None,
            "parameters": dict(found.parameters),
            "rich_parameters": None,
            "repo": found.repo,
            "branch": found.branch if found.repo else None,
            "isolation": found.spec.isolation,
            "labels": dict(found.labels),
        }
    )
    return kept.model_dump_json(exclude_none=True)


async def begin(tx: Tx, request: NewWorkspace, *, owner: UserId) -> Beginning:
    """The snapshot that the request names, which must be the new owner's own.

    Raises NotFound, Conflict (it failed), and Invalid for what a snapshot fixes.
    """
    ref = request.snapshot or ""
    if SNAPSHOT_ID.fullmatch(ref):
        found = await snapshots.get(tx, SnapshotId(ref))
    else:
        found = await snapshots.by_name(tx, owner=owner, name=ref)
    if (
        found is None
        or found.owner != owner
        or found.hidden
        or found.state is SnapshotState.DELETING
    ):
        raise NotFound(f"there is no snapshot {ref!r}, or it is not the new owner's")
    if found.state is SnapshotState.FAILED:
        raise Conflict(f"snapshot {found.name} was not taken: {found.detail}; take another")
    return await resolved(tx, found, request)


async def resolved(tx: Tx, snapshot: Snapshot, request: NewWorkspace) -> Beginning:
    """The request in full. Raises Invalid, naming each field that a snapshot fixes."""
    version = await templates.version(tx, snapshot.template, snapshot.template_version)
    if version is None:
        raise NotFound(
            f"template {snapshot.template!r} has no version {snapshot.template_version}, "
            "which the snapshot was taken of"
        )
    return Beginning(snapshot, version, merged(snapshot, request))


def merged(snapshot: Snapshot, request: NewWorkspace) -> NewWorkspace:
    """The kept request with the new one's changes. Pure."""
    kept = NewWorkspace.model_validate_json(snapshot.request)
    faults = [
        FieldError(name, f"cannot be another than the snapshot's ({getattr(kept, name)})")
        for name in _FIXED
        if name in request.model_fields_set
        and getattr(request, name) not in (None, getattr(kept, name))
    ]
    if request.rich_parameters is not None:
        faults.append(FieldError("rich_parameters", "give parameters with a snapshot"))
    if faults:
        raise Invalid(f"{faults[0].field}: {faults[0].message}", faults)
    given = {
        name: getattr(request, name) for name in _TAKEN_OVER if name in request.model_fields_set
    }
    if given.get("ttl") is not None:
        given["ttl_hours"] = None
    elif given.get("ttl_hours") is not None:
        given["ttl"] = None
    parameters = dict(kept.parameters or {})
    if {"ttl", "ttl_hours"} & given.keys():
        # What stands on top wins; the parameter of the same meaning would only repeat it.
        parameters = {k: v for k, v in parameters.items() if k not in ("ttl", "ttl_hours")}
    return kept.model_copy(
        update={
            **given,
            "name": request.name,
            "owner": request.owner,
            "parameters": parameters | (request.parameters or {}),
            "env": {**(kept.env or {}), **(request.env or {})},
            "labels": kept.labels if request.labels is None else request.labels,
        }
    )


def begun(beginning: Beginning, made: Rendered) -> Rendered:
    """What was rendered, begun from the snapshot. Raises Invalid for what it cannot have."""
    snapshot, recipe = beginning.snapshot, beginning.version.recipe
    kept = NewWorkspace.model_validate_json(snapshot.request)
    has = snapshot.spec
    faults = _immutable(recipe, kept.parameters or {}, made.parameters)
    if made.spec.resources.disk_mib < has.resources.disk_mib:
        least = f"cannot be smaller than the snapshot's ({has.resources.disk_mib} MiB)"
        faults.append(FieldError("resources.disk", least))
    if has.isolation is Isolation.GVISOR and made.spec.network is not has.network:
        said = f"cannot be another than the snapshot's ({has.network}), under gvisor"
        faults.append(FieldError("network", said))
    if faults:
        raise Invalid(f"{faults[0].field}: {faults[0].message}", faults)
    spec = replace(
        made.spec,
        image=has.image,
        isolation=has.isolation,
        root=has.root,
        user=has.user,
        clone=has.clone,
        snapshot=snapshot.id,
    )
    return replace(made, spec=spec)


def _immutable(
    recipe: Recipe, before: Mapping[str, object], after: Mapping[str, object]
) -> list[FieldError]:
    return [
        FieldError(f"parameters.{p.name}", "cannot be another than the snapshot's")
        for p in recipe.parameters
        if not p.mutable
        and p.name in before
        and _plain(before[p.name]) != _plain(after.get(p.name))
    ]


def begins(workspace: Workspace) -> bool:
    """Whether its first start, which is from a snapshot, is still to be made."""
    return workspace.spec.snapshot is not None and workspace.started_at is None


async def snapshot_of(core: Core, workspace: Workspace) -> Snapshot | None:
    assert workspace.spec.snapshot is not None
    async with core.db.read() as tx:
        return await snapshots.get(tx, workspace.spec.snapshot)


async def awaited(core: Core, workspace: Workspace, seen: Observation) -> Observation:
    """What was seen of one that begins, as CREATING while its snapshot is being taken."""
    wanted = workspace.desired in (Desired.RUNNING, Desired.PAUSED)
    if not begins(workspace) or seen.state is not Observed.ABSENT or not wanted:
        return seen
    snapshot = await snapshot_of(core, workspace)
    if snapshot is None or snapshot.state is not SnapshotState.TAKING:
        return seen
    return Observation(Observed.CREATING, None, detail="waiting for its snapshot to be taken")


async def check_there(core: Core, workspace: Workspace) -> None:
    """Raises DriverError when what it is to begin from is not there and will not be."""
    if not begins(workspace):
        return
    snapshot = await snapshot_of(core, workspace)
    if snapshot is None:
        said = f"snapshot {workspace.spec.snapshot} was deleted"
        raise DriverError(said, retry=False)
    if snapshot.state is SnapshotState.FAILED:
        raise DriverError(f"the snapshot was not taken: {snapshot.detail}", retry=False)


async def has_memory(core: Core, workspace: Workspace) -> bool:
    """Whether the boot that is about to be claimed was restored with its processes."""
    if not begins(workspace):
        return False
    snapshot = await snapshot_of(core, workspace)
    return snapshot is not None and snapshot.memory


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
