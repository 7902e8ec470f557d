"""From a request on the wire to what `recipes.render` asks for, with the operator's ceilings."""

from collections.abc import Mapping
from functools import lru_cache

from alcove.config import Settings
from alcove.drivers.base import Capabilities, Keeps
from alcove.model.errors import Unsupported
from alcove.model.identity import User
from alcove.model.template import Ceilings, Recipe
from alcove.model.units import parse_duration, parse_size_mib
from alcove.model.workspace import Isolation, Lifetime, OnExpiry, OnIdle, Spec
from alcove.recipes.render import Rendered, RenderRequest, render
from alcove.wire.workspaces import NewWorkspace


def rendered(
    recipe: Recipe,
    request: NewWorkspace,
    *,
    name: str,
    owner: User,
    settings: Settings,
    parameters: Mapping[str, object] | None = None,
) -> Rendered:
    """Raises Invalid. `parameters`, when given, replace the request's."""
    resources = request.resources
    texts = request.rich_parameters is not None and parameters is None
    given = request.rich_parameters if texts else (parameters or request.parameters or {})
    ttl_s = request.ttl
    if request.ttl_hours is not None:
        ttl_s = round(request.ttl_hours * 3600)
    cpu = resources.cpu if resources else None
    return render(
        recipe,
        RenderRequest(
            name=name,
            parameters=dict(given or {}),
            strings=texts,
            env=request.env or {},
            repo=request.repo,
            branch=request.branch,
            ttl_s=ttl_s,
            ephemeral=request.ephemeral,
            isolation=request.isolation,
            network=request.network.mode if request.network else None,
            cpu_millis=None if cpu is None else round(cpu * 1000),
            pids=resources.pids if resources else None,
            files=request.files or {},
            on_expiry=request.on_expiry,
            on_idle=request.on_idle,
            idle_stop_s=request.idle_stop,
            auto_resume=request.auto_resume,
            owner_name=owner.display_name or owner.name,
            owner_email=owner.email,
            memory_mib=_mib(resources.memory if resources else None),
            disk_mib=_mib(resources.disk if resources else None),
        ),
        operator=operator_ceilings(settings),
    )


@lru_cache(maxsize=4)
def operator_ceilings(settings: Settings) -> Ceilings:
    return Ceilings(
        cpu_millis=settings.cpu_max * 1000,
        memory_mib=parse_size_mib(settings.memory_max),
        disk_mib=parse_size_mib(settings.disk_max),
        pids=None,
        ttl_s=parse_duration(settings.ttl_max),
    )


def check_offered(spec: Spec, capabilities: Capabilities, *, driver: str) -> None:
    """Raises Unsupported, with the driver's reason, for what it cannot do. Never a downgrade."""
    for asked, offered in (
        (spec.isolation, capabilities.isolation),
        (spec.network, capabilities.networks),
    ):
        if asked not in offered:
            default = f"the driver {driver} does not offer {asked} here"
            raise Unsupported(f"{asked}: {capabilities.absent.get(asked, default)}")


def check_promised(spec: Spec, lifetime: Lifetime, capabilities: Capabilities) -> None:
    """Raises Unsupported for a pause that its isolation does not keep anything over."""
    asked = [
        field
        for field, pauses in (
            ("on_expiry", lifetime.on_expiry is OnExpiry.PAUSE),
            ("on_idle", lifetime.on_idle is OnIdle.PAUSE),
        )
        if pauses
    ]
    if asked and (why := why_no_pause(spec.isolation, capabilities)):
        raise Unsupported(f"{asked[0]}: {why}")


def why_no_pause(isolation: Isolation, capabilities: Capabilities) -> str | None:
    """None if it can be paused here."""
    promise = capabilities.promises.get(isolation)
    if capabilities.pause and (promise is None or promise.pause is not Keeps.NOTHING):
        return None
    default = f"isolation {isolation} cannot be paused here; stop it instead"
    return capabilities.absent.get("pause", default)


def _mib(size: str | None) -> int | None:
    return None if size is None else parse_size_mib(size)
