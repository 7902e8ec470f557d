"""What commands without a terminal wrote: the list with its search, and one with its output.

Opening one writes down that it was read, before anything of it is sent. What was written is text
here and nothing else: what could move a cursor or turn text round is shown as its number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Final

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import exec_output_reading, identity, recording_reading
from alcove.core.pages import CURSOR_MAX, PageRequest
from alcove.model.access import Permission, allows
from alcove.model.exec_output import ExecOutput, Kept, shown
from alcove.web.contexts import Command, Fact, Frame, Link, Tab
from alcove.web.frame import frame_of, served
from alcove.web.pages import CoreOf, render, router, see
from alcove.web.recording_filters import Asked, Filters
from alcove.web.recordings import CRUMB_MAX, SHOWN, Reader, size_of, tabs_of

routes = router()
HERE: Final = "/recordings/commands"


@dataclass(frozen=True, slots=True)
class Row:
    output: ExecOutput
    workspace: str
    """Its name, or its id when that is all that is known."""
    actor: str
    exit: str
    took_s: float
    size: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One stream. `dropped` is how much of its middle is not kept; empty for none."""

    name: str
    size: str
    head: str
    dropped: str
    tail: str


@dataclass(frozen=True, slots=True)
class OutputsPage:
    frame: Frame
    now: datetime
    tabs: Sequence[Tab]
    rows: Sequence[Row]
    asked: Asked
    next: str
    first: str


@dataclass(frozen=True, slots=True)
class OutputPage:
    frame: Frame
    now: datetime
    row: Row
    facts: Sequence[Fact]
    streams: Sequence[Shown]
    commands: Sequence[Command]
    intact: bool
    may_delete: bool


@routes.get(HERE)
async def find(
    request: Request,
    core: CoreOf,
    actor: Reader,
    filters: Filters,
    cursor: Annotated[str | None, Query(max_length=CURSOR_MAX)] = None,
) -> Response:
    asked = replace(filters, kind="", base=HERE)
    found = await exec_output_reading.find(core, actor, PageRequest(SHOWN, cursor), asked.wanted())
    users = await identity.names(core, {one.actor for one in found.items})
    workspaces = await recording_reading.workspace_names(core, found.items)
    crumbs = (Link("Recordings", "/recordings"), Link("Commands"))
    context = OutputsPage(
        frame=frame_of(request, actor, here="/recordings", crumbs=crumbs),
        now=core.clock(),
        tabs=tabs_of(HERE),
        rows=[_row(one, users, workspaces) for one in found.items],
        asked=asked,
        next="" if found.next_cursor is None else asked.path(cursor=found.next_cursor),
        first="" if cursor is None else asked.path(),
    )
    return render("exec_outputs.html", context)


@routes.get(HERE + "/{output}")
async def get(
    request: Request,
    core: CoreOf,
    actor: Reader,
    id: Annotated[str, Path(alias="output", max_length=64)],
) -> Response:
    found = await exec_output_reading.read(core, actor, id)
    one = found.output
    users = await identity.names(core, {one.actor, one.owner})
    row = _row(one, users, await recording_reading.workspace_names(core, [one]))
    title = one.command if len(one.command) <= CRUMB_MAX else f"{one.command[:CRUMB_MAX]}…"
    crumbs = (Link("Recordings", "/recordings"), Link("Commands", HERE), Link(title))
    streams = (_shown("stdout", one.stdout), _shown("stderr", one.stderr))
    context = OutputPage(
        frame=frame_of(request, actor, here="/recordings", crumbs=crumbs),
        now=core.clock(),
        row=row,
        facts=_facts(row, users[one.owner], known="/workspaces/{id}" in served(request)),
        streams=[stream for stream in streams if stream.size != "0 B"],
        commands=(Command(f"alcove exec-outputs show {one.id}", "Show in a terminal"),),
        intact=found.intact,
        may_delete=allows(actor, Permission.SERVER_OPERATE),
    )
    return render("exec_output.html", context)


@routes.post(HERE + "/{output}/delete")
async def delete(
    core: CoreOf, actor: Reader, id: Annotated[str, Path(alias="output", max_length=64)]
) -> Response:
    await exec_output_reading.delete(core, actor, id)
    return see(HERE)


def _row(one: ExecOutput, users: Mapping[str, str], workspaces: Mapping[str, str]) -> Row:
    return Row(
        output=one,
        workspace=workspaces.get(one.workspace, one.workspace),
        actor=users[one.actor],
        exit="left" if one.exit_code is None else str(one.exit_code),
        took_s=one.duration_ms / 1000,
        size=size_of(one.stdout.size + one.stderr.size),
    )


def _shown(name: str, kept: Kept) -> Shown:
    dropped = size_of(kept.dropped) if kept.dropped else ""
    return Shown(name, size_of(kept.size), shown(kept.head), dropped, shown(kept.tail))


def _facts(row: Row, owner: str, *, known: bool) -> Sequence[Fact]:
    one = row.output
    path = f"/workspaces/{one.workspace}" if known and row.workspace != one.workspace else ""
    found = [
        Fact("Command", one.command, mono=True),
        Fact("Workspace", row.workspace, path=path),
        Fact("Owner", owner),
        Fact("Run by", row.actor),
        Fact("Exit code", "its caller went away" if one.exit_code is None else row.exit),
        Fact("Took", f"{one.duration_ms:.0f} ms"),
        Fact("Ended", at=one.at),
    ]
    if one.expires_at is not None:
        found.append(Fact("Kept until", at=one.expires_at))
    found.append(Fact("Digest", one.digest, mono=True))
    return found
