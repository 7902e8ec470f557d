from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.contract.ssh.stage import Stage, open_stage


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """The home of who connects."""
    path = tmp_path / "client"
    path.mkdir()
    return path


@pytest.fixture
async def stage(file_url: str, client: Path) -> AsyncGenerator[Stage]:
    async with open_stage(file_url, client) as stage:
        yield stage
