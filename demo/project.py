"""A real third-party project: its published source, put into a Git repository on this machine."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Project:
    """What to fetch from the package index, and how its authors run its tests."""

    name: str
    version: str
    install: str
    """A shell line, run inside a fresh virtual environment in the checkout."""
    test: str
    change: tuple[str, str]
    """A file, and a line of text appended to it."""


_DOWNLOADS: Final = Path("/var/tmp/alcove-demo/sdist")

MARKUPSAFE: Final = Project(
    name="markupsafe",
    version="3.0.2",
    install="pip install --quiet --disable-pip-version-check . pytest",
    test="python -m pytest -q",
    change=("README.md", "Checked in an Alcove workspace."),
)
ITSDANGEROUS: Final = Project(
    name="itsdangerous",
    version="2.2.0",
    install="pip install --quiet --disable-pip-version-check . pytest freezegun",
    test="python -m pytest -q",
    change=("README.md", "Checked in an Alcove workspace."),
)


def publish(project: Project, work: Path, repositories: Path) -> Path:
    """Download the sdist, commit it, and answer the bare repository that serves it.

    The branch is `main`. Raises CalledProcessError with the output of what failed.
    """
    bare = repositories / f"{project.name}.git"
    source = _source(project, work)
    identity = {
        "GIT_AUTHOR_NAME": project.name,
        "GIT_AUTHOR_EMAIL": f"{project.name}@example.com",
        "GIT_COMMITTER_NAME": project.name,
        "GIT_COMMITTER_EMAIL": f"{project.name}@example.com",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    _run("git", "init", "--quiet", "--initial-branch=main", cwd=source, **identity)
    _run("git", "add", "--all", "--force", cwd=source, **identity)
    message = f"{project.name} {project.version}, as published"
    _run("git", "commit", "--quiet", "-m", message, cwd=source, **identity)
    shutil.rmtree(bare, ignore_errors=True)
    _run("git", "clone", "--quiet", "--bare", str(source), str(bare), cwd=work, **identity)
    _run("git", "config", "http.receivepack", "true", cwd=bare)
    return bare


def commit_of(bare: Path, branch: str) -> str | None:
    """The commit a branch points at on the server's side, or None."""
    done = subprocess.run(
        ["git", f"--git-dir={bare}", "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


def _source(project: Project, work: Path) -> Path:
    """The unpacked sdist, fetched with pip as anybody would."""
    pattern = f"{project.name}-{project.version}.tar.gz"
    if not (_DOWNLOADS / pattern).exists():
        wanted = f"{project.name}=={project.version}"
        options = ["--no-deps", "--no-binary", ":all:", "--disable-pip-version-check", "--quiet"]
        pip = [_python_with_pip(work), "-m", "pip"]
        _run(*pip, "download", *options, "--dest", str(_DOWNLOADS), wanted, cwd=work)
    archive = _DOWNLOADS / pattern
    target = work / project.name
    target.mkdir()
    _run("tar", "--extract", "--gzip", "--no-same-owner", "--strip-components=1",
         "--file", str(archive), "--directory", str(target), cwd=work)  # fmt: skip
    return target


def _python_with_pip(work: Path) -> str:
    environment = work / "pip"
    if not environment.exists():
        _run(sys.executable, "-m", "venv", str(environment), cwd=work)
    return str(environment / "bin/python")


def _run(*command: str, cwd: Path, **env: str) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},  # noqa: TID251 - the index and CA settings of the machine
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
