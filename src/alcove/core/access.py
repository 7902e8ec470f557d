"""Find what a caller names, and check that they may. What they may not read is not there."""

import re
from typing import Final

from alcove.core.app import Core
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Denied, NotFound
from alcove.model.pool import KEEPER
from alcove.model.workspace import Workspace, WorkspaceId
from alcove.store import workspaces
from alcove.store.db import Tx

WORKSPACE_ID: Final = re.compile(r"ws-[a-z2-7]{16}")
REF_MAX: Final = 128


async def workspace(core: Core, actor: Actor, ref: str, permission: Permission) -> Workspace:
    """The workspace named by id, by the caller's own name for it, or by `owner/name`.

    Raises NotFound when it is not there or may not be read, and Denied when it may be read and
    this is not allowed.
    """
    async with core.db.read() as tx:
        found = await _look_up(tx, actor, ref)
    return checked(actor, found, ref, permission)


def checked(actor: Actor, found: Workspace | None, ref: str, permission: Permission) -> Workspace:
    # What is a pool's is nobody's yet, whatever the actor may do.
    pooled = found is not None and found.owner == KEEPER
    if found is None or pooled or not may(actor, Permission.WORKSPACE_READ, found):
        raise NotFound(f"there is no workspace {ref[:REF_MAX]!r}, or it is not yours to see")
    if not may(actor, permission, found):
        raise Denied(f"{actor.name} may not {permission} workspace {found.name}")
    return found


def may(actor: Actor, permission: Permission, workspace: Workspace) -> bool:
    return allows(actor, permission, owner=workspace.owner, workspace=workspace.id)


def require(actor: Actor, permission: Permission) -> None:
    """For what is nobody's in particular. Raises Denied."""
    if not allows(actor, permission):
        raise Denied(f"{actor.name} may not {permission}")


async def _look_up(tx: Tx, actor: Actor, ref: str) -> Workspace | None:
    if len(ref) > REF_MAX or "\0" in ref:
        return None
    if WORKSPACE_ID.fullmatch(ref):
        return await workspaces.get(tx, WorkspaceId(ref))
    owner, slash, name = ref.rpartition("/")
    if slash:
        return await workspaces.by_owner_name(tx, owner_name=owner, name=name)
    return await workspaces.by_name(tx, owner=actor.id, name=ref)
