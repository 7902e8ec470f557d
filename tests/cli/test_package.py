"""The package without its extras: the client alone."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [*command], cwd=cwd, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel and what it requires, and no more."""
    directory = tmp_path_factory.mktemp("package")
    uv = ROOT / ".tools/uv-command"
    run(uv, "build", "--wheel", "--out-dir", directory, cwd=ROOT)
    (wheel,) = directory.glob("alcove-*.whl")
    venv.create(directory / "venv", with_pip=False)
    run(uv, "pip", "install", "--python", directory / "venv/bin/python", wheel)
    return directory / "venv/bin"


def test_the_version_is_told(installed: Path) -> None:
    assert run(installed / "alcove", "--version").startswith("alcove ")


def test_the_library_is_there(installed: Path) -> None:
    program = "import alcove; alcove.Alcove('http://127.0.0.1:1', 'x'); alcove.AsyncAlcove"
    run(installed / "python", "-I", "-c", program)


def test_the_server_says_what_is_missing(installed: Path) -> None:
    done = subprocess.run(
        [installed / "alcove", "server"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "alcove[server]" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_of_the_server_is_required(installed: Path) -> None:
    names = run(installed / "python", "-c", "import sys, alcove.cli.app; print(*sys.modules)")
    assert not {"fastapi", "sqlalchemy", "uvicorn"} & set(names.split())


def test_every_module_of_the_client_loads(installed: Path) -> None:
    program = (
        "import pkgutil, importlib, alcove.sdk, alcove.cli\n"
        "for package in (alcove.sdk, alcove.cli):\n"
        "    for m in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(m.name)\n"
    )
    run(installed / "python", "-I", "-W", "error", "-c", program, cwd=Path(sys.prefix))
