"""One server for all tests of the command line, and a way to run commands against it."""

import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sdk.served import Served

ALCOVE = Path(sys.executable).with_name("alcove")


@dataclass(frozen=True)
class CommandLine:
    """Runs `alcove` as a shell would."""

    served: Served
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return self.served.environment(self.home)

    def __call__(
        self, *argv: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [ALCOVE, *argv],
            input=stdin,
            capture_output=True,
            env={**self.environment, **(env or {})},
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    server = Served.start(tmp_path_factory.mktemp("served"))
    yield server
    server.stop()


@pytest.fixture
def alcove(served: Served, tmp_path: Path) -> CommandLine:
    return CommandLine(served, tmp_path)


@pytest.fixture(scope="session")
def workspace(served: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of one that runs; a test leaves it as it was, but for files of its own."""
    run = CommandLine(served, tmp_path_factory.mktemp("home"))
    made = run("create", "shared", "-t", "plain", "-e", "SHELL=/bin/sh")
    assert made.returncode == 0, made.stderr
    return "shared"
