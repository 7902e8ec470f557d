"""The packages `e2b` from PyPI, newest and a year old, with and without `await`, unmodified."""

import json
import random
from pathlib import Path

import anyio
import pytest

from tests.contract.e2b import clients
from tests.contract.e2b.conftest import E2bServer

PROGRAMS = Path(__file__).parent / "programs"
MODULES = ("lifecycle", "commands", "files", "pty")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("release", clients.RELEASES)
async def test_every_call_does_what_e2b_documents(
    e2b: E2bServer, home: Path, release: str, module: str, kind: str
) -> None:
    python = await anyio.to_thread.run_sync(clients.python, release)
    done = await anyio.run_process(
        [str(python), "common.py", module, kind],
        cwd=PROGRAMS,
        env={
            "E2B_API_KEY": e2b.token,
            "E2B_API_URL": e2b.base,
            "E2B_SANDBOX_URL": e2b.base,
            "HOME": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SPARE_PORT": str(random.randrange(20000, 30000)),
        },
        check=False,
    )
    said = [json.loads(line) for line in done.stdout.decode().splitlines()]
    failed = {one["check"]: one["error"] for one in said if one["error"]}
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())
    # A program that stops early is no success.
    written = (PROGRAMS / f"{module}.py").read_text().count("\nasync def check_")
    assert len(said) == written, done.stderr.decode()


@pytest.mark.timeout(400)
async def test_the_five_lines_of_the_readme_run(e2b: E2bServer, home: Path) -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text()
    lines = text.partition("<!-- e2b -->\n```python\n")[2].partition("```")[0]
    python = await anyio.to_thread.run_sync(clients.python, "newest")
    done = await anyio.run_process(
        [str(python), "-c", lines],
        env={
            "E2B_API_KEY": e2b.token,
            "E2B_API_URL": e2b.base,
            "E2B_SANDBOX_URL": e2b.base,
            "HOME": str(home),
        },
    )
    assert done.stdout == b"42\n\n"
