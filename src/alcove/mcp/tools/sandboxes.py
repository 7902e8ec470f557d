"""Making, finding, pausing and deleting sandboxes."""

import json
from datetime import datetime
from typing import Annotated, Any, Final

import anyio
from pydantic import Field

from alcove.core import identity, workspaces
from alcove.core.bus import workspace_topic
from alcove.core.pages import PageRequest
from alcove.http.body import parse
from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import Sandbox
from alcove.model.access import Permission
from alcove.model.lifecycle import shown_phase
from alcove.model.workspace import Desired, NetworkMode, Phase, Workspace
from alcove.store.workspaces import WorkspaceFilters
from alcove.wire.base import Answer, Branch, Env, Labels, Name, Request, Url
from alcove.wire.workspaces import NewWorkspace, Parameters, SnapshotRef

TEMPLATE: Final = "ai-agent-sandbox"
WAIT_S: Final = 120
POLL_S: Final = 1.0
_STARTING: Final = "starting"
_STILL: Final = frozenset({Phase.FAILED, Phase.DELETED})


class SandboxInfo(Answer):
    id: str
    name: str
    owner: str
    template: str
    phase: str
    """`running` is when it can be worked in."""
    health: str
    """How its start-up went: `starting`, `ok`, or `degraded: …`."""
    reason: str
    isolation: str
    network: str
    repo: str | None
    created_at: datetime
    expires_at: datetime | None
    """When it is deleted, or paused, whatever happens."""


class SandboxList(Answer):
    items: list[SandboxInfo]
    next_cursor: str | None


class CreateArguments(Request):
    template: Annotated[
        Name | None, Field(description=f"From list_templates; {TEMPLATE} when left out.")
    ] = None
    snapshot: Annotated[
        SnapshotRef | None, Field(description="From snapshot_sandbox, instead of a template.")
    ] = None
    name: Annotated[Name | None, Field(description="Made up when left out.")] = None
    parameters: Annotated[
        Parameters | None, Field(description="The template's, as list_templates shows them.")
    ] = None
    repo: Annotated[
        Url | None, Field(description="A Git repository to clone into the home directory.")
    ] = None
    branch: Branch | None = None
    ttl: Annotated[
        str | None,
        Field(
            max_length=16,
            pattern=r"^([0-9]{1,9}[smhd])+$",
            description="How long it lives, such as 30m or 2h; then it is deleted.",
        ),
    ] = None
    env: Annotated[Env | None, Field(description="Environment of everything that runs in it.")] = (
        None
    )
    labels: Annotated[Labels | None, Field(description="To find it by.")] = None
    network: Annotated[
        NetworkMode | None,
        Field(description="none, or open (the public internet) where the template allows it."),
    ] = None
    wait_s: Annotated[
        int, Field(ge=0, le=600, description="How long to wait until it can be worked in.")
    ] = WAIT_S


