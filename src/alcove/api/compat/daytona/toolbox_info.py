"""Small things of a sandbox: its directories, its ports, what it uses now."""

from importlib.metadata import version
from typing import Annotated, Any, Final, TypeAlias

import anyio
from fastapi import Path
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona import shapes
from alcove.api.compat.daytona.routing import TOOLBOX, SandboxRef, json, router
from alcove.core import access, tagged
from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.core.waking import entered
from alcove.http.access import needs
from alcove.model.access import Actor, Permission

routes = router(TOOLBOX + "/{sandbox}")
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
Reader: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_READ)]
SAMPLE_S: Final = 0.2
_MIB: Final = 1 << 20


@routes.get("/user-home-dir")
async def home(core: CoreOf, actor: Runner, ref: SandboxRef) -> Response:
    return json({"dir": await _said(core, actor, ref, 'printf %s "$HOME"')})


@routes.get("/work-dir")
async def work_dir(core: CoreOf, actor: Runner, ref: SandboxRef) -> Response:
    return json({"dir": await _said(core, actor, ref, "pwd")})


@routes.get("/project-dir")
async def project_dir(core: CoreOf, actor: Runner, ref: SandboxRef) -> Response:
    """As older clients call it."""
    return json({"dir": await _said(core, actor, ref, "pwd")})


@routes.get("/version")
async def daemon_version(core: CoreOf, actor: Reader, ref: SandboxRef) -> Response:
    await access.workspace(core, actor, ref, Permission.WORKSPACE_READ)
    return json({"version": version("alcove")})


@routes.get("/port")
async def ports(core: CoreOf, actor: Reader, ref: SandboxRef) -> Response:
    """TCP ports that something listens on."""
    return json({"ports": await _ports(core, actor, ref)})


@routes.get("/port/{port}/in-use")
async def in_use(
    core: CoreOf, actor: Reader, ref: SandboxRef, port: Annotated[int, Path(ge=1, le=65535)]
) -> Response:
    return json({"isInUse": port in await _ports(core, actor, ref)})


@routes.get("/system/metrics")
async def metrics(core: CoreOf, actor: Reader, ref: SandboxRef) -> Response:
    """What it uses now; the share of the CPU over a fifth of a second."""
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_READ)
    reach = Reach.of(workspace)
    before = await core.agents.stats(reach)
    await anyio.sleep(SAMPLE_S)
    after = await core.agents.stats(reach)
    resources = workspace.spec.resources
    memory: dict[str, Any] = after.get("memory") or {}
    disk: dict[str, Any] = after.get("disk") or {}
    cores = max(1, -(-resources.cpu_millis // 1000))
    used_usec = int(after.get("cpu_usec") or 0) - int(before.get("cpu_usec") or 0)
    now = core.clock()
    return json(
        {
            "cpuCount": cores,
            "cpuUsedPct": round(max(0.0, used_usec / (SAMPLE_S * 1e6) / cores * 100), 2),
            "memTotal": int(memory.get("limit") or resources.memory_mib * _MIB),
            "memUsed": int(memory.get("current") or memory.get("rss") or 0),
            "memCache": 0,
            "diskTotal": int(disk.get("total") or 0),
            "diskUsed": int(disk.get("used") or 0),
            "diskFree": max(0, int(disk.get("total") or 0) - int(disk.get("used") or 0)),
            "timestamp": shapes.stamp(now),
            "timestampUnix": int(now.timestamp()),
        }
    )


async def _ports(core: Core, actor: Actor, ref: str) -> list[int]:
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_READ)
    stats = await core.agents.stats(Reach.of(workspace))
    listed: list[dict[str, Any]] = list(stats.get("listening_ports") or ())
    return sorted({int(one["port"]) for one in listed})


async def _said(core: Core, actor: Actor, ref: str, script: str) -> str:
    workspace = await entered(core, actor, ref, Permission.WORKSPACE_EXEC)
    output = await tagged.step(core, Reach.of(workspace), script)
    return output.stdout.decode(errors="replace").removesuffix("\n")
