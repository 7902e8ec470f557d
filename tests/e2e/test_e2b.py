"""The packages of E2B, unmodified, against a real installation and what runs in it."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from demo.instance import Instance
from tests.contract.e2b import clients

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

PROGRAMS = Path(clients.__file__).parent / "programs"


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("module", ["lifecycle", "commands", "files", "pty", "interpreter"])
def test_every_call_does_what_e2b_documents(
    installation: Instance, tmp_path: Path, module: str, kind: str
) -> None:
    done = subprocess.run(
        [clients.python("newest"), "common.py", module, kind],
        cwd=PROGRAMS,
        env={
            "E2B_API_KEY": installation.token,
            "E2B_API_URL": f"{installation.url}/e2b",
            "E2B_SANDBOX_URL": f"{installation.url}/e2b",
            "HOME": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SPARE_PORT": str(random.randrange(20000, 30000)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    failed = {one["check"]: one["error"] for one in said if one["error"]}
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())
    written = (PROGRAMS / f"{module}.py").read_text().count("\nasync def check_")
    assert len(said) == written, done.stderr
