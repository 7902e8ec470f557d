"""Snapshots and forks of sandboxes, as E2B has them: a snapshot is named like a template."""

from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import unquote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from alcove.api.answers import nothing
from alcove.api.arguments import CoreOf
from alcove.api.compat.e2b import asking, shapes
from alcove.api.compat.e2b.errors import describe
from alcove.api.compat.e2b.lifecycle import SETTLE_WAIT_S, TIMEOUT_S, live_for, may_enter
from alcove.api.compat.e2b.listing import own
from alcove.core import snapshots, workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.http.access import needs
from alcove.http.body import body
from alcove.http.context import context_of
from alcove.http.problem import HttpError
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, FieldError, Invalid, NotFound
from alcove.model.snapshot import Snapshot, SnapshotState
from alcove.model.workspace import Phase, Workspace
from alcove.wire import snapshots as wire

routes = APIRouter(include_in_schema=False)
LIMIT_MAX: Final = 100
_ONCE: Final = {"should-retry": "false"}
Reader: TypeAlias = Annotated[Actor, needs(Permission.SNAPSHOT_READ)]
Writer: TypeAlias = Annotated[Actor, needs(Permission.SNAPSHOT_WRITE)]


@routes.post("/sandboxes/{id}/snapshots")
async def take(
    core: CoreOf,
    actor: Writer,
    id: str,
    asked: Annotated[shapes.NewSnapshot, body(shapes.NewSnapshot, optional=True)],
) -> Response:
    """Answered when it is there: their clients use it at once."""
    if asked.memory is False:
        said = "memory: false is not offered: a snapshot keeps what the sandbox's isolation can"
        raise HttpError(501, said)
    found = await own(core, actor, id, Permission.SNAPSHOT_WRITE)
    name = _name(asked.name) if asked.name else None
    new = wire.NewSnapshot() if name is None else wire.NewSnapshot(name=name)
    taken = await snapshots.take(core, actor, found.id, new)
    taken = await snapshots.wait(core, actor, taken.id, timeout_s=SETTLE_WAIT_S)
    if taken.state is not SnapshotState.READY:
        raise HttpError(503, f"the snapshot is {taken.state}: {taken.detail}", _ONCE)
    return JSONResponse(_shown(taken), 201)


@routes.get("/snapshots")
async def find(
    core: CoreOf,
    actor: Reader,
    sandboxID: str | None = None,
    name: str | None = None,
    limit: int = LIMIT_MAX,
    nextToken: str | None = None,
) -> Response:
    if not 1 <= limit <= LIMIT_MAX:
        said = f"must be between 1 and {LIMIT_MAX}"
        raise Invalid(f"limit: {said}", [FieldError("limit", said)])
    if name is not None:
        return JSONResponse(await _named(core, actor, name, sandboxID))
    try:
        found = await snapshots.find(
            core, actor, PageRequest(limit, nextToken), workspace=sandboxID
        )
    except NotFound:
        return JSONResponse([])
    items = [_shown(one) for one in found.items if one.state is SnapshotState.READY]
    headers = {} if found.next_cursor is None else {"x-next-token": found.next_cursor}
    return JSONResponse(items, headers=headers)


@routes.post("/sandboxes/{id}/fork")
async def fork(
    request: Request,
    core: CoreOf,
    actor: Writer,
    id: str,
    asked: Annotated[shapes.Fork, body(shapes.Fork, optional=True)],
) -> Response:
    """Each fork's fate is told by itself; the request as a whole fails when none was begun."""
    may_enter(actor)
    found = await own(core, actor, id, Permission.SNAPSHOT_WRITE)
    forks = await snapshots.fork(core, actor, found.id, wire.Fork(count=asked.count or 1))
    timeout_s = asked.timeout or TIMEOUT_S
    results = [await _begun(core, actor, request, one, timeout_s) for one in forks]
    return JSONResponse(results, 201)


async def remove(core: Core, actor: Actor, ref: str) -> Response:
    """Their clients remove a snapshot as they do a template."""
    start = asking.origin(unquote(ref), {})
    if not start.snapshot:
        raise NotFound(f"there is no snapshot {ref[:100]!r}")
    await snapshots.delete(core, actor, start.name)
    return nothing()


async def _begun(
    core: Core, actor: Actor, request: Request, one: Workspace, timeout_s: int
) -> dict[str, Any]:
    try:
        one = await workspaces.wait(core, actor, one.id, timeout_s=SETTLE_WAIT_S)
        if one.phase is Phase.RUNNING:
            await live_for(core, actor, one, timeout_s)
            return {"sandbox": shapes.sandbox(core, one)}
        await workspaces.delete(core, actor, one.id)
        said = (500, f"the fork did not start: {one.reason or one.phase}", "failed")
    except AlcoveError as error:
        said = describe(error, request_id=context_of(request.scope).request_id)
    return {"error": {"code": said[0], "message": said[1], "error_code": said[2]}}


async def _named(core: Core, actor: Actor, name: str, sandbox: str | None) -> list[dict[str, Any]]:
    try:
        found = await snapshots.get(core, actor, _name(name))
    except NotFound:
        return []
    good = found.state is SnapshotState.READY and sandbox in (None, found.workspace)
    return [_shown(found)] if good else []


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    return {"snapshotID": snapshot.id, "names": [snapshot.name]}


def _name(text: str) -> str:
    """Without their tag for "the only one"."""
    return text.removesuffix(":default").removesuffix(":latest")
