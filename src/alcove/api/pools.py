"""`/pools`: how many workspaces wait for whoever comes, and setting that."""

from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf
from alcove.api.routing import router
from alcove.core import pools
from alcove.core.pools import PoolState
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid
from alcove.model.pool import REFILL, PoolMode, PoolSettings, Window, read_days, write_days
from alcove.model.workspace import Isolation
from alcove.wire.base import Page
from alcove.wire.pools import NewPool, NewWindow, Pool, PoolHour, PoolWindow

routes = router("pools")
Reader = Annotated[Actor, needs(Permission.POOL_READ)]
Writer = Annotated[Actor, needs(Permission.POOL_WRITE)]
Template = Annotated[str, Path(max_length=64)]
Tier = Annotated[Isolation | None, Query(description="Default: the template's own.")]


@routes.get("/pools", **documents(Page[Pool]))
async def find(core: CoreOf, actor: Reader) -> Response:
    """All pools, with what they have, are to have, and why they have less."""
    found = await pools.find(core, actor)
    return answer(Page[Pool](items=[present(state) for state in found], next_cursor=None))


@routes.get("/pools/{template}", **documents(Pool, 404))
async def get(core: CoreOf, actor: Reader, template: Template, isolation: Tier = None) -> Response:
    """The pool of a template."""
    return answer(present(await pools.get(core, actor, template, isolation)))


@routes.put("/pools/{template}", **documents(Pool, 400, 404, 413, 415))
async def put(
    core: CoreOf, actor: Writer, template: Template, new: Annotated[NewPool, body(NewPool)]
) -> Response:
    """Set what a template's pool keeps, over what the template says; 0 is no pool."""
    return answer(present(await pools.put(core, actor, template, new.isolation, settings_of(new))))


@routes.delete("/pools/{template}", **documents(Pool, 404))
async def reset(
    core: CoreOf, actor: Writer, template: Template, isolation: Tier = None
) -> Response:
    """Let the template decide again."""
    return answer(present(await pools.reset(core, actor, template, isolation)))


def settings_of(new: NewPool) -> PoolSettings:
    """Raises Invalid for days that are none."""
    windows = tuple(_window(window, at) for at, window in enumerate(new.schedule))
    if new.size is not None:
        least, most = new.size, max([new.size, *(window.min for window in windows)])
        mode = PoolMode.FIXED
    else:
        least, most = new.min or 0, new.max or 0
        mode = new.mode or (PoolMode.ADAPTIVE if most > least else PoolMode.FIXED)
    return PoolSettings(
        min=least,
        max=most,
        mode=mode,
        schedule=windows,
        zone=new.zone,
        refill_per_s=new.refill_per_second or REFILL,
    )


def present(state: PoolState) -> Pool:
    pool, settings = state.pool, state.pool.settings
    return Pool(
        template=pool.template,
        version=pool.version,
        isolation=pool.isolation,
        mode=settings.mode,
        min=settings.min,
        max=settings.max,
        schedule=[
            PoolWindow.model_validate(
                {"days": write_days(w.days), "from": w.begins, "to": w.ends, "min": w.min}
            )
            for w in settings.schedule
        ],
        zone=settings.zone,
        refill_per_second=settings.refill_per_s,
        set_by="template" if pool.own else "operator",
        wanted=state.wanted,
        ready=state.ready,
        starting=state.starting,
        failed=state.failed,
        draining=state.draining,
        why=state.why,
        last_hour=PoolHour(claimed=state.last_hour.claimed, missed=state.last_hour.missed),
    )


def _window(window: NewWindow, at: int) -> Window:
    try:
        days = read_days(window.days)
    except ValueError as error:
        name = f"schedule[{at}].days"
        raise Invalid(f"{name}: {error}", [FieldError(name, str(error))]) from None
    return Window(days, window.from_, window.to, window.min)
