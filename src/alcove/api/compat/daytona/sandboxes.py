"""`/sandbox`: create, look, and ask for another state. Every answer waits for what was asked, so
that a client that polls finds it done."""

import json as text
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona import creating, shapes
from alcove.api.compat.daytona.creating import Asked, CreateSandbox, unsupported
from alcove.api.compat.daytona.routing import API, SandboxRef, base_url, json, router
from alcove.core import snapshots, templates, workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, NotFound
from alcove.model.workspace import NetworkMode, Phase, Workspace
from alcove.store.workspaces import WorkspaceFilters
from alcove.wire.base import Labels
from alcove.wire.snapshots import Fork, NewSnapshot
from alcove.wire.workspaces import WorkspaceChange

routes = router(API)
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
Updater: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_UPDATE)]
Verb: TypeAlias = Callable[[Core, Actor, str], Awaitable[Workspace]]
WAIT_S: Final = 50.0
"""The clients give up after 60 seconds unless told."""
LIMIT_MAX: Final = 200
PAGES_MAX: Final = 50
_FILTERS: Final = {"cursor", "limit", "id", "name", "labels", "states", "snapshots"}
_IGNORED: Final = {"verbose", "includeErroredDeleted", "includeWarm", "page", "order", "sort"}


class ForkSandbox(Asked):
    name: str | None = None


class SnapshotSandbox(Asked):
    name: str
    include_memory: bool | None = None


class SandboxLabels(Asked):
    labels: Labels


class Resize(Asked):
    cpu: int | None = None
    memory: int | None = None
    disk: int | None = None


class NetworkSettings(Asked):
    network_block_all: bool | None = None
    network_allow_list: str | None = None
    domain_allow_list: str | None = None


@routes.post("/sandbox")
async def create(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_CREATE)],
    asked: Annotated[CreateSandbox, body(CreateSandbox)],
) -> Response:
    """Make one of a template (`snapshot: "python"`) or of a snapshot of the caller's own."""
    source = creating.source_of(asked, default=core.settings.daytona_snapshot)
    is_template = await _check_source(core, actor, source, asked)
    new = creating.new_workspace(asked, source=source, is_template=is_template)
    made = await workspaces.create(core, actor, new)
    return await _settled(request, core, actor, made)


@routes.get("/sandbox")
async def find(
    request: Request,
    core: CoreOf,
    actor: Reader,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
) -> Response:
    """What the caller may see, newest first."""
    filters = _filters(request)
    page = await workspaces.find(core, actor, filters, PageRequest(limit, cursor))
    items = [_shown(request, core, actor, one) for one in page.items if _chosen(request, one)]
    return json({"items": items, "nextCursor": page.next_cursor})


@routes.get("/sandbox/paginated")
async def find_paged(
    request: Request,
    core: CoreOf,
    actor: Reader,
    page: Annotated[int, Query(ge=1, le=PAGES_MAX)] = 1,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
) -> Response:
    """The same by numbers of pages, for older clients."""
    filters = _filters(request)
    found: list[Workspace] = []
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        part = await workspaces.find(core, actor, filters, PageRequest(LIMIT_MAX, cursor))
        found += [one for one in part.items if _chosen(request, one)]
        if (cursor := part.next_cursor) is None:
            break
    here = found[(page - 1) * limit : page * limit]
    return json(
        {
            "items": [_shown(request, core, actor, one) for one in here],
            "total": len(found),
            "page": page,
            "totalPages": max(1, -(-len(found) // limit)),
        }
    )


@routes.get("/sandbox/{sandbox}")
async def get(request: Request, core: CoreOf, actor: Reader, ref: SandboxRef) -> Response:
    found = await workspaces.get(core, actor, ref)
    if found.phase is Phase.DELETED:
        raise NotFound(f"sandbox {ref!r} is gone")
    return json(_shown(request, core, actor, found))


@routes.delete("/sandbox/{sandbox}")
async def delete(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_DELETE)],
    ref: SandboxRef,
) -> Response:
    """Ask for it to be gone; it is answered at once."""
    found = await workspaces.delete(core, actor, ref)
    return json(_shown(request, core, actor, found))


@routes.post("/sandbox/{sandbox}/start")
async def start(request: Request, core: CoreOf, actor: Updater, ref: SandboxRef) -> Response:
    """Start one that is stopped, resume one that is paused, try one that failed again."""
    return await _ask(request, core, actor, ref, workspaces.start)


@routes.post("/sandbox/{sandbox}/recover")
async def recover(request: Request, core: CoreOf, actor: Updater, ref: SandboxRef) -> Response:
    return await _ask(request, core, actor, ref, workspaces.start)


