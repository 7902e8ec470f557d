"""The fleet: the numbers that matter, and who runs what. Nothing needs a second page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import fleet
from alcove.core.fleet import Fleet
from alcove.http.access import needs
from alcove.model.access import Actor, Permission
from alcove.web.contexts import Chip, Command, Frame, Link
from alcove.web.fleet_numbers import Numbers, numbers_of
from alcove.web.fleet_rows import KINDS, STATES, Asked, Rows, asked_for, rows_of
from alcove.web.frame import frame_of
from alcove.web.live_sessions import Connections, Place, connections
from alcove.web.pages import CoreOf, render, router

routes = router()
Reader = Annotated[Actor, needs(Permission.AUDIT_READ)]
Filters = Annotated[Asked, Depends(asked_for)]


@dataclass(frozen=True, slots=True)
class NumbersPart:
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class RowsPart:
    rows: Rows


@dataclass(frozen=True, slots=True)
class FleetPage:
    frame: Frame
    asked: Asked
    numbers: Numbers
    rows: Rows
    live: Connections
    chips: Sequence[Chip]
    commands: Sequence[Command]


@routes.get("/fleet")
async def show(request: Request, core: CoreOf, actor: Reader, asked: Filters) -> Response:
    seen = await fleet.look_at(core, actor)
    context = FleetPage(
        frame=frame_of(request, actor, here="/fleet", crumbs=(Link("Fleet"),)),
        asked=asked,
        numbers=numbers_of(seen),
        rows=await rows_of(core, actor, asked),
        live=await connections(core, actor, Place.FLEET),
        chips=_chips(asked, seen),
        commands=(Command("alcove list --all"), Command("alcove events -f")),
    )
    return render("fleet.html", context)


@routes.get("/fleet/numbers")
async def numbers(core: CoreOf, actor: Reader) -> Response:
    return render("fleet_numbers.html", NumbersPart(numbers_of(await fleet.look_at(core, actor))))


@routes.get("/fleet/rows")
async def rows(core: CoreOf, actor: Reader, asked: Filters) -> Response:
    return render("fleet_rows.html", RowsPart(await rows_of(core, actor, asked)))


def _chips(asked: Asked, seen: Fleet) -> Sequence[Chip]:
    """Each turns its filter on, or off again."""
    found = [
        Chip(
            name.capitalize(),
            asked.path(state="" if asked.state == name else name),
            on=asked.state == name,
            count=sum(seen.phases.get(phase, 0) for phase in phases),
        )
        for name, phases in STATES.items()
    ]
    found += [
        Chip(
            f"Of {name}",
            asked.path(kind="" if asked.kind == name else name),
            on=asked.kind == name,
        )
        for name in KINDS
    ]
    for name in ("owner", "template", "isolation"):
        if value := getattr(asked, name):
            found.append(Chip(f"{name.capitalize()} {value}", asked.path(**{name: ""}), on=True))
    return found
