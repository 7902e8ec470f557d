"""Directories for images lie below /var/tmp: like those of a host, on a disk."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from alcove.host.images import ImageLibrary
from alcove.host.settings import HostSettings
from tests.host.images.registry import Layout, Registry


@pytest.fixture(autouse=True)
def _umask() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """The host process runs with this one."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def settings() -> Generator[HostSettings]:
    directory = Path(tempfile.mkdtemp(prefix="alcove-images-", dir="/var/tmp"))
    yield HostSettings(data_dir=directory)
    shutil.rmtree(directory)


@pytest.fixture
def library(settings: HostSettings) -> Generator[ImageLibrary]:
    made = ImageLibrary(settings)
    yield made
    made.close()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Generator[Registry]:
    made = Registry(tmp_path_factory.mktemp("registry"))
    yield made
    made.close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "layout").mkdir()
    return Layout(tmp_path / "layout")


@pytest.fixture
def puller(settings: HostSettings, registry: Registry) -> Generator[Callable[..., ImageLibrary]]:
    """Libraries that know the registry's authority and password, unless told otherwise."""
    made: list[ImageLibrary] = []

    def make(**changes: object) -> ImageLibrary:
        told = replace(settings, ca_bundle=str(registry.ca), registry_auth_file=str(registry.auth))
        library = ImageLibrary(replace(told, **changes))  # pyright: ignore[reportArgumentType]
        made.append(library)
        return library

    yield make
    for library in made:
        library.close()