@routes.post("/sandbox/{sandbox}/stop")
async def stop(request: Request, core: CoreOf, actor: Updater, ref: SandboxRef) -> Response:
    return await _ask(request, core, actor, ref, workspaces.stop)


@routes.post("/sandbox/{sandbox}/pause")
async def pause(request: Request, core: CoreOf, actor: Updater, ref: SandboxRef) -> Response:
    return await _ask(request, core, actor, ref, workspaces.pause)


@routes.post("/sandbox/{sandbox}/fork")
async def fork(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_CREATE)],
    ref: SandboxRef,
    asked: Annotated[ForkSandbox, body(ForkSandbox, optional=True)],
) -> Response:
    """Another like it; with its memory where the isolation keeps that."""
    made = await snapshots.fork(core, actor, ref, _checked(Fork, name=asked.name))
    return await _settled(request, core, actor, made[0])


@routes.post("/sandbox/{sandbox}/snapshot")
async def snapshot(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.SNAPSHOT_WRITE)],
    ref: SandboxRef,
    asked: Annotated[SnapshotSandbox, body(SnapshotSandbox)],
) -> Response:
    """Keep its state under a name that a sandbox can be created from."""
    new = _checked(NewSnapshot, name=asked.name)
    taken = await snapshots.take(core, actor, ref, new)
    taken = await snapshots.wait(core, actor, taken.id, timeout_s=WAIT_S)
    shown = _shown(request, core, actor, await workspaces.get(core, actor, ref))
    if taken.state == "taking":
        shown["state"] = "snapshotting"
    elif taken.state == "failed":
        raise Invalid(f"the snapshot was not taken: {taken.detail}")
    return json(shown)


@routes.post("/sandbox/{sandbox}/resize")
async def resize(
    request: Request,
    core: CoreOf,
    actor: Updater,
    ref: SandboxRef,
    asked: Annotated[Resize, body(Resize)],
) -> Response:
    """Cores, GiB of memory, GiB of disk."""
    wanted = creating.resources(asked.cpu, asked.memory, asked.disk)
    return await _change(request, core, actor, ref, resources=wanted)


@routes.post("/sandbox/{sandbox}/autostop/{interval}")
async def autostop(
    request: Request, core: CoreOf, actor: Updater, ref: SandboxRef, interval: creating.Minutes
) -> Response:
    """Minutes without use; 0 for never."""
    return await _change(request, core, actor, ref, **creating.idle(interval, None))


@routes.post("/sandbox/{sandbox}/autopause/{interval}")
async def autopause(
    request: Request, core: CoreOf, actor: Updater, ref: SandboxRef, interval: creating.Minutes
) -> Response:
    """The same, and it is paused instead of stopped."""
    asked = creating.idle(None, interval) if interval else creating.idle(0, None)
    return await _change(request, core, actor, ref, **asked)


@routes.post("/sandbox/{sandbox}/autodelete/{interval}")
async def autodelete(
    request: Request, core: CoreOf, actor: Updater, ref: SandboxRef, interval: int
) -> Response:
    """Whether a stop deletes it was settled when it was made."""
    found = await workspaces.get(core, actor, ref)
    if interval == (0 if found.spec.ephemeral else -1):
        return json(_shown(request, core, actor, found))
    raise unsupported(
        "interval", "whether a stop deletes it is settled at its creation; set a ttl instead"
    )


@routes.post("/sandbox/{sandbox}/ttl/{minutes}")
async def ttl(
    request: Request, core: CoreOf, actor: Updater, ref: SandboxRef, minutes: creating.Minutes
) -> Response:
    """Minutes from now to its deletion; 0 for never."""
    return await _change(request, core, actor, ref, ttl=f"{minutes}m" if minutes else None)


@routes.put("/sandbox/{sandbox}/labels")
async def labels(
    core: CoreOf,
    actor: Updater,
    ref: SandboxRef,
    asked: Annotated[SandboxLabels, body(SandboxLabels)],
) -> Response:
    change = WorkspaceChange(labels=asked.labels)
    changed = await workspaces.update(core, actor, ref, change)
    return json({"labels": dict(changed.labels)})


@routes.post("/sandbox/{sandbox}/network-settings")
async def network(
    request: Request,
    core: CoreOf,
    actor: Updater,
    ref: SandboxRef,
    asked: Annotated[NetworkSettings, body(NetworkSettings)],
) -> Response:
    """What a sandbox reaches does not change while it lives."""
    found = await workspaces.get(core, actor, ref)
    blocked = found.spec.network is NetworkMode.NONE
    if asked.network_allow_list or asked.domain_allow_list:
        field = "networkAllowList" if asked.network_allow_list else "domainAllowList"
        raise unsupported(field, "only all or nothing can be enforced")
    if asked.network_block_all not in (None, blocked):
        raise unsupported("networkBlockAll", "it is settled at the creation of a sandbox")
    return json(_shown(request, core, actor, found))


