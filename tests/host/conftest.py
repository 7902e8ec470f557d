"""One installation for a module's tests, since starting one costs more than most of them."""

import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.host.installation import IMAGE, Installation, agent, essential


@pytest.fixture(scope="session")
def agent_binary() -> Path:
    return agent()


@pytest.fixture(scope="session")
def essential_root() -> Path:
    return essential()


@pytest.fixture(scope="module")
def shared_installation(agent_binary: Path, essential_root: Path) -> Generator[Installation]:
    made = Installation(f"t{os.getpid()}", {IMAGE.key: [essential_root]}, agent_binary)
    made.up()
    yield made
    made.remove()


@pytest.fixture
async def installation(shared_installation: Installation) -> AsyncGenerator[Installation]:
    """The shared one, spoken to over this test's own connections."""
    shared_installation.connect()
    yield shared_installation
    await shared_installation.disconnect()


@pytest.fixture(scope="module")
def crash_installation(agent_binary: Path, essential_root: Path) -> Generator[Installation]:
    """For tests that kill the host process."""
    made = Installation(f"c{os.getpid()}", {IMAGE.key: [essential_root]}, agent_binary)
    made.up()
    yield made
    made.remove()
