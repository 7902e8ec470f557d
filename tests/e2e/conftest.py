"""One installation for all end-to-end tests of a run, made by the same `up` as any other."""

import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from alcove import Alcove
from demo import gitserver, instance
from demo.instance import Instance


@pytest.fixture(scope="session")
def installation() -> Generator[Instance]:
    with instance.running(daytona_snapshot="plain") as running:
        yield running


@pytest.fixture
def alcove(installation: Instance) -> Generator[Alcove]:
    with Alcove(installation.url, installation.token) as client:
        yield client


@pytest.fixture(scope="session")
def repositories() -> Generator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="session")
def forge(repositories: Path) -> Generator[str]:
    """The base URL of a Git server that serves what lies in `repositories`."""
    with gitserver.serving(repositories) as url:
        yield url
