"""One installation for a module's tests, since starting one costs more than most of them."""

import os
import shutil
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.host.installation import HOSTILE, IMAGE, Installation, agent, essential


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


@pytest.fixture(scope="module")
def weak_shared(agent_binary: Path, essential_root: Path) -> Generator[Installation]:
    made = Installation(f"w{os.getpid()}", {IMAGE.key: [essential_root]}, agent_binary)
    made.up()
    yield made
    made.remove()


@pytest.fixture
async def weak_installation(weak_shared: Installation) -> AsyncGenerator[Installation]:
    """One of whose controls can be taken away, to show that each is missed."""
    weak_shared.connect()
    yield weak_shared
    await weak_shared.disconnect()


@pytest.fixture
async def hostile_installation(
    agent_binary: Path, essential_root: Path
) -> AsyncGenerator[Installation]:
    """Its second image is the first with a layer on top that a test makes hostile."""
    place = Path(f"/var/tmp/alcove-hostile-{os.getpid()}")
    for name in ("layer", "target"):
        (place / name).mkdir(parents=True)
    layers = {IMAGE.key: [essential_root], HOSTILE.key: [essential_root, place / "layer"]}
    made = Installation(f"h{os.getpid()}", layers, agent_binary)
    made.up()
    yield made
    await made.disconnect()
    made.remove()
    shutil.rmtree(place)
