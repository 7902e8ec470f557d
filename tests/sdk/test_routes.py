"""Whatever the API can do, the client can: a route without a method fails here."""

import httpx
import pytest

from alcove.sdk import Alcove, Workspace
from tests.sdk.served import Served

COVERED = {
    "GET /events": "events.list",
    "GET /exec-outputs": "exec_outputs.list",
    "GET /exec-outputs/{output}": "exec_outputs.get",
    "DELETE /exec-outputs/{output}": "exec_outputs.delete",
    "GET /pools": "pools.list",
    "GET /pools/{template}": "pools.get",
    "PUT /pools/{template}": "pools.set",
    "DELETE /pools/{template}": "pools.reset",
    "GET /recordings": "recordings.list",
    "GET /recordings/{recording}": "recordings.get",
    "GET /recordings/{recording}/cast": "recordings.download",
    "GET /recordings/{recording}/commands": "recordings.commands",
    "GET /recordings/{recording}/proof": "recordings.verify",
    "DELETE /recordings/{recording}": "recordings.delete",
    "GET /server": "server.info",
    "GET /sessions": "sessions.list",
    "DELETE /sessions/{id}": "sessions.end",
    "DELETE /snapshots/{snapshot}": "snapshots.delete",
    "GET /snapshots": "snapshots.list",
    "GET /snapshots/{snapshot}": "snapshots.get",
    "GET /templates": "templates.list",
    "GET /templates/{name}": "templates.get",
    "GET /templates/{name}/parameters": "templates.parameters",
    "GET /templates/{name}/versions": "templates.versions",
    "GET /tokens": "tokens.list",
    "GET /users": "users.list",
    "GET /users/me": "users.me",
    "GET /users/{user}": "users.get",
    "GET /workspaces": "workspaces.list",
    "GET /workspaces/{workspace}": "workspaces.get",
    "PATCH /users/{user}": "users.update",
    "POST /templates/lint": "templates.lint",
    "POST /templates/{name}/render": "templates.render",
    "POST /templates/{name}/versions": "templates.push",
    "POST /templates/{name}/versions/{number}/promote": "templates.promote",
    "POST /tokens": "tokens.create",
    "DELETE /tokens/{id}": "tokens.revoke",
    "GET /users/me/ssh-keys": "ssh.keys",
    "POST /users/me/ssh-keys": "ssh.add_key",
    "DELETE /users/me/ssh-keys/{id}": "ssh.remove_key",
    "POST /ssh/certificates": "ssh.certificate",
    "POST /users": "users.create",
    "POST /users/{user}/password": "users.set_password",
    "POST /users/{user}/sign-in-link": "users.sign_in_link",
    "POST /workspaces": "workspaces.create",
}
OF_A_WORKSPACE = {
    "DELETE ": "delete",
    "DELETE /files": "files.remove",
    "GET /archive": "files.download_directory",
    "GET /events": "events",
    "GET /files": "files.read",
    "GET /files/list": "files.list",
    "GET /logs": "logs",
    "GET /files/watch": "files.watch",
    "GET /apps": "apps",
    "GET /ports": "ports",
    "POST /ports/{port}/share": "ports.share",
    "DELETE /ports/{port}/share": "ports.unshare",
    "POST /ports/{port}/links": "ports.link",
    "GET /processes": "processes.list",
    "POST /processes": "processes.start",
    "GET /processes/{process}": "processes.look",
    "DELETE /processes/{process}": "processes.stop",
    "POST /processes/{process}/signal": "processes.signal",
    "GET /terminals": "terminals.list",
    "PATCH /terminals/{session}": "terminals.rename",
    "DELETE /terminals/{session}": "terminals.close",
    "PATCH ": "update",
    "POST /exec": "exec",
    "POST /fork": "fork",
    "POST /pause": "pause",
    "POST /restart": "restart",
    "POST /resume": "resume",
    "POST /snapshot": "snapshot",
    "POST /start": "start",
    "POST /stop": "stop",
    "PUT /archive": "files.upload_directory",
    "PUT /files": "files.write",
}
NOT_NEEDED = {
    "POST /device/code": "alcove.sdk.DeviceSignIn, which has no token yet",
    "POST /device/token": "alcove.sdk.DeviceSignIn",
    "POST /templates": "pushing a version makes the template",
    "GET /tokens/{id}": "a token is found in the list",
}


@pytest.mark.root
def test_every_route_has_a_method(served: Served, client: Alcove, workspace: Workspace) -> None:
    document = httpx.get(f"{served.url}/openapi.json", trust_env=False).json()
    routes = {
        f"{method.upper()} {path.removeprefix('/api/v2')}"
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/v2/")
    }
    base = "/workspaces/{workspace}"
    known = {
        *COVERED,
        *NOT_NEEDED,
        *(route.replace(" ", f" {base}", 1) for route in OF_A_WORKSPACE),
    }
    assert routes - known == set()
    for name in COVERED.values():
        assert callable(_reached(client, name)), name
    for name in OF_A_WORKSPACE.values():
        assert callable(_reached(workspace, name)), name


def _reached(start: object, name: str) -> object:
    for part in name.split("."):
        start = getattr(start, part)
    return start
