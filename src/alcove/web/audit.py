"""The log reader: who did what to what, from where; as it happens, or long ago.

Auditors and operators see all of it; members what is theirs and what they did.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from alcove.core import events, identity
from alcove.core.app import Core
from alcove.http.access import needs
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import FieldError, Invalid
from alcove.model.event import Event, EventKind
from alcove.store.events import EventFilters
from alcove.web import audit_export
from alcove.web.addresses import filtered
from alcove.web.contexts import Chip, Command, Frame, Link
from alcove.web.frame import frame_of
from alcove.web.live import NOUNS
from alcove.web.pages import CoreOf, render, router

routes = router()
Reader = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
Text = Annotated[str, Query(max_length=128)]
SHOWN: Final = 100
BAD_TIME: Final = "is no moment such as 2026-01-31 or 2026-01-31T14:30 (UTC)"
SUMMARY_MAX: Final = 160
_QUIET: Final = frozenset({"name", "truncated"})
_BAD: Final = ("failed", "refused", "denied")


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters as they stand in the address."""

    type: str = ""
    actor: str = ""
    owner: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""
    q: str = ""

    def path(self, base: str = "/audit", **changed: object) -> str:
        known = {**asdict(self), **changed}
        return filtered(base, known)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, in a line and in full."""

    seq: int
    at: datetime
    kind: str
    bad: bool
    actor: str
    actor_path: str
    name: str
    """Of what it is about, or its id."""
    subject: str
    subject_path: str
    """Where that is shown; empty when nowhere."""
    only_path: str
    """The log of this one thing."""
    owner: str
    summary: str
    address: str
    request_id: str
    detail: str
    """All that is told, as JSON."""


@dataclass(frozen=True, slots=True)
class List:
    """The part that looks again as things happen."""

    now: datetime
    entries: Sequence[Entry]
    here: str
    live: bool
    nouns: str
    next: str
    first: str
    searched_to: int | None
    """Below which number was not looked yet, when words are looked for."""


@dataclass(frozen=True, slots=True)
class ListPart:
    list: List


@dataclass(frozen=True, slots=True)
class AuditPage:
    frame: Frame
    asked: Asked
    list: List
    kinds: Sequence[str]
    chips: Sequence[Chip]
    errors: Mapping[str, str]
    everything: bool
    """Its reader sees what everybody does."""
    exports: Sequence[Link]
    export_max: int
    commands: Sequence[Command]


async def asked_for(
    type: Text = "",
    actor: Text = "",
    owner: Text = "",
    subject: Text = "",
    since: Text = "",
    until: Text = "",
    q: Text = "",
) -> Asked:
    return Asked(*(text.strip() for text in (type, actor, owner, subject, since, until, q)))


Filters = Annotated[Asked, Depends(asked_for)]
Before = Annotated[int | None, Query(ge=1, le=2**53)]


@routes.get("/audit")
async def show(
    request: Request, core: CoreOf, actor: Reader, asked: Filters, before: Before = None
) -> Response:
    errors = {"since": "", "until": ""}
    found = List(core.clock(), (), asked.path(), False, "", "", "", None)
    try:
        found = await _list(core, actor, asked, before)
    except Invalid as error:
        errors |= {one.field: one.message for one in error.errors}
    context = AuditPage(
        frame=frame_of(request, actor, here="/audit", crumbs=(Link("Audit"),)),
        asked=asked,
        list=found,
        kinds=[*sorted({f"{k.partition('.')[0]}.*" for k in EventKind}), *EventKind],
        chips=_chips(asked),
        errors=errors,
        everything=allows(actor, Permission.AUDIT_READ),
        exports=[
            Link("JSON lines", asked.path("/audit/export", format="jsonl")),
            Link("CSV", asked.path("/audit/export", format="csv")),
        ],
        export_max=events.EXPORT_MAX,
        commands=(Command(_command(asked)),),
    )
    return render("audit.html", context, status=422 if any(errors.values()) else 200)


@routes.get("/audit/list")
async def entries(core: CoreOf, actor: Reader, asked: Filters, before: Before = None) -> Response:
    return render("audit_list.html", ListPart(await _list(core, actor, asked, before)))


@routes.get("/audit/export")
async def export(
    core: CoreOf,
    actor: Reader,
    asked: Filters,
    format: Annotated[str, Query(pattern="^(csv|jsonl)$")] = "jsonl",
) -> Response:
    """A file of what the filters find, newest first, while it is read; bounded."""
    filters = await _filters(core, actor, asked)
    if filters is None:
        filters = EventFilters(kinds=["nothing"])
    write = audit_export.csv_lines if format == "csv" else audit_export.json_lines
    media = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    stamp = f"{core.clock():%Y%m%dT%H%M%SZ}"
    name = f"alcove-audit-{stamp}.{format}"
    return StreamingResponse(
        write(core, actor, events.export(core, actor, filters=filters)),
        media_type=media,
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


async def _list(core: Core, actor: Actor, asked: Asked, before: int | None) -> List:
    filters = await _filters(core, actor, asked)
    if filters is None:
        found = events.EventPage((), None)
    else:
        found = await events.page(core, actor, filters=filters, before=before, limit=SHOWN)
    names = await identity.names(
        core,
        {event.actor for event in found.items}
        | {event.owner for event in found.items if event.owner},
    )
    searched = found.before if asked.q and len(found.items) < SHOWN else None
    return List(
        now=core.clock(),
        entries=[_entry(event, names, asked) for event in found.items],
        here=asked.path("/audit/list", before=before or ""),
        live=before is None and not asked.until,
        nouns=" ".join(sorted(NOUNS)),
        next="" if found.before is None else asked.path(before=found.before),
        first="" if before is None else asked.path(),
        searched_to=searched,
    )


async def _filters(core: Core, actor: Actor, asked: Asked) -> EventFilters | None:
    """None: somebody is named whom the reader does not know. Raises Invalid for a time."""
    ids: list[str | None] = []
    for name in (asked.actor, asked.owner):
        id = await events.user_id(core, actor, name) if name else None
        if name and id is None:
            return None
        ids.append(id)
    return EventFilters(
        kinds=[asked.type] if asked.type else (),
        actor=ids[0],
        owner=ids[1],
        subject=asked.subject or None,
        since=_moment("since", asked.since),
        until=_moment("until", asked.until),
        text=asked.q or None,
    )


def _moment(field: str, text: str) -> datetime | None:
    """UTC unless it says otherwise. Raises Invalid."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{field}: {BAD_TIME}", [FieldError(field, BAD_TIME)]) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _entry(event: Event, names: Mapping[str, str], asked: Asked) -> Entry:
    detail = event.detail
    return Entry(
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        bad=event.kind.endswith(_BAD),
        actor=names[event.actor],
        actor_path=asked.path(actor=names[event.actor]),
        name=str(detail.get("name") or detail.get("template") or event.subject)[:SUMMARY_MAX],
        subject=event.subject,
        subject_path=_place(event, names),
        only_path=asked.path(subject=event.subject),
        owner="" if event.owner is None else names[event.owner],
        summary=summary(detail),
        address=event.address,
        request_id=event.request_id,
        detail=json.dumps(dict(detail), indent=2, ensure_ascii=False, default=str),
    )


