"""The package `e2b` from npm, unmodified, under Node."""

import json
import shutil
from pathlib import Path

import anyio
import pytest

from tests.contract.e2b import clients
from tests.contract.e2b.conftest import E2bServer

PROGRAM = Path(__file__).parent / "javascript/program.mjs"


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_every_call_does_what_e2b_documents(e2b: E2bServer, home: Path) -> None:
    packages = await anyio.to_thread.run_sync(clients.javascript)
    node = shutil.which("node")
    assert node is not None, "node is missing: install nodejs"
    # Modules are looked for beside the program.
    shutil.copy(PROGRAM, home)
    (home / "node_modules").symlink_to(packages / "node_modules")
    done = await anyio.run_process(
        [node, str(home / PROGRAM.name)],
        cwd=home,
        env={
            "E2B_API_KEY": e2b.token,
            "E2B_API_URL": e2b.base,
            "E2B_SANDBOX_URL": e2b.base,
            "HOME": str(home),
        },
        check=False,
    )
    said = [json.loads(line) for line in done.stdout.decode().splitlines()]
    failed = {one["check"]: one["error"] for one in said if one["error"]}
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())
    assert said, done.stderr.decode()
    assert said[-1].get("count") == len(said) - 1, done.stderr.decode()
