"""The ports of a sandbox but the agent's: apps that were started inside.

Private unless the sandbox was created with `allowPublicTraffic: true`: then E2B's token for
traffic, or the sandbox's own, goes in a header and stays outside.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from alcove.api.compat.e2b.asking import Origin
from alcove.api.compat.e2b.errors import PortClosed, SandboxGone, response_for
from alcove.api.compat.e2b.metadata import PUBLIC
from alcove.api.compat.e2b.relaying import awake, opens_ports
from alcove.api.compat.e2b.routing import Target
from alcove.api.compat.e2b.shapes import NewSandbox
from alcove.core import envd, ports, snapshots
from alcove.core.app import Core
from alcove.http.context import context_of
from alcove.http.problem import HttpError
from alcove.http.relay import relay
from alcove.http.relay_headers import Inward, inward
from alcove.model.access import Actor
from alcove.model.errors import (
    AlcoveError,
    Conflict,
    Invalid,
    NotFound,
    NotListening,
    Unavailable,
)
from alcove.model.port import Level
from alcove.model.workspace import Workspace

_STAYS: Final = frozenset({b"x-access-token", b"x-api-key"})


async def serve(core: Core, target: Target, scope: Scope, receive: Receive, send: Send) -> None:
    """One request, or one WebSocket, to an app in the sandbox."""
    try:
        await _serve(core, target, scope, receive, send)
    except (AlcoveError, HttpError) as error:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await response_for(error, scope)(scope, receive, send)


async def _serve(core: Core, target: Target, scope: Scope, receive: Receive, send: Send) -> None:
    headers = Headers(scope=scope)
    shown = opens_ports(core, target.sandbox, headers)
    context = context_of(scope)
    try:
        entry = await envd.enter(
            core, target.sandbox, address=context.address, request_id=context.request_id
        )
    except NotFound:
        entry = None
    if not shown and (entry is None or not await _is_open(core, entry.workspace, target.port)):
        said = "this sandbox is private: send its traffic token as e2b-traffic-access-token"
        raise HttpError(401, said)
    if entry is None:
        raise SandboxGone(target.sandbox)
    entry = await awake(core, entry, target.port)
    by = "traffic token" if shown else "public"
    actor = entry.actor if shown else None
    await ports.opened(core, actor, entry.workspace, target.port, address=context.address, by=by)
    told = Inward(
        host=headers.get("host", "localhost").encode("latin-1"),
        strip=_STAYS,
        prefix=target.prefix,
    )
    query = bytes(scope.get("query_string", b"")).decode("latin-1")
    path = _raw(scope, target) + (f"?{query}" if query else "")
    try:
        async with ports.open(core, entry.workspace, target.port) as stream:
            await relay(stream, scope, receive, send, path=path, headers=inward(scope, told))
    except (NotListening, Unavailable, Conflict) as error:
        raise PortClosed(target.sandbox, target.port) from error


async def _is_open(core: Core, workspace: Workspace, port: int) -> bool:
    """Whether its owner opened it to everybody: all of its ports, or this one. A label is set by
    other ways too, so that the bound on sharing is asked for here."""
    if workspace.labels.get(PUBLIC) == "true":
        return ports.too_wide(core, workspace.spec.share_max, Level.PUBLIC) is None
    return await ports.may_open(core, None, workspace, port)


async def check_public(core: Core, actor: Actor, asked: NewSandbox, start: Origin) -> None:
    """Raises Invalid, by the field, for a sandbox that is to be public where ports may not be,
    and NotFound for a template or snapshot that is not there."""
    if asked.network is None or not asked.network.allowPublicTraffic:
        return
    if start.snapshot:
        most = (await snapshots.get(core, actor, start.name)).spec.share_max
    else:
        entry = await core.catalog.entry(
            core.db,
            start.name,
            start.version,
            settings=core.settings,
            capabilities=await core.capabilities(),
            now=core.clock(),
        )
        most = entry.version.recipe.ceilings.share
    if (fault := ports.too_wide(core, most, Level.PUBLIC)) is not None:
        raise Invalid(f"network.allowPublicTraffic: {fault}; leave it out")


def _raw(scope: Scope, target: Target) -> str:
    """The path as it was written; what we decoded must not be encoded anew in another way."""
    raw: bytes = scope.get("raw_path") or str(scope["path"]).encode()
    text = raw.decode("latin-1").partition("?")[0]
    before = f"{scope.get('root_path', '')}{target.prefix}"
    return (text[len(before) :] if text.startswith(before) else text) or "/"