def summary(detail: Mapping[str, object]) -> str:
    """What is told, in a line: the reason or the step first."""
    parts: list[str] = []
    if "to" in detail:
        parts.append(f"{detail.get('from', '?')} → {detail['to']}")
    for name, value in detail.items():
        if name in _QUIET or name in {"from", "to"} or value in (None, "", [], {}):
            continue
        text = str(value) if isinstance(value, str | int | float) else json.dumps(value)
        parts.append(text if name in {"reason", "error", "command"} else f"{name} {text}")
    line = ", ".join(parts)
    return line if len(line) <= SUMMARY_MAX else f"{line[:SUMMARY_MAX]}…"


def _place(event: Event, names: Mapping[str, str]) -> str:
    subject = event.subject
    if subject.startswith("ws-"):
        return f"/workspaces/{subject}"
    if subject.startswith(("template:", "pool:")):
        return f"/templates/{subject.partition(':')[2]}"
    if event.kind.startswith("user.") and event.owner is not None:
        return f"/people/{names[event.owner]}"
    return ""


def _chips(asked: Asked) -> Sequence[Chip]:
    """The filters that hold, each to be taken off."""
    words = {
        "type": "Type",
        "actor": "By",
        "owner": "Owned by",
        "subject": "About",
        "since": "Since",
        "until": "Until",
        "q": "Says",
    }
    return [
        Chip(f"{word} {value} ✕", asked.path(**{name: ""}), on=True)
        for name, word in words.items()
        if (value := getattr(asked, name))
    ]


def _command(asked: Asked) -> str:
    """What does the same from a terminal, as far as it does."""
    flags = {
        "--type": asked.type,
        "--actor": asked.actor,
        "--since": asked.since,
        "--until": asked.until,
    }
    said = [f"{flag} {shlex.quote(value)}" for flag, value in flags.items() if value]
    return " ".join(["alcove events", *said, *([] if asked.since or asked.until else ["-f"])])
