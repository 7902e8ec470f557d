"""The pool of a template: what it keeps started, and how many that is to be."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import pools
from alcove.core.app import Core
from alcove.core.pools import PoolState
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import FieldError, Invalid
from alcove.model.pool import (
    REFILL_MAX,
    SIZE_MAX,
    WINDOWS_MAX,
    PoolMode,
    Window,
    read_days,
    write_days,
)
from alcove.model.workspace import Isolation
from alcove.web.contexts import Command, Frame, Link, Tab
from alcove.web.fleet_numbers import hit_rate
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router, see
from alcove.web.templates import tabs_of

routes = router()
Name = Annotated[str, Path(max_length=64)]
Reader = Annotated[Actor, needs(Permission.POOL_READ)]
Writer = Annotated[Actor, needs(Permission.POOL_WRITE)]
NUMBERS: Final = ("min", "max", "refill")
_NOTHING: Final[Mapping[str, str]] = {}
_TIME: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_WINDOW: Final = re.compile(
    rf"(?P<days>[a-z,-]{{3,40}})\s+(?P<begins>{_TIME})\s*[-–]\s*(?P<ends>{_TIME})"
    r"\s+(?P<min>[0-9]{1,5})",
    re.ASCII,
)
_LINE: Final = re.compile(r"schedule\[([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class PoolPage:
    frame: Frame
    tabs: Sequence[Tab]
    name: str
    pool: PoolState
    hits: str
    values: Mapping[str, str]
    errors: Mapping[str, str]
    modes: Sequence[str]
    size_max: int
    refill_max: float
    may_write: bool
    commands: Sequence[Command]


@routes.get("/templates/{name}/pool")
async def show(request: Request, core: CoreOf, actor: Reader, name: Name) -> Response:
    return await _page(request, core, actor, name)


@routes.post("/templates/{name}/pool")
async def put(request: Request, core: CoreOf, actor: Writer, name: Name) -> Response:
    """Of the template's own isolation. What the form leaves out stays as it is."""
    fields = await read_form(request)
    state = await pools.get(core, actor, name, None)
    errors: dict[str, str] = {}
    least, most = _whole("min", fields, errors), _whole("max", fields, errors)
    refill = _number("refill", fields, errors)
    schedule = state.pool.settings.schedule
    try:
        schedule = read_schedule(fields.get("schedule", written(schedule)))
    except ValueError as error:
        errors["schedule"] = str(error)
    mode = {one.value: one for one in PoolMode}.get(fields.get("mode", ""))
    if mode is None:
        errors["mode"] = f"is one of {', '.join(PoolMode)}"
    if not errors and mode is not None:
        wanted = replace(
            state.pool.settings,
            min=least,
            max=most,
            mode=mode,
            schedule=schedule,
            zone=fields.get("zone", "").strip() or state.pool.settings.zone,
            refill_per_s=refill,
        )
        try:
            await pools.put(core, actor, name, _tier(state), wanted)
        except Invalid as error:
            found = error.errors or (FieldError("max", str(error)),)
            errors |= {_field(one.field): _said(one) for one in reversed(found)}
    if errors:
        return await _page(request, core, actor, name, values=fields, errors=errors, status=422)
    return see(f"/templates/{quote(name)}/pool")


@routes.post("/templates/{name}/pool/reset")
async def reset(core: CoreOf, actor: Writer, name: Name) -> Response:
    await pools.reset(core, actor, name, None)
    return see(f"/templates/{quote(name)}/pool")


async def _page(
    request: Request,
    core: Core,
    actor: Actor,
    name: str,
    *,
    values: Mapping[str, str] = _NOTHING,
    errors: Mapping[str, str] = _NOTHING,
    status: int = 200,
) -> Response:
    state = await pools.get(core, actor, name, None)
    settings = state.pool.settings
    here = f"/templates/{quote(name)}"
    known = {
        "min": str(settings.min),
        "max": str(settings.max),
        "mode": settings.mode.value,
        "refill": f"{settings.refill_per_s:g}",
        "schedule": written(settings.schedule),
        "zone": settings.zone,
    }
    crumbs = (Link("Templates", "/templates"), Link(name, here), Link("Pool"))
    context = PoolPage(
        frame=frame_of(request, actor, here="/templates", crumbs=crumbs),
        tabs=tabs_of(name, "pool", actor),
        name=name,
        pool=state,
        hits=hit_rate(state.last_hour.claimed, state.last_hour.missed),
        values={field: values.get(field, known[field]) for field in known},
        errors={field: errors.get(field, "") for field in known},
        modes=[mode.value for mode in PoolMode],
        size_max=SIZE_MAX,
        refill_max=REFILL_MAX,
        may_write=allows(actor, Permission.POOL_WRITE),
        commands=(
            Command(f"alcove pool show {name}"),
            Command(f"alcove pool set {name} --size 5"),
        ),
    )
    return render("pool.html", context, status=status)


def _tier(state: PoolState) -> Isolation:
    return state.pool.isolation


def read_schedule(text: str) -> tuple[Window, ...]:
    """One window in each line: `mon-fri 08:00-18:00 20`. Raises ValueError, naming the line."""
    found: list[Window] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if (said := _WINDOW.fullmatch(line.strip())) is None:
            raise ValueError(f"line {number} is not written like mon-fri 08:00-18:00 20")
        try:
            days = read_days(said["days"])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if int(said["min"]) > SIZE_MAX:
            raise ValueError(f"line {number}: at most {SIZE_MAX} are kept")
        found.append(Window(days, said["begins"], said["ends"], int(said["min"])))
    if len(found) > WINDOWS_MAX:
        raise ValueError(f"has at most {WINDOWS_MAX} lines")
    return tuple(found)


def written(schedule: Sequence[Window]) -> str:
    """As `read_schedule` takes it."""
    lines = (f"{write_days(w.days)} {w.begins}-{w.ends} {w.min}" for w in schedule)
    return "\n".join(lines)


def _field(name: str) -> str:
    for field in ("refill", "schedule"):
        if name.startswith(field):
            return field
    return name


def _said(fault: FieldError) -> str:
    """`schedule[1].min` is in the second line."""
    at = _LINE.match(fault.field)
    return f"line {int(at[1]) + 1}: {fault.message}" if at else fault.message


def _whole(name: str, fields: Mapping[str, str], errors: dict[str, str]) -> int:
    text = fields.get(name, "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= SIZE_MAX:
        return int(text)
    errors[name] = f"is a number from 0 to {SIZE_MAX}"
    return 0


def _number(name: str, fields: Mapping[str, str], errors: dict[str, str]) -> float:
    try:
        number = float(fields.get(name, ""))
    except ValueError:
        number = 0.0
    if 0.1 <= number <= REFILL_MAX:
        return number
    errors[name] = f"is a number from 0.1 to {REFILL_MAX:g}"
    return 0.0
