"""The official clients, unmodified, installed once from our lock files into `.tools`."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CACHE = ROOT / ".tools" / "contract"
PROGRAMS = HERE / "programs"


def python(name: str) -> Path:
    """The interpreter of an environment with what `requirements-NAME.txt` names."""
    lock = HERE / f"requirements-{name}.txt"
    place = CACHE / f"daytona-{name}-{_digest(lock)}"
    with _alone(place):
        if not (place / "ready").exists():
            uv = _uv()
            subprocess.run([uv, "venv", "-q", "--clear", "-p", sys.executable, place], check=True)
            install = [uv, "pip", "install", "-q", "--require-hashes", "--no-deps", "-r", lock]
            subprocess.run([*install, "-p", place / "bin/python"], check=True)
            (place / "ready").touch()
    return place / "bin" / "python"


def node_modules() -> Path:
    """A directory with the JavaScript client; programs are run from copies in it."""
    lock = HERE / "js" / "package-lock.json"
    place = CACHE / f"daytona-js-{_digest(lock)}"
    with _alone(place):
        if not (place / "ready").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / "js" / name, place / name)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            subprocess.run(command, cwd=place, check=True)
            (place / "ready").touch()
    return place


def _uv() -> str:
    ours = ROOT / ".tools" / "uv" / "bin" / "uv"
    return str(ours) if ours.exists() else shutil.which("uv") or "uv"


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:12]


@contextmanager
def _alone(place: Path) -> Generator[None]:
    """Tests of other processes want the same at the same time."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{place}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    assert os.access(place / "ready", os.F_OK)
