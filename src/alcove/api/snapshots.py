"""`/snapshots`: take one of a workspace, look, delete; and forks of a workspace."""

import json
from typing import Annotated, TypeAlias

from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf, Wait, WorkspaceRef
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.pages import PageQuery
from alcove.api.presenting import present as present_workspace
from alcove.api.routing import PREFIX, router
from alcove.core import identity, snapshots, workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model import snapshot as model
from alcove.model.access import Actor, Permission
from alcove.model.workspace import Workspace
from alcove.wire.base import Page
from alcove.wire.snapshots import Fork, Forks, NewSnapshot, Snapshot

routes = router("snapshots")
Reader: TypeAlias = Annotated[Actor, needs(Permission.SNAPSHOT_READ)]
Writer: TypeAlias = Annotated[Actor, needs(Permission.SNAPSHOT_WRITE)]
SnapshotRef: TypeAlias = Annotated[
    str,
    Path(alias="snapshot", max_length=64, description="Id, or the caller's own name for it."),
]


class SnapshotQuery(PageQuery):
    workspace: Annotated[str, Field(max_length=128)] | None = None
    """Only those taken of this workspace: its id, or the caller's own name for it."""


@routes.get("/snapshots", **documents(Page[Snapshot], 404))
async def find(core: CoreOf, actor: Reader, query: Annotated[SnapshotQuery, Query()]) -> Response:
    """List what the caller may see, newest first."""
    page = PageRequest(query.limit, query.cursor)
    found = await snapshots.find(core, actor, page, workspace=query.workspace)
    names = await identity.names(core, {snapshot.owner for snapshot in found.items})
    items = [present(snapshot, names[snapshot.owner]) for snapshot in found.items]
    return answer(Page[Snapshot](items=items, next_cursor=found.next_cursor))


@routes.get("/snapshots/{snapshot}", **documents(Snapshot, 404))
async def get(core: CoreOf, actor: Reader, ref: SnapshotRef, wait: Wait | None = None) -> Response:
    """One snapshot; with `wait` when it is ready, or failed."""
    if wait is not None:
        return await _one(core, await snapshots.wait(core, actor, ref, timeout_s=wait))
    return await _one(core, await snapshots.get(core, actor, ref))


@routes.delete("/snapshots/{snapshot}", **documents(None, 404, status=204))
async def delete(core: CoreOf, actor: Writer, ref: SnapshotRef) -> Response:
    """Delete a snapshot. Workspaces that were made of it stay."""
    await snapshots.delete(core, actor, ref)
    return nothing()


@routes.post(
    "/workspaces/{workspace}/snapshot",
    **documents(Snapshot, 400, 404, 409, 413, 415, status=201),
)
async def take(
    request: Request,
    core: CoreOf,
    actor: Writer,
    ref: WorkspaceRef,
    new: Annotated[NewSnapshot, body(NewSnapshot, optional=True)],
    key: IdempotencyKey = None,
    wait: Wait | None = None,
) -> Response:
    """Keep the state of a workspace that runs, is paused or stopped; it goes on as before. It
    is answered at once, and `state` tells how far it is; with `wait` when that is over."""

    async def act() -> Response:
        taken = await snapshots.take(core, actor, ref, new)
        location = f"{PREFIX}/snapshots/{taken.id}"
        return await _one(core, taken, 201, headers={"location": location})

    response = await once(request, actor, key, act)
    if wait is None or response.status_code != 201:
        return response
    id = str(json.loads(bytes(response.body))["id"])
    return await _one(core, await snapshots.wait(core, actor, id, timeout_s=wait), 201)


@routes.post(
    "/workspaces/{workspace}/fork",
    **documents(Forks, 400, 404, 409, 413, 415, status=201),
)
async def fork(
    request: Request,
    core: CoreOf,
    actor: Writer,
    ref: WorkspaceRef,
    asked: Annotated[Fork, body(Fork, optional=True)],
    key: IdempotencyKey = None,
    wait: Wait | None = None,
) -> Response:
    """Make `count` workspaces that begin as this one is now: files, and where the isolation
    keeps it, processes and memory. All or none; with `wait` when each runs, or failed."""

    async def act() -> Response:
        return await _forks(core, await snapshots.fork(core, actor, ref, asked))

    response = await once(request, actor, key, act)
    if wait is None or response.status_code != 201:
        return response
    ids = [str(item["id"]) for item in json.loads(bytes(response.body))["items"]]
    return await _forks(core, await workspaces.wait_all(core, actor, ids, timeout_s=wait))


def present(snapshot: model.Snapshot, owner: str) -> Snapshot:
    return Snapshot(
        id=snapshot.id,
        name=snapshot.name,
        owner=owner,
        state=snapshot.state,
        detail=snapshot.detail,
        workspace=snapshot.workspace,
        template=snapshot.template,
        template_version=snapshot.template_version,
        isolation=snapshot.spec.isolation,
        memory=snapshot.memory,
        size_mib=snapshot.size_mib,
        created_at=snapshot.created_at,
        expires_at=snapshot.expires_at,
    )


async def _one(
    core: Core,
    snapshot: model.Snapshot,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    names = await identity.names(core, [snapshot.owner])
    return answer(present(snapshot, names[snapshot.owner]), status, headers)


async def _forks(core: Core, made: list[Workspace]) -> Response:
    names = await identity.names(core, {workspace.owner for workspace in made})
    items = [present_workspace(core, workspace, names[workspace.owner]) for workspace in made]
    return answer(Forks(items=items), 201)
