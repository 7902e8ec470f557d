"""What a command loads. Counted in modules and not in seconds, so that it cannot creep in."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from alcove.sdk.version import VERSION

HEAVY = {
    "importlib.metadata",
    "httpx",
    "pydantic",
    "rich",
    "typer",
    "click",
    "websockets",
    "asyncio",
}
SERVER = {"fastapi", "sqlalchemy", "uvicorn", "alembic", "alcove.core", "alcove.api"}


def loaded_by(*argv: str) -> set[str]:
    program = (
        "import sys; from alcove.cli.main import main; code = main(sys.argv[1:]); "
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *argv],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    return set(done.stderr.rpartition("\n")[2].split())


def test_the_version_is_the_package_s() -> None:
    assert version("alcove") == VERSION


def test_the_version_is_told_without_loading_anything_heavy() -> None:
    assert not loaded_by("--version") & HEAVY


def test_help_does_not_load_an_http_client() -> None:
    assert not loaded_by("--help") & {"httpx", "pydantic", "websockets"}


@pytest.mark.parametrize("argv", [["--help"], ["list"], ["create", "-t", "python"]])
def test_the_client_never_loads_the_server(argv: list[str]) -> None:
    assert not loaded_by(*argv) & SERVER


def test_a_list_loads_neither_websockets_nor_the_command_line_of_httpx() -> None:
    assert not {m for m in loaded_by("list") if m.startswith(("websockets", "pygments"))}


def test_importing_the_package_loads_no_client() -> None:
    program = "import sys, alcove; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & HEAVY
