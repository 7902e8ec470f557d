"""`/workspaces`: create, look, change, and ask for another state."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeAlias

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf, Wait, WorkspaceRef
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.pages import PageQuery
from alcove.api.presenting import details_of, present
from alcove.api.routing import router
from alcove.core import identity, workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model import workspace as model
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid
from alcove.model.workspace import Phase
from alcove.store.workspaces import WorkspaceFilters
from alcove.wire.base import Page
from alcove.wire.workspaces import NewWorkspace, Workspace, WorkspaceChange

routes = router("workspaces")
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
Updater: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Verb: TypeAlias = Callable[[Core, Actor, str], Awaitable[model.Workspace]]


class WorkspaceQuery(PageQuery):
    owner: Annotated[str, Field(max_length=64)] | None = None
    """A user's name, or `me`."""
    template: Annotated[str, Field(max_length=64)] | None = None
    phase: Annotated[list[Phase], Field(max_length=12)] = Field(default_factory=list[Phase])
    """Any of these; deleted ones are listed only when asked for."""
    label: Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=16)] = Field(
        default_factory=list[str]
    )
    """`key=value`; all of them must match."""


@routes.get("/workspaces", **documents(Page[Workspace]))
async def find(core: CoreOf, actor: Reader, query: Annotated[WorkspaceQuery, Query()]) -> Response:
    """List what the caller may see, newest first."""
    filters = WorkspaceFilters(
        owner_name=actor.name if query.owner == "me" else query.owner,
        template=query.template,
        phases=query.phase,
        labels=dict(_label(text) for text in query.label),
    )
    page = PageRequest(query.limit, query.cursor)
    found = await workspaces.find(core, actor, filters, page)
    items = await _shown(core, found.items)
    return answer(Page[Workspace](items=items, next_cursor=found.next_cursor))


@routes.post("/workspaces", **documents(Workspace, 400, 404, 409, 413, 415, status=201))
async def create(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_CREATE)],
    new: Annotated[NewWorkspace, body(NewWorkspace)],
    key: IdempotencyKey = None,
    wait: Wait | None = None,
) -> Response:
    """Make a workspace. It is answered at once, and its phase tells how far it is; with `wait`
    when it runs, or failed. `/workspaces/{workspace}/events` tells each step."""

    async def act() -> Response:
        made = await _one(core, await workspaces.create(core, actor, new))
        location = f"{request.url.path}/{made.id}"
        return answer(made, 201, headers={"location": location})

    response = await once(request, actor, key, act)
    if wait is None or response.status_code != 201:
        return response
    said = json.loads(bytes(response.body))
    if said["phase"] == Phase.RUNNING:  # from a pool: there is nothing to wait for
        return response
    id = str(said["id"])
    waited = await workspaces.wait(core, actor, id, timeout_s=wait)
    return answer(await _one(core, waited), 201)


@routes.get("/workspaces/{workspace}", **documents(Workspace, 404))
async def get(core: CoreOf, actor: Reader, ref: WorkspaceRef) -> Response:
    """One workspace, with what it uses and listens on."""
    found = await workspaces.get(core, actor, ref)
    names = await identity.names(core, [found.owner])
    details = await details_of(core, found, owner=names[found.owner])
    return answer(present(core, found, names[found.owner], details))


@routes.patch("/workspaces/{workspace}", **documents(Workspace, 400, 404, 409, 413, 415))
async def update(
    core: CoreOf,
    actor: Updater,
    ref: WorkspaceRef,
    change: Annotated[WorkspaceChange, body(WorkspaceChange)],
) -> Response:
    """Change name, labels, time to live, parameters or template version; the home is kept.
    What needs a restart says so in `reason`."""
    changed = await workspaces.update(core, actor, ref, change)
    return answer(await _one(core, changed))


@routes.delete("/workspaces/{workspace}", **documents(Workspace, 404, 409, status=202))
async def delete(
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_DELETE)],
    ref: WorkspaceRef,
    wait: Wait | None = None,
) -> Response:
    """Ask for it to be gone, files and all. Always accepted; repeating it is fine."""
    deleted = await workspaces.delete(core, actor, ref)
    if wait is not None:
        deleted = await workspaces.wait(core, actor, deleted.id, timeout_s=wait)
    return answer(await _one(core, deleted), 202)


@routes.post("/workspaces/{workspace}/start", **documents(Workspace, 404, 409))
async def start(
    core: CoreOf, actor: Updater, ref: WorkspaceRef, wait: Wait | None = None
) -> Response:
    """Want it running. Repeating it is fine; one that failed is tried afresh."""
    return await _ask(core, actor, ref, workspaces.start, wait)


@routes.post("/workspaces/{workspace}/stop", **documents(Workspace, 404, 409))
async def stop(
    core: CoreOf, actor: Updater, ref: WorkspaceRef, wait: Wait | None = None
) -> Response:
    """Want it stopped: processes end, the home is kept; an ephemeral one is deleted."""
    return await _ask(core, actor, ref, workspaces.stop, wait)


@routes.post("/workspaces/{workspace}/restart", **documents(Workspace, 404, 409))
async def restart(
    core: CoreOf, actor: Updater, ref: WorkspaceRef, wait: Wait | None = None
) -> Response:
    """Stop and start it; changes that wait for a restart take effect."""
    return await _ask(core, actor, ref, workspaces.restart, wait)


@routes.post("/workspaces/{workspace}/pause", **documents(Workspace, 404, 409))
async def pause(
    core: CoreOf, actor: Updater, ref: WorkspaceRef, wait: Wait | None = None
) -> Response:
    """Freeze it: memory and processes stay, no CPU is used."""
    return await _ask(core, actor, ref, workspaces.pause, wait)


@routes.post("/workspaces/{workspace}/resume", **documents(Workspace, 404, 409))
async def resume(
    core: CoreOf, actor: Updater, ref: WorkspaceRef, wait: Wait | None = None
) -> Response:
    """Let a paused one go on."""
    return await _ask(core, actor, ref, workspaces.resume, wait)


async def _ask(core: Core, actor: Actor, ref: str, verb: Verb, wait: int | None) -> Response:
    """These verbs may be repeated as they are, so that they need no Idempotency-Key."""
    found = await verb(core, actor, ref)
    if wait is not None:
        found = await workspaces.wait(core, actor, found.id, timeout_s=wait)
    return answer(await _one(core, found))


async def _one(core: Core, found: model.Workspace) -> Workspace:
    return (await _shown(core, [found]))[0]


async def _shown(core: Core, found: Sequence[model.Workspace]) -> list[Workspace]:
    names = await identity.names(core, {workspace.owner for workspace in found})
    return [present(core, workspace, names[workspace.owner]) for workspace in found]


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        said = "write it as key=value"
        raise Invalid(f"label: {said}", [FieldError("label", said)])
    return key, value
