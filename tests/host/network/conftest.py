"""One world per module: making one takes a third of a second."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.host.network import world as worlds
from tests.host.network.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """The network is set up in it."""
    made = worlds.make(Path(tmp_path_factory.mktemp("host")))
    made.setup()
    yield made
    made.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Generator[World]:
    """A world of this test's own, with nothing set up."""
    made = worlds.make(tmp_path)
    yield made
    made.close()
