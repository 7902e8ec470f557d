"""Sandboxes made, kept, forked, paused and deleted by an agent through MCP, in real isolation."""

import os
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from tests.host.installation import IMAGE, Installation
from tests.host.server_process import ServerProcess

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
TIERS = ("container", "gvisor")
TEMPLATE = """
name: box-{tier}
isolation: {tier}
root: contained
kind: agent
image: {{debian: bookworm, packages: [sudo]}}
network: {{mode: none}}
resources: {{cpu: 1, memory: 256Mi, disk: 256Mi, pids: 128}}
lifecycle: {{idle_stop: 1h, ttl: 1h}}
"""
COUNT = "n=0; while true; do n=$((n+1)); echo $n > ~/count; sleep 0.02; done"
COUNTS = """
a=$(cat ~/count)
for i in $(seq 99); do [ $(cat ~/count) != $a ] && exit; sleep 0.05; done
exit 1
"""


@pytest.fixture(scope="module")
def server(agent_binary: Path, essential_root: Path) -> Generator[ServerProcess]:
    host = Installation(f"m{os.getpid()}", {IMAGE.key: [essential_root]}, agent_binary)
    host.up()
    made = ServerProcess(host).up()
    for tier in TIERS:
        made.push(TEMPLATE.format(tier=tier))
    yield made
    made.end()
    host.remove()


class Agent:
    """Calls tools by the protocol's own client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def use(self, tool: str, **asked: Any) -> Mapping[str, Any]:
        result = await self._client.call_tool(tool, asked)
        said = "".join(p.text for p in result.content if isinstance(p, TextContent))
        assert not result.is_error, said
        found: Mapping[str, Any] = result.structured_content
        return found

    async def run(self, sandbox: str, line: str) -> str:
        done = await self.use("run_command", sandbox=sandbox, command=line)
        assert done["exit_code"] == 0, done
        return str(done["stdout"]).strip()

    async def delete(self, *sandboxes: str) -> None:
        for one in sandboxes:
            await self.use("delete_sandbox", sandbox=one)


@pytest.fixture
async def agent(server: ServerProcess) -> AsyncGenerator[Agent]:
    async with _connected(server) as client:
        yield Agent(client)


@asynccontextmanager
async def _connected(server: ServerProcess) -> AsyncGenerator[Client]:
    head = {"authorization": f"Bearer {server.token}"}
    async with httpx2.AsyncClient(headers=head, timeout=120) as http:
        where = f"http://127.0.0.1:{server.port}/mcp"
        async with Client(streamable_http_client(where, http_client=http)) as client:
            yield client


async def gone(server: ServerProcess) -> None:
    """Until the host has nothing of any sandbox or snapshot."""
    host = server.installation
    host.connect()
    with anyio.fail_after(40):
        while await host.driver.inventory() or await host.driver.snapshots():  # noqa: ASYNC110
            await anyio.sleep(0.1)
    await host.disconnect()


@pytest.mark.parametrize("tier", TIERS)
async def test_an_agent_forks_a_sandbox_and_leaves_nothing(
    server: ServerProcess, agent: Agent, tier: str
) -> None:
    made = await agent.use("create_sandbox", template=f"box-{tier}", name=f"first-{tier}")
    assert (made["phase"], made["isolation"]) == ("running", tier)
    await agent.run(made["id"], "echo before > ~/note")
    forked = await agent.use("fork_sandbox", sandbox=made["id"], count=2, name=f"try-{tier}")
    ids = [item["id"] for item in forked["items"]]
    assert [item["name"] for item in forked["items"]] == [f"try-{tier}-1", f"try-{tier}-2"]
    for item in forked["items"]:
        assert item["phase"] == "running"
        assert await agent.run(item["id"], "cat ~/note; hostname") == f"before\n{item['name']}"
        await agent.run(item["id"], f"echo {item['id']} > ~/note")
    assert await agent.run(made["id"], "cat ~/note") == "before"
    await agent.delete(made["id"], *ids)
    await gone(server)


@pytest.mark.parametrize("tier", TIERS)
async def test_a_sandbox_that_an_agent_pauses_goes_on_where_it_was(
    server: ServerProcess, agent: Agent, tier: str
) -> None:
    made = await agent.use("create_sandbox", template=f"box-{tier}", name=f"still-{tier}")
    await agent.use("start_background", sandbox=made["id"], command=COUNT, tag="count")
    paused = await agent.use("pause_sandbox", sandbox=made["id"])
    assert paused["phase"] == "paused"
    resumed = await agent.use("resume_sandbox", sandbox=made["id"])
    assert resumed["phase"] == "running"
    await agent.run(made["id"], COUNTS)
    await agent.delete(made["id"])
    await gone(server)


@pytest.mark.parametrize("tier", TIERS)
async def test_a_snapshot_that_an_agent_takes_is_begun_from(
    server: ServerProcess, agent: Agent, tier: str
) -> None:
    made = await agent.use("create_sandbox", template=f"box-{tier}", name=f"kept-{tier}")
    await agent.run(made["id"], "echo setup > ~/note")
    kept = await agent.use("snapshot_sandbox", sandbox=made["id"], name=f"set-up-{tier}")
    assert (kept["state"], kept["memory"]) == ("ready", tier == "gvisor")
    await agent.delete(made["id"])
    again = await agent.use("create_sandbox", snapshot=kept["name"], name=f"again-{tier}")
    assert again["phase"] == "running"
    assert await agent.run(again["id"], "cat ~/note") == "setup"
    await agent.delete(again["id"])
    server.call("DELETE", f"/snapshots/{kept['id']}")
    await gone(server)
