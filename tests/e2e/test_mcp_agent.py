"""An agent without a model fixes a seeded bug in a real project, with nothing but MCP.

It knows what a coding agent knows: the task, and what the tools answer. It reads, runs the
tests and sees them fail, edits, runs them again, commits, and pushes; the result is checked on
the Git server's side.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import TextContent

from demo import leftovers
from demo.instance import Instance
from demo.project import ITSDANGEROUS, publish

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]
ALCOVE = str(Path(sys.executable).with_name("alcove"))
FILE = "src/itsdangerous/encoding.py"
RIGHT = 'base64.urlsafe_b64encode(string).rstrip(b"=")'
WRONG = "base64.urlsafe_b64encode(string)"
TEST = "PATH=$PWD/.venv/bin:$PATH; python -m pytest -q 2>&1"


class Agent:
    """Calls tools, and takes an error for the end of the work."""

    def __init__(self, client: Client, sandbox: str) -> None:
        self._client = client
        self.sandbox = sandbox

    async def use(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        asked = {"sandbox": self.sandbox, **arguments}
        result = await self._client.call_tool(tool, asked)
        said = "".join(p.text for p in result.content if isinstance(p, TextContent))
        assert not result.is_error, said
        answer: Mapping[str, Any] = result.structured_content
        return answer

    async def run(self, line: str, *, timeout_s: int = 300) -> str:
        done = await self.use(
            "run_command", command=line, cwd=ITSDANGEROUS.name, timeout_s=timeout_s
        )
        assert done["exit_code"] == 0, f"{line}:\n{done['stdout']}{done['stderr']}"
        return str(done["stdout"])


async def test_an_agent_fixes_a_bug_through_mcp_only(
    installation: Instance, forge: str, repositories: Path, tmp_path: Path
) -> None:
    bare = publish(ITSDANGEROUS, tmp_path, repositories)
    seeded = seed(bare, tmp_path / "seeding")
    env = {"ALCOVE_URL": installation.url, "ALCOVE_TOKEN": installation.token}
    command = StdioServerParameters(command=ALCOVE, args=["mcp"], env=env)
    async with Client(command, read_timeout_seconds=600) as client:
        asked = {
            "repo": f"{forge}/{bare.name}",
            "branch": "main",
            "network": "open",
            "ttl": "30m",
            "wait_s": 600,
        }
        made = await client.call_tool("create_sandbox", asked)
        assert not made.is_error, made.content
        assert made.structured_content["phase"] == "running", made.content
        assert made.structured_content["health"] == "ok", made.content
        agent = Agent(client, made.structured_content["id"])
        try:
            await fix(agent)
        finally:
            await client.call_tool("delete_sandbox", {"sandbox": agent.sandbox})
            await gone(client, agent.sandbox)
    assert RIGHT in show(bare, f"fix:{FILE}")
    assert show(bare, "fix^") == show(bare, seeded), "one commit on top of the seeded bug"
    changed = git(bare, "diff", "--name-only", "fix^", "fix").split()
    assert changed == [FILE]
    assert "Strip" in git(bare, "log", "-1", "--format=%s", "fix")
    # A process that was killed is there until its parent has taken note of it.
    with anyio.move_on_after(15):
        while leftovers.of_workspaces(installation, [agent.sandbox]):  # noqa: ASYNC110 - no event
            await anyio.sleep(0.2)
    assert leftovers.of_workspaces(installation, [agent.sandbox]) == []


async def fix(agent: Agent) -> None:
    """What an agent would do with the task `the tests fail; mend it and push a branch fix`."""
    name = ITSDANGEROUS.name
    listed = await agent.use("list_files", path=name, depth=3)
    paths = [item["path"] for item in listed["items"]]
    assert any(path.endswith(f"{name}/{FILE}") for path in paths)
    await agent.run("python3 -m venv .venv")
    await agent.run(f"PATH=$PWD/.venv/bin:$PATH; {editable(ITSDANGEROUS.install)}")

    failing = await agent.use("run_command", command=TEST, cwd=name, timeout_s=300)
    assert failing["exit_code"] == 1
    failed = re.findall(r"^FAILED (\S+?)::", failing["stdout"], re.MULTILINE)
    assert "tests/test_itsdangerous/test_serializer.py" in failed

    found = await agent.use("search_files", pattern=r"def base64_encode", path=name, glob="*.py")
    (match,) = [m for m in found["items"] if m["path"].startswith("src/")]
    path = f"{name}/{match['path']}"
    read = await agent.use("read_file", path=path, first_line=match["line"], lines=12)
    (line,) = [text for text in read["text"].split("\n") if WRONG in text]

    # A server in the background while it works, as a developer would have one.
    serve = "python3 -u -m http.server 8765 --bind 127.0.0.1"
    await agent.use("start_background", command=serve, cwd=name, tag="docs")
    await agent.use("edit_file", path=path, old_text=line, new_text=line.replace(WRONG, RIGHT))
    passing = await agent.run(TEST)
    assert " passed" in passing.strip().splitlines()[-1]
    assert " failed" not in passing
    page = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8765/').status)"
    assert await agent.run(f'python3 -c "{page}"') == "200\n"
    log = await agent.use("read_background_logs", tag="docs")
    assert '"GET / HTTP/1.1" 200' in log["output"]
    assert (await agent.use("stop_background", tag="docs"))["state"] != "running"

    await agent.run("git checkout --quiet -b fix")
    status = await agent.run("git status --porcelain --untracked-files=no")
    assert status == f" M {FILE}\n"
    await agent.run("git commit --quiet --all -m 'Strip the padding of what is encoded'")
    await agent.run("git push --quiet origin fix")


async def gone(client: Client, sandbox: str) -> None:
    """Until nothing of it is left."""
    with anyio.fail_after(60):
        while True:
            found = await client.call_tool("get_sandbox", {"sandbox": sandbox})
            if found.is_error or found.structured_content["phase"] == "deleted":
                return
            await anyio.sleep(0.2)


def editable(install: str) -> str:
    """So that the tests see what the agent edits."""
    return install.replace(" . ", " --editable . ")


def seed(bare: Path, work: Path) -> str:
    """Put a bug on the main branch; answers its commit."""
    git(bare, "clone", "--quiet", str(bare), str(work), bare_repository=False)
    file = work / FILE
    text = file.read_text()
    assert text.count(RIGHT) == 1, json.dumps(text)
    file.write_text(text.replace(RIGHT, WRONG))
    identity = ["-c", "user.name=seed", "-c", "user.email=seed@example.com"]
    git(work / ".git", *identity, "--work-tree", str(work), "commit", "-qam", "Keep padding")
    git(work / ".git", "push", "--quiet", "origin", "HEAD:main")
    commit = git(bare, "rev-parse", "main").strip()
    shutil.rmtree(work)
    return commit


def show(bare: Path, what: str) -> str:
    return git(bare, "show", what) if ":" in what else git(bare, "rev-parse", what)


def git(directory: Path, *arguments: str, bare_repository: bool = True) -> str:
    where = [f"--git-dir={directory}"] if bare_repository else []
    done = subprocess.run(["git", *where, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
