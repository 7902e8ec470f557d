"""What the agent of a new boot is told: environment, identity, start-up steps, apps, files.

Nothing of this is baked into an image or a runtime, so that one that was started before it had
an owner becomes anybody's. What is told is made here, purely; `hand_over` tells it.
"""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio

from alcove.config import Settings
from alcove.core.agent import Reach
from alcove.drivers.base import Adopting
from alcove.model.lifecycle import is_being_claimed
from alcove.model.workspace import NetworkMode, Spec, Workspace

if TYPE_CHECKING:
    from alcove.core.app import Core


async def hand_over(
    core: "Core",
    workspace: Workspace,
    boot: str | None,
    *,
    owner_name: str,
    restored: bool = False,
) -> None:
    """Make what runs the owner's: the driver's `adopt` if it came from a pool, and `/init`.

    `restored`: with its processes, of which the start-up is one that goes on or is over.
    May be repeated. Raises what driver and agent say; Conflict if the agent is another's.
    """
    assert workspace.handle is not None
    reach = Reach(workspace.id, workspace.handle, boot)
    body = claim_body(workspace, boot=boot, owner_name=owner_name, settings=core.settings)
    if restored:
        body = {name: value for name, value in body.items() if name != "startup"}
    driver = core.driver
    if not is_being_claimed(workspace) or not isinstance(driver, Adopting):
        await core.agents.init(reach, body)
        return
    # Start-up steps must find host name, limits and network as they are to be; without any,
    # the two need not wait for each other.
    if body["startup"]["steps"]:
        await driver.adopt(workspace.id, workspace.handle, workspace.spec)
        await core.agents.init(reach, body)
        return
    failed: list[Exception] = []

    async def init() -> None:
        try:
            await core.agents.init(reach, body)
        except Exception as error:
            failed.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(init)
        try:
            await driver.adopt(workspace.id, workspace.handle, workspace.spec)
        except Exception as error:
            failed.insert(0, error)
            group.cancel_scope.cancel()
    if failed:
        raise failed[0]


def claim_body(
    workspace: Workspace, *, boot: str | None, owner_name: str, settings: Settings
) -> Mapping[str, Any]:
    """The body of `POST /init`. The same boot always gets the same, so it may be repeated."""
    body: dict[str, Any] = {
        "env": {**_surroundings(workspace, owner_name, settings), **workspace.spec.env},
        "user": workspace.spec.user,
        "hostname": workspace.spec.hostname,
        "identity": {
            "workspace_id": workspace.id,
            "owner": owner_name,
            "name": workspace.name,
        },
        "startup": {"id": boot or "boot", "steps": startup_steps(workspace.spec)},
        "apps": supervised(workspace.spec),
    }
    if workspace.started_at is None and workspace.spec.files:
        body["files"] = dict(workspace.spec.files)
    if is_being_claimed(workspace):
        body["first_claim"] = claim_mark(workspace)
    return body


def claim_mark(workspace: Workspace) -> str:
    """Tells this claim from every other one: an agent that knows another mark refuses it.

    So that nobody ever gets what somebody else had, whatever the database believes.
    """
    said = f"{workspace.id} {workspace.owner} {workspace.created_at.isoformat()}"
    return hashlib.sha256(said.encode()).hexdigest()


def startup_steps(spec: Spec) -> list[Mapping[str, Any]]:
    """Clone first, since scripts may want the repository."""
    steps: list[Mapping[str, Any]] = []
    if (clone := spec.clone) is not None:
        steps.append(
            {
                "name": "clone",
                "kind": "clone",
                "url": clone.url,
                "branch": clone.branch,
                "dir": clone.directory,
                "author_name": clone.author_name,
                "author_email": clone.author_email,
            }
        )
    steps += [
        {
            "name": script.name,
            "kind": "script",
            "run": script.run,
            "timeout_ms": script.timeout_s * 1000,
            "blocks_login": script.blocks_login,
        }
        for script in spec.scripts
    ]
    return steps


def supervised(spec: Spec) -> list[Mapping[str, Any]]:
    """The apps that listen inside, as the agent keeps and watches them."""
    return [
        {
            "name": app.name,
            "command": app.command or "",
            "port": app.port,
            "start": app.start,
            "env": dict(app.env),
            "health": {
                "path": app.health.path or "",
                "interval_ms": app.health.interval_s * 1000,
                "threshold": app.health.threshold,
            },
        }
        for app in spec.apps
        if app.port is not None
    ]


def _surroundings(workspace: Workspace, owner_name: str, settings: Settings) -> Mapping[str, str]:
    """Who and where it is, and, with a network, the operator's proxies and mirrors."""
    env = {
        "ALCOVE": "true",
        "ALCOVE_WORKSPACE_ID": workspace.id,
        "ALCOVE_WORKSPACE_NAME": workspace.name,
        "ALCOVE_OWNER_NAME": owner_name,
        "ALCOVE_TEMPLATE": workspace.template,
        "ALCOVE_TEMPLATE_VERSION": str(workspace.template_version),
        "ALCOVE_EXTERNAL_URL": settings.url,
    }
    if workspace.spec.network is not NetworkMode.NONE:
        given = {
            "HTTP_PROXY": settings.http_proxy,
            "HTTPS_PROXY": settings.https_proxy,
            "NO_PROXY": settings.no_proxy,
            "PIP_INDEX_URL": settings.pip_index_url,
            "UV_INDEX_URL": settings.pip_index_url,
            "NPM_CONFIG_REGISTRY": settings.npm_registry,
            "GOPROXY": settings.goproxy,
        }
        env |= {name: value for name, value in given.items() if value}
        # Programs differ in which case they read.
        env |= {n.lower(): v for n, v in given.items() if v and n.endswith("_PROXY")}
    return env
