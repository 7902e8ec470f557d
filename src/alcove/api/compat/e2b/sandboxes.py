"""The control API of E2B: create, list, look, keep alive, pause, end."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote

import anyio
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from alcove.api.answers import Json, nothing
from alcove.api.arguments import CoreOf
from alcove.api.compat.e2b import asking, shapes
from alcove.api.compat.e2b.errors import describe
from alcove.api.compat.e2b.lifecycle import (
    TIMEOUT_S,
    created,
    extend,
    live_for,
    may_enter,
    resumed,
    settled,
)
from alcove.api.compat.e2b.listing import Wanted, own, page
from alcove.api.idempotency import IdempotencyKey, once
from alcove.core import access, envd, workspaces
from alcove.core.app import Core
from alcove.drivers.base import Metered, Usage
from alcove.http.access import needs
from alcove.http.body import body
from alcove.http.problem import HttpError
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, Conflict, FieldError, Invalid, NotFound
from alcove.model.workspace import Desired, Phase, Workspace

routes = APIRouter(include_in_schema=False)
SAMPLE_S: Final = 0.1
METRICS_MAX: Final = 100
_TRY_AGAIN: Final = frozenset({429, 500, 502, 503})
Creator: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_CREATE)]
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
Updater: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Deleter: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_DELETE)]


@routes.post("/sandboxes")
@routes.post("/v2/sandboxes")
async def create(
    request: Request,
    core: CoreOf,
    actor: Creator,
    asked: Annotated[shapes.NewSandbox, body(shapes.NewSandbox)],
    key: IdempotencyKey = None,
) -> Response:
    may_enter(actor)

    async def act() -> Response:
        # What is kept under the key holds no secret: the rest is derived from the id.
        try:
            made = await created(core, actor, asked)
        except AlcoveError as error:
            status, message, code, _ = describe(error, request_id="")
            if status in _TRY_AGAIN:
                raise
            refused = {"code": status, "message": message, "error_code": code}
            return JSONResponse(refused, status)
        return Json(json.dumps({"sandboxID": made.id}), 201)

    done = await once(request, actor, key, act)
    if done.status_code >= 400:
        return done
    id = json.loads(bytes(done.body))["sandboxID"]
    found = await own(core, actor, id, Permission.WORKSPACE_READ)
    return JSONResponse(shapes.sandbox(core, found), 201)


@routes.get("/v2/sandboxes")
async def find(
    core: CoreOf,
    actor: Reader,
    metadata: str | None = None,
    state: str | None = None,
    order: str | None = None,
    startedAfter: str | None = None,
    template: str | None = None,
    nextToken: str | None = None,
    limit: int = 100,
) -> Response:
    wanted = Wanted(
        metadata=_metadata(metadata),
        states=_states(state),
        ascending=_ascending(order),
        started_after=_time("startedAfter", startedAfter),
        template=_template(core, template),
        limit=limit,
        token=nextToken,
    )
    items, token = await page(core, actor, wanted)
    headers = {} if token is None else {"x-next-token": token}
    return JSONResponse([shapes.listed(found) for found in items], headers=headers)


@routes.get("/sandboxes")
async def find_running(core: CoreOf, actor: Reader, metadata: str | None = None) -> Response:
    """As their first API had it: those that run, all at once."""
    wanted = Wanted(metadata=_metadata(metadata), states=frozenset({shapes.RUNNING}))
    found: list[dict[str, Any]] = []
    while True:
        items, token = await page(core, actor, wanted)
        found += [shapes.listed(item) for item in items]
        if token is None:
            return JSONResponse(found)
        wanted = wanted.after(token)


@routes.get("/sandboxes/metrics")
async def metrics_of_many(core: CoreOf, actor: Reader, sandbox_ids: str = "") -> Response:
    ids = [id for id in sandbox_ids.split(",") if id]
    if len(ids) > METRICS_MAX:
        raise _wrong("sandbox_ids", f"at most {METRICS_MAX}")
    found: dict[str, Any] = {}
    for id in ids:
        try:
            workspace = await own(core, actor, id, Permission.WORKSPACE_READ)
        except NotFound:
            continue
        for metric in await _metrics(core, workspace):
            found[id] = metric
    return JSONResponse({"sandboxes": found})


@routes.get("/sandboxes/{id}")
async def get(core: CoreOf, actor: Reader, id: str) -> Response:
    found = await own(core, actor, id, Permission.WORKSPACE_READ)
    secrets = all(access.may(actor, one, found) for one in envd.GRANTS)
    return JSONResponse(shapes.detail(core, found, secrets=secrets))


@routes.delete("/sandboxes/{id}")
async def kill(core: CoreOf, actor: Deleter, id: str) -> Response:
    found = await own(core, actor, id, Permission.WORKSPACE_DELETE)
    await workspaces.delete(core, actor, found.id)
    return nothing()


@routes.post("/sandboxes/{id}/timeout")
async def set_timeout(
    core: CoreOf,
    actor: Updater,
    id: str,
    asked: Annotated[shapes.Timeout, body(shapes.Timeout)],
) -> Response:
    found = await own(core, actor, id, Permission.WORKSPACE_UPDATE)
    await live_for(core, actor, found, asked.timeout)
    return nothing()


@routes.post("/sandboxes/{id}/refreshes")
async def refresh(
    core: CoreOf,
    actor: Updater,
    id: str,
    asked: Annotated[shapes.Refresh, body(shapes.Refresh, optional=True)],
) -> Response:
    """Live longer, never shorter."""
    found = await own(core, actor, id, Permission.WORKSPACE_UPDATE)
    await extend(core, actor, found, 60 if asked.duration is None else asked.duration)
    return nothing()


@routes.post("/sandboxes/{id}/connect")
@routes.post("/v2/sandboxes/{id}/connect")
async def connect(
    core: CoreOf,
    actor: Updater,
    id: str,
    asked: Annotated[shapes.Connect, body(shapes.Connect, optional=True)],
) -> Response:
    """What runs lives on for at least `timeout`; what is paused is resumed, to live that long."""
    if asked.memory is False:
        raise _only_with_memory()
    found = await _enterable(core, actor, id)
    timeout_s = TIMEOUT_S if asked.timeout is None else asked.timeout
    if shapes.state(found) == shapes.PAUSED:
        found = await resumed(core, actor, found, timeout_s)
        return JSONResponse(shapes.sandbox(core, found), 201)
    await extend(core, actor, found, timeout_s)
    return JSONResponse(shapes.sandbox(core, found))


@routes.post("/sandboxes/{id}/resume")
async def resume(
    core: CoreOf,
    actor: Updater,
    id: str,
    asked: Annotated[shapes.Connect, body(shapes.Connect, optional=True)],
) -> Response:
    if asked.memory is False:
        raise _only_with_memory()
    found = await _enterable(core, actor, id)
    if shapes.state(found) != shapes.PAUSED:
        raise Conflict(f"sandbox {found.id} is running already")
    timeout_s = TIMEOUT_S if asked.timeout is None else asked.timeout
    found = await resumed(core, actor, found, timeout_s)
    return JSONResponse(shapes.sandbox(core, found), 201)


@routes.post("/sandboxes/{id}/pause")
async def pause(
    core: CoreOf,
    actor: Updater,
    id: str,
    asked: Annotated[shapes.Pause, body(shapes.Pause, optional=True)],
) -> Response:
    if asked.memory is False:
        raise _only_with_memory()
    found = await own(core, actor, id, Permission.WORKSPACE_UPDATE)
    if found.desired is Desired.PAUSED:
        raise Conflict(f"sandbox {found.id} is paused already")
    await workspaces.pause(core, actor, found.id)
    await settled(core, actor, found, Phase.PAUSED)
    return nothing()


@routes.put("/sandboxes/{id}/network")
async def update_network(
    core: CoreOf,
    actor: Updater,
    id: str,
    asked: Annotated[shapes.NetworkUpdate, body(shapes.NetworkUpdate)],
) -> Response:
    found = await own(core, actor, id, Permission.WORKSPACE_UPDATE)
    mode = asking.network_mode(asked)
    if mode is not None and mode is not found.spec.network:
        raise HttpError(
            501,
            f"allow_internet_access: the network of a sandbox is given when it is created; "
            f"this one has {found.spec.network}",
        )
    return nothing()


@routes.get("/sandboxes/{id}/metrics")
async def metrics(
    core: CoreOf, actor: Reader, id: str, start: int | None = None, end: int | None = None
) -> Response:
    """One sample: as it is now. Nothing for a time that is over."""
    found = await own(core, actor, id, Permission.WORKSPACE_READ)
    now = core.clock().timestamp()
    # Older clients send milliseconds.
    until = None if end is None else (end / 1000 if end > 10**11 else end)
    if until is not None and until < int(now):
        return JSONResponse([])
    return JSONResponse(await _metrics(core, found))


async def _enterable(core: Core, actor: Actor, id: str) -> Workspace:
    may_enter(actor)
    return await own(core, actor, id, Permission.WORKSPACE_UPDATE)


async def _metrics(core: Core, workspace: Workspace) -> list[dict[str, Any]]:
    if workspace.phase is not Phase.RUNNING or not isinstance(core.driver, Metered):
        return []
    before = await core.driver.usage([workspace.id])
    began = anyio.current_time()
    await anyio.sleep(SAMPLE_S)
    after = await core.driver.usage([workspace.id])
    seconds = anyio.current_time() - began
    if workspace.id not in before or workspace.id not in after:
        return []
    share = _cores(before[workspace.id], after[workspace.id], seconds)
    return [shapes.metric(workspace, after[workspace.id], share, core.clock())]


def _cores(before: Usage, after: Usage, seconds: float) -> float:
    return max(0, after.cpu_usec - before.cpu_usec) / 1e6 / seconds


def _metadata(text: str | None) -> Mapping[str, str]:
    """Their clients quote each part twice."""
    if not text:
        return {}
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=64)
    return {unquote(key): unquote(value) for key, value in pairs}


def _states(text: str | None) -> frozenset[str]:
    both = frozenset({shapes.RUNNING, shapes.PAUSED})
    if not text:
        return both
    found = frozenset(text.split(","))
    if not found <= both:
        raise _wrong("state", "must be running, paused, or both with a comma")
    return found


def _ascending(order: str | None) -> bool:
    if order not in (None, "asc", "desc"):
        raise _wrong("order", "must be asc or desc")
    return order == "asc"


def _time(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # A plus that came as a space.
        at = datetime.fromisoformat(text[:64].replace(" ", "+"))
    except ValueError:
        raise _wrong(field, "must be a time such as 2026-01-31T12:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _template(core: Core, text: str | None) -> str | None:
    if not text:
        return None
    return asking.origin(text, asking.aliases(core.settings.e2b_aliases)).name


def _only_with_memory() -> HttpError:
    said = "memory: false is not offered: a pause keeps the memory, and resuming restores it"
    return HttpError(501, said)


def _wrong(field: str, said: str) -> Invalid:
    return Invalid(f"{field}: {said}", [FieldError(field, said)])
