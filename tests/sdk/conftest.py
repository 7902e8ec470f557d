"""One server for all tests of the client."""

from collections.abc import Generator

import pytest

from alcove.sdk import Alcove, Workspace
from tests.sdk.served import Served


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    server = Served.start(tmp_path_factory.mktemp("served"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def client(served: Served) -> Generator[Alcove]:
    with Alcove(served.url, served.token) as client:
        yield client


@pytest.fixture(scope="session")
def workspace(client: Alcove) -> Workspace:
    """One that runs; a test leaves it as it was, but for files of its own."""
    return client.workspaces.create("plain", name="shared", env={"SHELL": "/bin/sh"})
