"""The other tabs of a workspace: its logs, its files, its settings; and what one does there."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Path, Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import files, logs, snapshots, templates, workspaces
from alcove.core.app import Core
from alcove.core.files import FileEntry
from alcove.core.logs import LogLine
from alcove.core.pages import PageRequest
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.http.problem import faults_of
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, Conflict, FieldError, Invalid, NotFound
from alcove.model.snapshot import Snapshot
from alcove.model.template import Parameter
from alcove.model.workspace import Phase, Workspace
from alcove.web.contexts import Frame, Tab
from alcove.web.create import Question, question_of, text_of
from alcove.web.frame import served
from alcove.web.listing import Row, rows_of
from alcove.web.pages import CoreOf, Reader, render, router, see
from alcove.web.workspace import Updater, frame_of_workspace, tabs_of
from alcove.wire.snapshots import Fork, NewSnapshot
from alcove.wire.workspaces import WorkspaceChange

routes = router()
Id = Annotated[str, Path(max_length=64)]
FilesUser = Annotated[Actor, needs(Permission.WORKSPACE_FILES)]
Keeper = Annotated[Actor, needs(Permission.SNAPSHOT_WRITE)]
LINES_MAX: Final = 500
ENTRIES_MAX: Final = 2000
SNAPSHOTS_SHOWN: Final = 50
HOME: Final = "~"
_LABEL: Final = re.compile(r"([^=\s]{1,128})=(.*)")


@dataclass(frozen=True, slots=True)
class LogsPage:
    frame: Frame
    workspace: Workspace
    row: Row
    tabs: Sequence[Tab]
    lines: Sequence[LogLine]
    fault: str


@dataclass(frozen=True, slots=True)
class FileLine:
    name: str
    icon: str
    path: str
    """Of the page that lists it, or of the bytes."""
    size: int | None
    modified_at: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class FilesPage:
    frame: Frame
    now: datetime
    workspace: Workspace
    row: Row
    tabs: Sequence[Tab]
    at: str
    above: str
    lines: Sequence[FileLine]
    more: bool
    fault: str


@dataclass(frozen=True, slots=True)
class SettingsPage:
    frame: Frame
    now: datetime
    workspace: Workspace
    row: Row
    tabs: Sequence[Tab]
    values: Mapping[str, str]
    questions: Sequence[Question]
    errors: Mapping[str, str]
    others: Sequence[FieldError]
    kept: Sequence[Snapshot]
    saved: bool


@routes.get("/workspaces/{id}/logs")
async def show_logs(request: Request, core: CoreOf, actor: Reader, id: Id) -> Response:
    workspace = await workspaces.get(core, actor, id)
    fault, lines = "", list[LogLine]()
    try:
        lines = await _last(logs.read(core, actor, workspace.id))
    except AlcoveError as error:
        fault = str(error)
    context = LogsPage(
        frame=frame_of_workspace(request, actor, workspace, "Logs"),
        workspace=workspace,
        row=await _row(request, core, actor, workspace),
        tabs=tabs_of(request, workspace, "Logs"),
        lines=lines,
        fault=fault,
    )
    return render("workspace_logs.html", context)


@routes.get("/workspaces/{id}/files")
async def show_files(
    request: Request,
    core: CoreOf,
    actor: FilesUser,
    id: Id,
    at: Annotated[str, Query(max_length=4096)] = HOME,
) -> Response:
    workspace = await workspaces.get(core, actor, id)
    fault, found = "", list[FileEntry]()
    if workspace.phase is not Phase.RUNNING:
        fault = f"{workspace.name} is {workspace.phase}; its files can be seen while it runs"
    else:
        try:
            found = list(await files.find(core, actor, workspace.id, at))
        except AlcoveError as error:
            fault = str(error)
    found.sort(key=lambda entry: (entry.type != "directory", entry.name.casefold()))
    context = FilesPage(
        frame=frame_of_workspace(request, actor, workspace, "Files"),
        now=core.clock(),
        workspace=workspace,
        row=await _row(request, core, actor, workspace),
        tabs=tabs_of(request, workspace, "Files"),
        at=at,
        above="" if at in {HOME, "/"} else str(PurePosixPath(at).parent),
        lines=[_line(workspace, entry) for entry in found[:ENTRIES_MAX]],
        more=len(found) > ENTRIES_MAX,
        fault=fault,
    )
    return render("workspace_files.html", context)


@routes.get("/workspaces/{id}/settings")
async def show_settings(
    request: Request, core: CoreOf, actor: Reader, id: Id, saved: bool = False
) -> Response:
    workspace = await workspaces.get(core, actor, id)
    return await _settings(request, core, actor, workspace, saved=saved)


@routes.post("/workspaces/{id}/settings")
async def save_settings(request: Request, core: CoreOf, actor: Updater, id: Id) -> Response:
    workspace = await workspaces.get(core, actor, id)
    fields = await read_form(request)
    faults: Sequence[FieldError]
    try:
        change = WorkspaceChange.model_validate(
            await _change(core, actor, workspace, fields), strict=False
        )
        await workspaces.update(core, actor, workspace.id, change)
    except (ValidationError, Invalid) as error:
        faults = faults_of(error)
    except Conflict as error:
        faults = (FieldError("", str(error)),)
    else:
        return see(f"/workspaces/{workspace.id}/settings?saved=1")
    return await _settings(request, core, actor, workspace, fields=fields, faults=faults)


@routes.post("/workspaces/{id}/snapshots")
async def take_snapshot(request: Request, core: CoreOf, actor: Keeper, id: Id) -> Response:
    name = (await read_form(request)).get("name") or None
    try:
        asked = NewSnapshot(name=name)
    except ValidationError as error:
        [fault, *_] = faults_of(error)
        raise Invalid(f"name: {fault.message}", [fault]) from None
    await snapshots.take(core, actor, id, asked)
    return see(f"/workspaces/{id}/settings#snapshots")


@routes.post("/workspaces/{id}/snapshots/{snapshot}/delete")
async def delete_snapshot(core: CoreOf, actor: Keeper, id: Id, snapshot: Id) -> Response:
    await snapshots.delete(core, actor, snapshot)
    return see(f"/workspaces/{id}/settings#snapshots")


@routes.post("/workspaces/{id}/fork")
async def fork(core: CoreOf, actor: Keeper, id: Id) -> Response:
    [made] = await snapshots.fork(core, actor, id, Fork())
    return see(f"/workspaces/{made.id}")


async def _settings(
    request: Request,
    core: Core,
    actor: Actor,
    workspace: Workspace,
    *,
    fields: Mapping[str, str] | None = None,
    faults: Sequence[FieldError] = (),
    saved: bool = False,
) -> Response:
    mutable = await _mutable(core, actor, workspace)
    values = _values(workspace) | dict(fields or {})
    errors = {_field(fault.field): fault.message for fault in reversed(faults)}
    shown = {f"parameters.{one.name}" for one in mutable} | {"name", "labels", "ttl"}
    kept = await snapshots.find(core, actor, PageRequest(SNAPSHOTS_SHOWN), workspace=workspace.id)
    context = SettingsPage(
        frame=frame_of_workspace(request, actor, workspace, "Settings"),
        now=core.clock(),
        workspace=workspace,
        row=await _row(request, core, actor, workspace),
        tabs=tabs_of(request, workspace, "Settings"),
        values=values,
        questions=[
            question_of(one, values, errors.get(f"parameters.{one.name}", "")) for one in mutable
        ],
        errors=errors,
        others=[fault for fault in faults if _field(fault.field) not in shown],
        kept=kept.items,
        saved=saved,
    )
    return render("workspace_settings.html", context, status=422 if faults else 200)


def _values(workspace: Workspace) -> dict[str, str]:
    known = {f"parameters.{k}": text_of(v) for k, v in workspace.parameters.items()}
    labels = "\n".join(f"{key}={value}" for key, value in sorted(workspace.labels.items()))
    return known | {"name": workspace.name, "labels": labels, "ttl": ""}


async def _mutable(core: Core, actor: Actor, workspace: Workspace) -> Sequence[Parameter]:
    try:
        version = await templates.version(
            core, actor, workspace.template, workspace.template_version
        )
    except NotFound:
        return ()
    return [one for one in version.recipe.parameters if one.mutable]


async def _change(
    core: Core, actor: Actor, workspace: Workspace, fields: Mapping[str, str]
) -> dict[str, object]:
    """Only what is another than it was."""
    before, changed = _values(workspace), dict[str, object]()
    if (name := fields.get("name", before["name"])) != before["name"]:
        changed["name"] = name
    labels = re.sub(r"\r\n?", "\n", fields.get("labels", before["labels"])).strip()
    if labels != before["labels"]:
        changed["labels"] = _labels(labels)
    if fields.get("ttl"):
        changed["ttl"] = None if fields["ttl"] == "never" else fields["ttl"]
    given: dict[str, object] = {}
    for one in await _mutable(core, actor, workspace):
        field = f"parameters.{one.name}"
        text = re.sub(r"\r\n?", "\n", fields.get(field, before.get(field, "")))
        if text != before.get(field, ""):
            given[one.name] = _typed(one, text)
    return changed | ({"parameters": given} if given else {})


def _labels(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        pair = _LABEL.fullmatch(line)
        if pair is None:
            said = f"{line[:40]!r} is not written like key=value"
            raise Invalid(f"labels: {said}", [FieldError("labels", said)])
        found[pair[1]] = pair[2]
    return found


def _typed(parameter: Parameter, text: str) -> object:
    """The value of a change has the parameter's type; the rest is checked where it is rendered."""
    match parameter.type:
        case "number":
            try:
                return int(text) if text.lstrip("-").isdecimal() else float(text)
            except ValueError:
                said = f"{text[:40]!r} is not a number"
                field = f"parameters.{parameter.name}"
                raise Invalid(f"{field}: {said}", [FieldError(field, said)]) from None
        case "bool":
            return text == "true"
        case "list":
            return [line for line in text.split("\n") if line]
        case _:
            return text


def _field(name: str) -> str:
    """`labels.team` is said at the field of all labels."""
    return "labels" if name.startswith("labels") else name


def _line(workspace: Workspace, entry: FileEntry) -> FileLine:
    here = f"/workspaces/{workspace.id}/files"
    if entry.type == "directory":
        query = urlencode({"at": entry.path})
        return FileLine(entry.name, "folder", f"{here}?{query}", None, entry.modified_at, "")
    path = ""
    if entry.type == "file":
        path = f"/api/v2{here}?{urlencode({'path': entry.path})}"
    note = f"→ {entry.target}" if entry.target else ""
    return FileLine(entry.name, "file", path, entry.size, entry.modified_at, note)


async def _row(request: Request, core: Core, actor: Actor, workspace: Workspace) -> Row:
    [row] = await rows_of(core, actor, [workspace], pages=served(request))
    return row


async def _last(source: AsyncIterator[LogLine]) -> list[LogLine]:
    """The end of it."""
    found: list[LogLine] = []
    async for line in source:
        found.append(line)
        if len(found) > 2 * LINES_MAX:
            del found[:LINES_MAX]
    return found[-LINES_MAX:]
