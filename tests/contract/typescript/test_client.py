"""The TypeScript client against a real server with real agents, run by Node's own test runner."""

import shutil
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from alcove.core import service
from alcove.store.db import Database
from clients.typescript.generate import generate
from tests.api.agent_process import AgentDriver, add_plain_template
from tests.api.conftest import migrated, sqlite
from tests.api.served import ADA, listening, served
from tests.conftest import MovedClock

__all__ = ["migrated", "sqlite"]
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]
HERE = Path(__file__).parents[3] / "clients/typescript"
INSTALL = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client with what its lock file names, in a directory of its own, built."""
    target = tmp_path_factory.mktemp("client") / "typescript"
    shutil.copytree(HERE, target, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (INSTALL, ["npx", "tsc", "--project", "tsconfig.test.json"]):
        done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return target


@pytest.fixture
async def address(sqlite: Database, clock: MovedClock) -> AsyncGenerator[tuple[str, str]]:
    """The URL of a server that makes true what is asked for, and a token."""
    driver = AgentDriver()
    try:
        async with served(sqlite, clock, driver=driver) as api:
            async with sqlite.transaction() as tx:
                await add_plain_template(tx)
            secret = await api.token(ADA)
            async with listening(api.app) as url, anyio.create_task_group() as tasks:
                for loop in service.loops(api.core).values():
                    tasks.start_soon(loop)
                yield url, secret.text
                tasks.cancel_scope.cancel()
    finally:
        driver.close()


async def test_the_client_does_what_it_says(
    installed: Path, address: tuple[str, str], tmp_path: Path
) -> None:
    url, token = address
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "ALCOVE_URL": url,
        "ALCOVE_TOKEN": token,
        "STATE": str(tmp_path / "state"),
    }
    command = ["node", "--test", "--test-timeout=120000", "tests/dist/tests/"]
    done = await anyio.run_process(command, cwd=installed, env=env, check=False)
    assert done.returncode == 0, done.stdout.decode()
    assert "# fail 0" in done.stdout.decode() or "ℹ fail 0" in done.stdout.decode()


def test_the_types_are_those_of_the_api(installed: Path, tmp_path: Path) -> None:
    fresh = installed / "src/openapi.ts"
    made = tmp_path / "openapi.ts"
    generate(made, generator=installed / "node_modules/.bin/openapi-typescript")
    same = made.read_text() == fresh.read_text()
    assert same, "run .venv/bin/python clients/typescript/generate.py and commit what it writes"
