"""Daytona's package, unmodified, against a real installation and what runs in it."""

import secrets
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from alcove import Alcove
from demo.instance import Instance
from tests.contract.daytona import clients

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

PLAIN = """
name: plain
kind: human
isolation: gvisor
image: {debian: bookworm, packages: [ca-certificates, git, python3, ripgrep]}
root: contained
resources: {cpu: 1, memory: 1Gi, disk: 2Gi, pids: 512}
ceilings: {cpu: 4, memory: 4Gi, disk: 10Gi}
"""


@pytest.fixture(scope="module")
def plain(installation: Instance, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The template that sandboxes are made of when none is named."""
    directory = tmp_path_factory.mktemp("plain")
    (directory / "template.yaml").write_text(PLAIN)
    with Alcove(installation.url, installation.token) as client:
        client.templates.push(directory, name="plain", promote=True)


@pytest.fixture
def caller(alcove: Alcove, plain: None) -> Generator[str]:
    """The token of somebody new, all of whose sandboxes are removed."""
    yield from _somebody(alcove)


@pytest.fixture
def stranger(alcove: Alcove) -> Generator[str]:
    yield from _somebody(alcove)


def _somebody(alcove: Alcove) -> Generator[str]:
    made = alcove.users.create(f"daytona-{secrets.token_hex(4)}", service=True)
    yield alcove.tokens.create("daytona", user=made.name).token
    for workspace in alcove.workspaces.list(owner=made.name):
        workspace.delete()
    alcove.users.disable(made.name)


@pytest.mark.parametrize(
    "program", ["lifecycle", "refused", "process", "pty", "files", "git", "kept"]
)
def test_every_call_does_what_daytona_documents(
    installation: Instance, caller: str, stranger: str, tmp_path: Path, program: str
) -> None:
    done = subprocess.run(
        [clients.python("newest"), "-W", "ignore", clients.PROGRAMS / f"{program}.py", "sync"],
        cwd=tmp_path,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "DAYTONA_API_KEY": caller,
            "DAYTONA_API_URL": f"{installation.url}/daytona/api",
            "FOREIGN_KEY": stranger,
            "SANDBOX_USER": "dev",
            "SERVER_URL": installation.url,
            "PYTHONPATH": str(clients.PROGRAMS),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