@routes.post("/sandbox/{sandbox}/public/{is_public}")
async def public(
    request: Request, core: CoreOf, actor: Updater, ref: SandboxRef, is_public: bool
) -> Response:
    if is_public:
        raise unsupported("isPublic", "all ports at once are not made public; share a port")
    return json(_shown(request, core, actor, await workspaces.get(core, actor, ref)))


@routes.post("/sandbox/{sandbox}/last-activity")
async def keep_alive(core: CoreOf, actor: Updater, ref: SandboxRef) -> Response:
    """Count as use, so that it is not taken for idle."""
    found = await workspaces.get(core, actor, ref)
    core.journal.used(found.id, core.clock())
    return Response(status_code=201)


@routes.get("/sandbox/{sandbox}/toolbox-proxy-url")
async def toolbox_url(request: Request, core: CoreOf, actor: Reader, ref: SandboxRef) -> Response:
    await workspaces.get(core, actor, ref)
    return json({"url": f"{base_url(request)}/daytona/toolbox"})


async def _check_source(core: Core, actor: Actor, source: str, asked: CreateSandbox) -> bool:
    """Whether it names a template (else a snapshot). Raises NotFound, and Unsupported for
    another user than the one it has."""
    try:
        user = (await templates.get(core, actor, source)).version.recipe.user
    except NotFound:
        try:
            user = (await snapshots.get(core, actor, source)).spec.user
        except NotFound:
            said = f"snapshot: there is no template and no snapshot of yours named {source[:64]!r}"
            raise NotFound(said) from None
        is_template = False
    else:
        is_template = True
    if asked.user not in (None, "", user):
        raise unsupported("user", f"the user of {source} is {user!r}")
    return is_template


async def _ask(request: Request, core: Core, actor: Actor, ref: str, verb: Verb) -> Response:
    return await _settled(request, core, actor, await verb(core, actor, ref))


async def _change(
    request: Request, core: Core, actor: Actor, ref: str, **change: object
) -> Response:
    asked = _checked(WorkspaceChange, **change)
    changed = await workspaces.update(core, actor, ref, asked)
    return json(_shown(request, core, actor, changed))


def _checked(model: type[Any], **given: object) -> Any:
    """Raises Invalid; pydantic's own error would be taken for a bug."""
    try:
        return model.model_validate(
            {k: v for k, v in given.items() if v is not None or k != "name"}
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{field}: {first['msg']}", [FieldError(field, first["msg"])]) from None


async def _settled(request: Request, core: Core, actor: Actor, workspace: Workspace) -> Response:
    """The sandbox once it is as wanted, or has failed, or when the client would give up."""
    found = await workspaces.wait(core, actor, workspace.id, timeout_s=WAIT_S)
    return json(_shown(request, core, actor, found))


def _shown(request: Request, core: Core, actor: Actor, found: Workspace) -> dict[str, Any]:
    return shapes.sandbox(core, actor, found, base=base_url(request))


def _filters(request: Request) -> WorkspaceFilters:
    """Raises Unsupported for a filter that is not there: it must not answer everything."""
    for name in request.query_params:
        if name not in _FILTERS | _IGNORED:
            raise unsupported(name[:64], "there is no such filter here")
    wanted = {
        word for words in request.query_params.getlist("states") for word in words.split(",")
    }
    known = {state: phase for phase, state in shapes.STATES.items()}
    if unknown := sorted(wanted - known.keys() - {""}):
        said = f"states: no sandbox here is ever {unknown[0][:64]!r}"
        raise Invalid(said, [FieldError("states", said)])
    return WorkspaceFilters(
        phases=[known[state] for state in sorted(wanted) if state],
        labels=_labels(request.query_params.get("labels", "")),
    )


def _labels(said: str) -> dict[str, str]:
    if not said:
        return {}
    try:
        found: object = text.loads(said)
    except ValueError:
        found = None
    if not isinstance(found, dict) or len(said) > 8192:
        raise Invalid("labels: must be a JSON object of texts", [FieldError("labels", "is none")])
    pairs: dict[object, object] = found  # pyright: ignore[reportUnknownVariableType]
    return {str(name): str(value) for name, value in pairs.items()}


def _chosen(request: Request, found: Workspace) -> bool:
    """The filters that are not the database's: prefixes of id and name, the snapshot."""
    query = request.query_params
    made_of = set(query.getlist("snapshots"))
    return (
        found.id.startswith(query.get("id", ""))
        and found.name.startswith(query.get("name", ""))
        and (not made_of or bool(made_of & {found.template, str(found.spec.snapshot)}))
    )