class ListArguments(Request):
    template: Name | None = None
    labels: Annotated[Labels | None, Field(description="All of them must match.")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[
        str | None, Field(max_length=512, description="next_cursor of the list before.")
    ] = None


class OneArguments(Request):
    sandbox: Sandbox


async def create(use: Use, asked: CreateArguments) -> Result:
    given: dict[str, Any] = asked.model_dump(mode="json", exclude_none=True, exclude={"wait_s"})
    if asked.snapshot is None:
        given.setdefault("template", TEMPLATE)
    if asked.network is not None:
        given["network"] = {"mode": asked.network}
    request = parse(NewWorkspace, json.dumps(given))
    made = await workspaces.create(use.core, use.actor, request)
    if asked.wait_s:
        made = await until_ready(use, made.id, wait_s=asked.wait_s)
    return await shown(use, made)


async def list_(use: Use, asked: ListArguments) -> Result:
    filters = WorkspaceFilters(template=asked.template, labels=asked.labels or {})
    page = PageRequest(asked.limit, asked.cursor)
    found = await workspaces.find(use.core, use.actor, filters, page)
    names = await identity.names(use.core, {workspace.owner for workspace in found.items})
    items = [info_of(workspace, names[workspace.owner]) for workspace in found.items]
    lines = [
        f"{item.name} ({item.id}): {item.phase}, {item.template}, owner {item.owner}"
        for item in items
    ]
    if found.next_cursor:
        lines.append(f"[more: ask again with cursor {found.next_cursor!r}]")
    text = "\n".join(lines) or "There is no sandbox. create_sandbox makes one."
    return Result(text, SandboxList(items=items, next_cursor=found.next_cursor))


async def get(use: Use, asked: OneArguments) -> Result:
    return await shown(use, await workspaces.get(use.core, use.actor, asked.sandbox))


async def pause(use: Use, asked: OneArguments) -> Result:
    found = await workspaces.pause(use.core, use.actor, asked.sandbox)
    return await shown(use, await _settled(use, found))


async def resume(use: Use, asked: OneArguments) -> Result:
    found = await workspaces.resume(use.core, use.actor, asked.sandbox)
    return await shown(use, await _settled(use, found))


async def delete(use: Use, asked: OneArguments) -> Result:
    return await shown(use, await workspaces.delete(use.core, use.actor, asked.sandbox))


async def until_ready(use: Use, id: str, *, wait_s: float) -> Workspace:
    """The sandbox once it can be worked in, or has failed, or when the time is over; telling
    each step on the way."""
    began = anyio.current_time()
    told = ""
    found = await workspaces.get(use.core, use.actor, id)
    with (
        use.core.bus.subscribe(workspace_topic(found.id)) as changes,
        anyio.move_on_after(wait_s),
    ):
        while True:
            found = await workspaces.get(use.core, use.actor, id)
            phase = shown_phase(found)
            ready = phase is Phase.RUNNING and found.health != _STARTING
            gone = phase in _STILL or found.desired is not Desired.RUNNING
            if ready or gone:
                break
            said = f"{phase}: {found.reason}" if found.reason else str(phase)
            if said != told:
                told = said
                await use.progress(anyio.current_time() - began, wait_s, said)
            await changes.wait(POLL_S)
    return found


async def shown(use: Use, found: Workspace) -> Result:
    names = await identity.names(use.core, [found.owner])
    info = info_of(found, names[found.owner])
    lines = [f"Sandbox {info.name} ({info.id}) from {info.template} is {info.phase}."]
    if info.reason:
        lines.append(info.reason)
    if found.phase is Phase.RUNNING:
        lines.append(f"Start-up: {info.health}. Network: {info.network}.")
    elif found.desired is Desired.RUNNING and info.phase != Phase.FAILED:
        lines.append("It is on its way: ask get_sandbox again in a few seconds.")
    if info.expires_at is not None:
        lines.append(f"It ends at {info.expires_at.isoformat(timespec='seconds')}.")
    return Result("\n".join(lines), info)


async def _settled(use: Use, found: Workspace) -> Workspace:
    return await workspaces.wait(use.core, use.actor, found.id, timeout_s=WAIT_S)


def info_of(workspace: Workspace, owner: str) -> SandboxInfo:
    return SandboxInfo(
        id=workspace.id,
        name=workspace.name,
        owner=owner,
        template=workspace.template,
        phase=shown_phase(workspace),
        health=workspace.health,
        reason=workspace.reason,
        isolation=workspace.spec.isolation,
        network=workspace.spec.network,
        repo=workspace.repo,
        created_at=workspace.created_at,
        expires_at=workspace.expires_at,
    )


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="create_sandbox",
        title="Create a sandbox",
        description=(
            "Make a new, isolated Linux machine and wait until it can be worked in. Use it "
            "before anything else, once per task. With repo, the repository is cloned into the "
            "home directory under its own name. Most templates have no network unless network "
            "is open. Answers the sandbox; phase running means ready, failed has the reason. "
            "It is deleted when its ttl is over or it is long unused: keep what matters "
            "elsewhere, with git push or download_file."
        ),
        permission=Permission.WORKSPACE_CREATE,
        arguments=CreateArguments,
        answer=SandboxInfo,
        run=create,
    ),
    Tool(
        name="list_sandboxes",
        title="List sandboxes",
        description=(
            "List the sandboxes that you may see, newest first, at most 100 at a time. Use it "
            "to find one made earlier; deleted ones are not shown."
        ),
        permission=Permission.WORKSPACE_READ,
        arguments=ListArguments,
        answer=SandboxList,
        run=list_,
        reads_only=True,
    ),
    Tool(
        name="get_sandbox",
        title="Look at a sandbox",
        description=(
            "How one sandbox is: its phase and why, how its start-up went, when it ends. Use "
            "it when a call says that the sandbox is not running."
        ),
        permission=Permission.WORKSPACE_READ,
        arguments=OneArguments,
        answer=SandboxInfo,
        run=get,
        reads_only=True,
    ),
    Tool(
        name="pause_sandbox",
        title="Pause a sandbox",
        description=(
            "Freeze a running sandbox: processes stop where they are and use no CPU, and go on "
            "with resume_sandbox. Use it when the work is to go on later. Not every "
            "installation can."
        ),
        permission=Permission.WORKSPACE_UPDATE,
        arguments=OneArguments,
        answer=SandboxInfo,
        run=pause,
        repeatable=True,
    ),
    Tool(
        name="resume_sandbox",
        title="Resume a sandbox",
        description="Let a paused sandbox go on. Its processes continue as if nothing happened.",
        permission=Permission.WORKSPACE_UPDATE,
        arguments=OneArguments,
        answer=SandboxInfo,
        run=resume,
        repeatable=True,
    ),
    Tool(
        name="delete_sandbox",
        title="Delete a sandbox",
        description=(
            "Delete a sandbox with all files and processes in it; this cannot be undone. Use it "
            "when the work is done. Always accepted, in any phase; repeating it is fine."
        ),
        permission=Permission.WORKSPACE_DELETE,
        arguments=OneArguments,
        answer=SandboxInfo,
        run=delete,
        destroys=True,
        repeatable=True,
    ),
)
