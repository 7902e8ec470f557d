"""Apps of a template, over all that may become of their workspace: claimed from a pool, paused,
resumed, kept and forked. They answer, and know whose they are."""

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.host.installation import IMAGE, Installation
from tests.host.server_process import ServerProcess

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
TIERS = ("container", "gvisor")
TEMPLATE = """
name: app-{tier}
isolation: {tier}
root: contained
image: {{debian: bookworm, packages: [sudo]}}
network: {{mode: none}}
resources: {{cpu: 1, memory: 256Mi, disk: 256Mi, pids: 128}}
lifecycle: {{idle_stop: 1h}}
pool: {{size: 1}}
apps:
  - name: web
    port: 8000
    env: {{FLAVOUR: plain}}
    health: {{path: /, interval: 1s}}
    command: |
      echo "$ALCOVE_WORKSPACE_NAME $ALCOVE_WORKSPACE_ID $TASK $FLAVOUR" >> ~/begun
      echo $$ > ~/pid
      exec python3 -c '
      import socket
      server = socket.create_server(("127.0.0.1", 8000))
      while True:
          client = server.accept()[0]
          client.recv(4096)
          client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nhere")
          client.close()
      '
"""
HEALTHY_S = 30.0


@pytest.fixture(scope="module")
def server(agent_binary: Path, essential_root: Path) -> Generator[ServerProcess]:
    host = Installation(f"a{os.getpid()}", {IMAGE.key: [essential_root]}, agent_binary)
    host.up()
    made = ServerProcess(host).up()
    for tier in TIERS:
        made.push(TEMPLATE.format(tier=tier))
    yield made
    made.end()
    host.remove()


@pytest.fixture(params=TIERS)
def claimed(server: ServerProcess, request: pytest.FixtureRequest) -> Generator[Any]:
    """A workspace of each tier that came from a pool, as somebody asked for it."""
    template = f"app-{request.param}"
    server.await_pool(template, ready=1)
    asked = {"template": template, "name": f"mine-{request.param}", "env": {"TASK": "fix"}}
    made = server.call("POST", "/workspaces?wait=60s", asked)
    yield made
    server.call("DELETE", f"/workspaces/{made['id']}?wait=30s")


def healthy(server: ServerProcess, workspace: str) -> dict[str, Any]:
    """The app, once it answers."""
    deadline = time.monotonic() + HEALTHY_S
    while True:
        (app,) = server.call("GET", f"/workspaces/{workspace}/apps")["items"]
        if app["state"] == "healthy":
            return dict(app)
        assert time.monotonic() < deadline, app
        time.sleep(0.1)


def says(server: ServerProcess, workspace: str, line: str) -> str:
    done = server.call("POST", f"/workspaces/{workspace}/exec", {"command": line})
    assert done["exit_code"] == 0, done
    return str(done["stdout"])


def begun(server: ServerProcess, workspace: str) -> list[str]:
    """As whose, each time that the app was started."""
    return says(server, workspace, "cat ~/begun").splitlines()


def end(server: ServerProcess, workspace: str) -> None:
    """Kill the app, and wait until it was started again and answers."""
    before = len(begun(server, workspace))
    says(server, workspace, "kill $(cat ~/pid)")
    deadline = time.monotonic() + HEALTHY_S
    while len(begun(server, workspace)) == before:
        assert time.monotonic() < deadline, "it is not started again"
        time.sleep(0.1)
    healthy(server, workspace)


def test_the_app_of_one_from_a_pool_is_its_owner_s(server: ServerProcess, claimed: Any) -> None:
    assert claimed["started"] == "pool"
    healthy(server, claimed["id"])
    assert begun(server, claimed["id"]) == [f"{claimed['name']} {claimed['id']} fix plain"]


def test_an_app_answers_after_a_pause_and_is_the_same(server: ServerProcess, claimed: Any) -> None:
    id = claimed["id"]
    healthy(server, id)
    server.call("POST", f"/workspaces/{id}/pause?wait=60s")
    server.call("POST", f"/workspaces/{id}/resume?wait=60s")
    assert server.call("GET", f"/workspaces/{id}")["phase"] == "running"
    healthy(server, id)
    assert len(begun(server, id)) == 1


def test_an_app_that_ends_after_a_resume_is_started_again_as_its_owner_s(
    server: ServerProcess, claimed: Any
) -> None:
    id = claimed["id"]
    healthy(server, id)
    server.call("POST", f"/workspaces/{id}/pause?wait=60s")
    server.call("POST", f"/workspaces/{id}/resume?wait=60s")
    end(server, id)
    assert begun(server, id)[1:] == [f"{claimed['name']} {id} fix plain"]


def test_the_app_of_a_fork_answers_and_is_the_fork_s_when_it_is_started(
    server: ServerProcess, claimed: Any
) -> None:
    healthy(server, claimed["id"])
    asked = {"count": 1, "name": f"fork-{claimed['isolation']}"}
    (fork,) = server.call("POST", f"/workspaces/{claimed['id']}/fork?wait=60s", asked)["items"]
    try:
        healthy(server, fork["id"])
        if claimed["isolation"] == "gvisor":  # it came along, and goes on until it ends
            assert len(begun(server, fork["id"])) == 1
            end(server, fork["id"])
        assert begun(server, fork["id"])[1:] == [f"{fork['name']} {fork['id']} fix plain"]
        healthy(server, claimed["id"])
        assert len(begun(server, claimed["id"])) == 1
    finally:
        server.call("DELETE", f"/workspaces/{fork['id']}?wait=30s")


def test_the_app_of_what_is_made_of_a_snapshot_answers(
    server: ServerProcess, claimed: Any
) -> None:
    healthy(server, claimed["id"])
    kept = server.call("POST", f"/workspaces/{claimed['id']}/snapshot?wait=60s", {})
    asked = {"snapshot": kept["id"], "env": {"TASK": "other"}}
    made = server.call("POST", "/workspaces?wait=60s", asked)
    try:
        healthy(server, made["id"])
        if claimed["isolation"] == "gvisor":
            end(server, made["id"])
        assert begun(server, made["id"])[1:] == [f"{made['name']} {made['id']} other plain"]
    finally:
        server.call("DELETE", f"/workspaces/{made['id']}?wait=30s")
        server.call("DELETE", f"/snapshots/{kept['id']}")
