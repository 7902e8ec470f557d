"""`/server`, and what machines ask: `/healthz`, `/readyz`, `/metrics`."""

import ipaddress
from importlib.metadata import version
from typing import Annotated, Final

import anyio
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf
from alcove.api.routing import Route, router
from alcove.core import access
from alcove.core.app import Core
from alcove.drivers import base as drivers
from alcove.http.access import Need, needs
from alcove.http.context import context_of
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError
from alcove.model.workspace import Isolation
from alcove.store import users as user_rows
from alcove.store import workspaces as workspace_rows
from alcove.wire.server import DriverInfo, Health, Promise, Server

routes = router("server")
open_routes = APIRouter(tags=["server"], route_class=Route)
CHECK_S: Final = 3.0


@routes.get("/server", **documents(Server))
async def server(core: CoreOf, actor: Annotated[Actor, needs(Permission.SERVER_READ)]) -> Response:
    """The version, and what each driver can do here; for what it cannot, why."""
    access.require(actor, Permission.SERVER_READ)
    can = await core.capabilities()
    driver = DriverInfo(
        name=core.driver.name,
        isolation=sorted(can.isolation),
        networks=sorted(can.networks),
        pause=can.pause,
        snapshot=can.snapshot,
        absent=dict(can.absent),
        promises={isolation: _promise(can.promises[isolation]) for isolation in can.promises},
    )
    said = Server(
        version=version("alcove"),
        url=core.settings.url,
        isolation_min=Isolation(core.settings.isolation_min),
        drivers=[driver],
    )
    return answer(said)


@open_routes.get("/healthz", **documents(Health))
async def healthz() -> Response:
    """The process answers."""
    return answer(Health(status="ok", checks={}))


@open_routes.get("/readyz", **documents(Health))
async def readyz(core: CoreOf) -> Response:
    """The database and the driver can be reached."""
    checks = {"database": await _database(core), "driver": await _driver(core)}
    ready = all(said == "ok" for said in checks.values())
    status = "ok" if ready else "unavailable"
    return answer(Health(status=status, checks=checks), 200 if ready else 503)


@open_routes.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text", "content": {"text/plain": {}}}},
)
async def metrics(request: Request, core: CoreOf) -> Response:
    """For Prometheus on this machine, or with a token that has `server:read`."""
    if not _from_this_machine(request):
        actor = await Need(Permission.SERVER_READ)(request)
        access.require(actor, Permission.SERVER_READ)
    async with core.db.read() as tx:
        phases = await workspace_rows.count_by_phase(tx)
    text = core.metrics.render(dict(phases))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _promise(promise: drivers.Promise) -> Promise:
    return Promise(
        pause=promise.pause.value,
        pause_survives_host_restart=promise.pause_survives_host_restart,
        pause_frees_memory=promise.pause_frees_memory,
        snapshot=promise.snapshot.value,
    )


async def _database(core: Core) -> str:
    with anyio.move_on_after(CHECK_S):
        try:
            async with core.db.read() as tx:
                await user_rows.any_exists(tx)
        except AlcoveError as error:
            return str(error)
        return "ok"
    return f"no answer within {CHECK_S:.0f} s"


async def _driver(core: Core) -> str:
    with anyio.move_on_after(CHECK_S):
        try:
            await core.driver.capabilities()
        except AlcoveError as error:
            return str(error)
        return "ok"
    return f"no answer within {CHECK_S:.0f} s"


def _from_this_machine(request: Request) -> bool:
    """A loopback peer that speaks for itself: a proxy's forwarded requests are not that."""
    if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(context_of(request.scope).address).is_loopback
    except ValueError:
        return False
