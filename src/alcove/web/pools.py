"""The pool of a template: what it keeps started, and how many that is to be."""

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
from alcove.model.pool import REFILL_MAX, SIZE_MAX, PoolMode
from alcove.model.workspace import Isolation
from alcove.web.contexts import Command, Frame, Link, Tab
from alcove.web.fleet import hit_rate
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router, see
from alcove.web.templates import tabs_of

routes = router()
Name = Annotated[str, Path(max_length=64)]
Reader = Annotated[Actor, needs(Permission.POOL_READ)]
Writer = Annotated[Actor, needs(Permission.POOL_WRITE)]
NUMBERS: Final = ("min", "max", "refill")
_NOTHING: Final[Mapping[str, str]] = {}


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
    """The template's own isolation. The schedule stays as it is: it is set by command."""
    fields = await read_form(request)
    state = await pools.get(core, actor, name, None)
    errors: dict[str, str] = {}
    least, most = _whole("min", fields, errors), _whole("max", fields, errors)
    refill = _number("refill", fields, errors)
    mode = {one.value: one for one in PoolMode}.get(fields.get("mode", ""))
    if mode is None:
        errors["mode"] = f"is one of {', '.join(PoolMode)}"
    if not errors and mode is not None:
        wanted = replace(state.pool.settings, min=least, max=most, mode=mode, refill_per_s=refill)
        try:
            await pools.put(core, actor, name, _tier(state), wanted)
        except Invalid as error:
            found = error.errors or (FieldError("max", str(error)),)
            errors |= {_field(one.field): one.message for one in found}
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


def _field(name: str) -> str:
    return "refill" if name.startswith("refill") else name


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
