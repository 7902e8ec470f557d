"""Recordings of terminals: the list with its search, and one to be replayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import identity, recording_reading
from alcove.core.pages import CURSOR_MAX, PageRequest
from alcove.http.access import needs
from alcove.model.access import Actor, Permission, allows
from alcove.model.recording import Recording, RecordingState, SessionKind
from alcove.web.contexts import Badge, Chip, Command, Fact, Frame, Link, Tab
from alcove.web.frame import frame_of, served
from alcove.web.pages import CoreOf, render, router, see
from alcove.web.recording_filters import Asked, Filters

routes = router()
Reader = Annotated[Actor, needs(Permission.RECORDING_READ)]
SHOWN: Final = 50
CRUMB_MAX: Final = 40
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""That of all pages, and leave for the player to run its terminal, which is WebAssembly."""
_BADGES: Final = {
    RecordingState.RECORDING: Badge("live", "full", "red"),
    RecordingState.FINISHED: Badge("complete", "ring", "grey"),
    RecordingState.FAILED: Badge("cut short", "triangle", "amber"),
    RecordingState.LOST: Badge("interrupted", "question", "amber"),
}
_KINDS: Final = {
    SessionKind.EXEC: "Command",
    SessionKind.SSH: "SSH",
    SessionKind.TERMINAL: "Web terminal",
}
assert _BADGES.keys() == frozenset(RecordingState)
assert _KINDS.keys() == frozenset(SessionKind)


@dataclass(frozen=True, slots=True)
class Row:
    recording: Recording
    badge: Badge
    kind: str
    title: str
    workspace: str
    """Its name, or its id when that is all that is known."""
    actor: str
    length_s: float
    size: str


@dataclass(frozen=True, slots=True)
class RecordingsPage:
    frame: Frame
    now: datetime
    tabs: Sequence[Tab]
    rows: Sequence[Row]
    asked: Asked
    kinds: Sequence[Chip]
    here: str
    live: bool
    next: str
    first: str


@dataclass(frozen=True, slots=True)
class RecordingPage:
    frame: Frame
    now: datetime
    row: Row
    facts: Sequence[Fact]
    commands: Sequence[Command]
    api: str
    """Where its bytes and its commands are."""
    live: bool
    may_delete: bool


@routes.get("/recordings")
async def find(
    request: Request,
    core: CoreOf,
    actor: Reader,
    asked: Filters,
    cursor: Annotated[str | None, Query(max_length=CURSOR_MAX)] = None,
) -> Response:
    found = await recording_reading.find(core, actor, PageRequest(SHOWN, cursor), asked.wanted())
    users = await identity.names(core, {one.actor for one in found.items})
    workspaces = await recording_reading.workspace_names(core, found.items)
    now = core.clock()
    rows = [_row(one, users, workspaces, now) for one in found.items]
    context = RecordingsPage(
        frame=frame_of(request, actor, here="/recordings", crumbs=(Link("Recordings"),)),
        now=now,
        tabs=tabs_of("/recordings"),
        rows=rows,
        asked=asked,
        kinds=[
            Chip(
                name, asked.path(kind="" if asked.kind == key else str(key)), on=asked.kind == key
            )
            for key, name in _KINDS.items()
        ],
        here=asked.path() if cursor is None else asked.path(cursor=cursor),
        live=any(row.recording.state is RecordingState.RECORDING for row in rows) and not asked.q,
        next="" if found.next_cursor is None else asked.path(cursor=found.next_cursor),
        first="" if cursor is None else asked.path(),
    )
    return render("recordings.html", context)


@routes.get("/recordings/{recording}")
async def get(
    request: Request,
    core: CoreOf,
    actor: Reader,
    id: Annotated[str, Path(alias="recording", max_length=64)],
) -> Response:
    """What was shown comes from the API, which writes down that it was read."""
    found = await recording_reading.get(core, actor, id)
    users = await identity.names(core, {found.actor, found.owner})
    workspaces = await recording_reading.workspace_names(core, [found])
    now = core.clock()
    row = _row(found, users, workspaces, now)
    live = found.state is RecordingState.RECORDING
    context = RecordingPage(
        frame=frame_of(
            request,
            actor,
            here="/recordings",
            crumbs=(
                Link("Recordings", "/recordings"),
                Link(row.title if len(row.title) <= CRUMB_MAX else f"{row.title[:CRUMB_MAX]}…"),
            ),
        ),
        now=now,
        row=row,
        facts=_facts(row, users[found.owner], known="/workspaces/{id}" in served(request)),
        commands=(
            Command(f"alcove recordings play {found.id}", "Replay in a terminal"),
            Command(f"alcove recordings verify {found.id}", "Check it"),
        ),
        api=f"/api/v2/recordings/{found.id}",
        live=live,
        may_delete=not live and allows(actor, Permission.SERVER_OPERATE),
    )
    page = render("recording.html", context)
    page.headers["content-security-policy"] = POLICY
    return page


@routes.post("/recordings/{recording}/delete")
async def delete(
    core: CoreOf, actor: Reader, id: Annotated[str, Path(alias="recording", max_length=64)]
) -> Response:
    await recording_reading.delete(core, actor, id)
    return see("/recordings")


def _row(
    one: Recording, users: Mapping[str, str], workspaces: Mapping[str, str], now: datetime
) -> Row:
    return Row(
        recording=one,
        badge=_BADGES[one.state],
        kind=_KINDS[one.kind],
        title=one.title or _KINDS[one.kind],
        workspace=workspaces.get(one.workspace, one.workspace),
        actor=users[one.actor],
        length_s=max(0.0, ((one.ended_at or now) - one.started_at).total_seconds()),
        size=size_of(one.size),
    )


def _facts(row: Row, owner: str, *, known: bool) -> Sequence[Fact]:
    one = row.recording
    path = f"/workspaces/{one.workspace}" if known and row.workspace != one.workspace else ""
    found = [
        Fact("Command" if one.kind is SessionKind.EXEC else "Title", row.title, mono=True),
        Fact("Workspace", row.workspace, path=path),
        Fact("Owner", owner),
        Fact("At the terminal", row.actor),
        Fact("By", row.kind),
        Fact("Began", at=one.started_at),
        Fact("Window", f"{one.columns} × {one.rows} as it began"),
        Fact("Size", row.size),
    ]
    if one.exit_code is not None:
        found.append(Fact("Exit code", str(one.exit_code)))
    if one.expires_at is not None:
        found.append(Fact("Kept until", at=one.expires_at))
    if one.digest:
        found.append(Fact("Chain ends with", one.digest, mono=True))
    found.append(Fact("Kept by", one.server, mono=True))
    return found


def tabs_of(here: str) -> Sequence[Tab]:
    """What is kept of terminals, and of commands without one."""
    parts = (("Terminals", "/recordings"), ("Commands", "/recordings/commands"))
    return [Tab(name, path, here=path == here) for name, path in parts]


def size_of(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"
