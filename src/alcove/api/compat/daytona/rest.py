"""What Daytona has and we have not, said so; and everything else, which is not there."""

import re
from typing import Annotated, Final

from starlette.requests import Request
from starlette.responses import Response

from alcove.api.compat.daytona.routing import API, TOOLBOX, router
from alcove.http.access import needs_sign_in
from alcove.model.access import Actor
from alcove.model.errors import NotFound, Unsupported

routes = router("")
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_ABSENT: Final = (
    (r"toolbox/[^/]+/lsp/", "language servers are not offered; run one in the sandbox"),
    (r"toolbox/[^/]+/computeruse/", "computer use is not offered"),
    (
        r"toolbox/[^/]+/process/interpreter",
        "the code interpreter is not offered; run code with "
        "code_run, or with a session that keeps its state",
    ),
    (r"toolbox/[^/]+/env$", "the environment is settled at creation; give env with a command"),
    (r"toolbox/[^/]+/init$", "the sandbox is told who it is by the server only"),
    (r"api/volumes", "volumes are not offered; put files in, or begin from a snapshot"),
    (r"api/secrets?(/|$)", "secrets are not offered; give values in env"),
    (r"api/warm-pools", "pools belong to templates; see /api/v2/pools"),
    (r"api/object-storage/", "images are not built on request; push a template"),
    (
        r"api/(organizations|regions|runners|audit|webhooks|users|api-keys|jobs|docker-registry)",
        "there is one organization, kept over /api/v2",
    ),
    (r"api/sandbox/[^/]+/archive$", "there is no archive; a stopped sandbox costs disk only"),
    (r"api/sandbox/[^/]+/autoarchive/", "there is no archive; a stopped sandbox costs disk only"),
    (r"api/sandbox/[^/]+/backup$", "there is no backup of a sandbox; take a snapshot"),
    (
        r"api/sandbox/[^/]+/(ssh-access|secrets|telemetry|region-quota|organization)",
        "this is not offered",
    ),
    (r"api/sandbox/ssh-access/", "SSH access by token is not offered"),
    (r"api/sandbox/[^/]+/(parent|ancestors|forks)$", "who was forked from whom is not kept"),
    (r"api/sandbox/[^/]+/signing-key/rotate$", "the key ends with the sandbox"),
    (r"api/sandbox/[^/]+/build-logs", "images are not built on request"),
    (r"api/snapshots/[^/]+/(build-logs|deactivate)", "images are not built on request"),
)
ABSENT: Final = tuple((re.compile(f"/daytona/{pattern}"), why) for pattern, why in _ABSENT)


@routes.api_route(API + "/{rest:path}", methods=METHODS)
@routes.api_route(TOOLBOX + "/{rest:path}", methods=METHODS)
async def anything(request: Request, actor: Annotated[Actor, needs_sign_in()]) -> Response:
    """Raises Unsupported with the reason, or NotFound."""
    path = request.scope["path"]
    for pattern, why in ABSENT:
        if pattern.match(path):
            raise Unsupported(why)
    raise NotFound("there is nothing at this address")
