"""Pools with the real server, host process, runc and agents: claims, and what is killed in one."""

import os
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alcove.model.workspace import WorkspaceId
from tests.host.installation import IMAGE, Installation
from tests.host.server_process import ServerProcess

pytestmark = [pytest.mark.root]

POOLED = """
name: pooled
kind: agent
isolation: container
root: contained
image: {debian: bookworm, packages: [sudo]}
resources: {cpu: 1, memory: 256Mi, disk: 1Gi, pids: 128}
ceilings: {cpu: 2, memory: 1Gi, disk: 2Gi}
lifecycle: {idle_stop: 1h}
pool: {size: 8, refill_per_second: 50}
"""


@pytest.fixture(scope="module")
def pooled_installation(agent_binary: Path, essential_root: Path) -> Generator[Installation]:
    made = Installation(f"p{os.getpid()}", {IMAGE.key: [essential_root]}, agent_binary)
    made.up()
    yield made
    made.remove()


SENTRIES = (
    POOLED.replace("name: pooled", "name: sentries")
    .replace("isolation: container", "isolation: gvisor")
    .replace("size: 8", "size: 3")
)


@pytest.fixture(scope="module")
def server(pooled_installation: Installation) -> Generator[ServerProcess]:
    made = ServerProcess(pooled_installation).up()
    made.push(POOLED)
    yield made
    made.end()


@pytest.fixture
def filled(server: ServerProcess) -> Generator[ServerProcess]:
    """With a full pool, and nothing of a former test."""
    server.await_pool("pooled", ready=8)
    yield server
    for workspace in _all(server):
        server.call("DELETE", f"/workspaces/{workspace['id']}")


def _all(server: ServerProcess) -> list[Any]:
    return list(server.call("GET", "/workspaces?limit=500")["items"])


def _create(server: ServerProcess, **asked: Any) -> Any:
    return server.call("POST", "/workspaces?wait=60s", {"template": "pooled", **asked})


def _sh(server: ServerProcess, workspace: str, line: str) -> str:
    done = server.call("POST", f"/workspaces/{workspace}/exec", {"command": line})
    assert done["exit_code"] == 0, done
    return str(done["stdout"])


def test_a_claimed_workspace_is_what_was_asked_for(filled: ServerProcess) -> None:
    made = _create(
        filled,
        name="api",
        env={"TASK": "fix it"},
        ttl="1h",
        resources={"memory": "512Mi", "pids": 200},
        files={"~/notes/task.txt": "the task"},
    )
    assert (made["started"], made["phase"]) == ("pool", "running")
    said = _sh(filled, made["id"], "echo $TASK; hostname; cat ~/notes/task.txt; id -un")
    assert said.split("\n") == ["fix it", "api", "the taskdev", ""]
    held = filled.installation.cgroups().limits(WorkspaceId(made["id"]))
    assert held.memory_bytes == 512 << 20
    assert held.pids is not None
    assert held.pids < 300


def test_a_claim_under_gvisor_is_what_was_asked_for_too(filled: ServerProcess) -> None:
    filled.push(SENTRIES)
    filled.await_pool("sentries", ready=3)
    made = filled.call(
        "POST",
        "/workspaces?wait=60s",
        {"template": "sentries", "name": "kernel", "env": {"TASK": "fix it"}, "ttl": "1h",
         "resources": {"memory": "512Mi"}, "files": {"~/task.txt": "the task"}},
    )  # fmt: skip
    assert (made["started"], made["phase"], made["isolation"]) == ("pool", "running", "gvisor")
    said = _sh(filled, made["id"], "echo $TASK; hostname; cat ~/task.txt; ls -d /proc/gvisor")
    assert said.split("\n")[:2] == ["fix it", "kernel"]
    assert "the task" in said
    filled.call("PUT", "/pools/sentries", {"size": 0})


def test_a_host_process_killed_in_the_middle_of_claims_loses_nothing(
    filled: ServerProcess,
) -> None:
    """Each that was answered runs as it was asked for, whatever its limits had come to."""
    installation = filled.installation

    def claim(number: int) -> Any:
        return _create(filled, name=f"k{number}", resources={"memory": "320Mi"})

    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(claim, number) for number in range(6)]
        time.sleep(0.02)
        installation.kill()
        installation.up()
        made = [answer.result() for answer in answers]
    assert [one["phase"] for one in made] == ["running"] * 6
    for one in made:
        assert _sh(filled, one["id"], "hostname") == one["name"] + "\n"
        limits = installation.cgroups().limits(WorkspaceId(one["id"]))
        assert limits.memory_bytes == 320 << 20


def test_nobody_sees_what_another_one_left(filled: ServerProcess) -> None:
    ids = [_create(filled, name=f"one-{n}")["id"] for n in range(6)]
    for n, id in enumerate(ids):
        assert _sh(filled, id, f"ls -A ~ | grep -c mark || true; echo {n} > ~/mark").startswith(
            "0"
        )
    assert len(set(ids)) == 6
    filled.call("DELETE", f"/workspaces/{ids[0]}?wait=30s")
    filled.await_pool("pooled", ready=8)
    again = _create(filled, name="again")
    assert again["id"] not in ids


def test_members_whose_agents_were_killed_are_not_handed_out(filled: ServerProcess) -> None:
    """They are claimed, found dead, and the same workspaces start cold."""
    cgroups = filled.installation.cgroups()
    for id in cgroups.ids():
        for pid in cgroups.processes(id):
            os.kill(pid, 9)
    made = _create(filled, name="phoenix", env={"A": "b"})
    assert (made["phase"], made["started"]) == ("running", "cold")
    assert "could not be used" in made["started_why"]
    assert _sh(filled, made["id"], "echo $A; hostname") == "b\nphoenix\n"


def test_a_server_killed_in_the_middle_of_claims_gives_nothing_twice_and_loses_nothing(
    filled: ServerProcess,
) -> None:
    stop = threading.Event()
    answered: dict[str, str] = {}

    def claims(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"w{worker}-{number}"
            try:
                made = _create(filled, name=name, env={"MARK": name})
            except (AssertionError, OSError):
                continue
            answered[name] = made["id"]

    with ThreadPoolExecutor(4) as threads:
        for worker in range(4):
            threads.submit(claims, worker)
        for pause in (0.15, 0.4):
            time.sleep(pause)
            filled.kill()
            filled.up()
        time.sleep(0.2)
        stop.set()
    found = {workspace["name"]: workspace for workspace in _all(filled)}
    assert set(answered.items()) <= {(name, w["id"]) for name, w in found.items()}
    assert len({w["id"] for w in found.values()}) == len(found)
    for name, workspace in found.items():
        done = _settled(filled, workspace["id"])
        assert done["phase"] == "running", done
        assert _sh(filled, done["id"], "echo $MARK; hostname") == f"{name}\n{name}\n"
    filled.await_pool("pooled", ready=8)
    pool = filled.call("GET", "/pools/pooled")
    assert (pool["failed"], pool["ready"]) == (0, 8)


def _settled(server: ServerProcess, id: str) -> Any:
    """As soon as it runs or failed, also in the eyes of the reconciler."""
    deadline = time.monotonic() + 60
    while True:
        found = server.call("GET", f"/workspaces/{id}")
        if found["phase"] == "failed" or (found["phase"] == "running" and found["started_at"]):
            return found
        assert time.monotonic() < deadline, f"{id} does not settle: {found}"
        time.sleep(0.05)
