"""What the agent of a new boot is told: environment, identity, start-up steps. Pure.

Nothing of this is baked into an image or a runtime, so that one that was started before it had
an owner becomes anybody's.
"""

from collections.abc import Mapping
from typing import Any

from alcove.config import Settings
from alcove.model.workspace import NetworkMode, Spec, Workspace


def claim_body(
    workspace: Workspace, *, boot: str | None, owner_name: str, settings: Settings
) -> Mapping[str, Any]:
    """The body of `POST /init`. The same boot always gets the same, so it may be repeated."""
    return {
        "env": {**_surroundings(workspace, owner_name, settings), **workspace.spec.env},
        "user": workspace.spec.user,
        "hostname": workspace.spec.hostname,
        "identity": {
            "workspace_id": workspace.id,
            "owner": owner_name,
            "name": workspace.name,
        },
        "startup": {"id": boot or "boot", "steps": startup_steps(workspace.spec)},
    }


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
