"""The README's tour, run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.instance import Instance
from demo.project import MARKUPSAFE, publish

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _block(marker: str, language: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def _environment(installation: Instance) -> dict[str, str]:
    return {
        **os.environ,  # noqa: TID251 - what a person's shell has
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "ALCOVE_URL": installation.url,
        "ALCOVE_TOKEN": installation.token,
    }


def test_the_tour_on_the_command_line(
    installation: Instance, forge: str, repositories: Path, tmp_path: Path
) -> None:
    publish(MARKUPSAFE, tmp_path, repositories)
    block = _block("tour: every line below is run by tests/e2e/test_readme.py", "console")
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    # The one thing that differs here: the project comes from this machine.
    script = "\n".join(lines).replace("https://github.com/pallets", forge)
    script = script.replace(f"{forge}/markupsafe", f"{forge}/markupsafe.git")
    done = subprocess.run(
        ["bash", "-ex", "-c", script],
        cwd=tmp_path,
        env=_environment(installation),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as published" in done.stdout
    assert "42" in done.stdout
    assert "from a file" in done.stdout


def test_the_tour_in_python(installation: Instance, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _block("tour: python", "python")],
        cwd=tmp_path,
        env=_environment(installation),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0 tests pass\n\n"
