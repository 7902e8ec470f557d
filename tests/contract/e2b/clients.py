"""E2B's packages as they are published, pinned with their sums, installed once and kept.

They get a Python of their own: what they depend on is none of ours.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
CACHE: Final = Path("/var/tmp/alcove-tests")
RELEASES: Final = ("newest", "year-old")
INSTALL_TIMEOUT_S: Final = 300


def python(release: str) -> Path:
    """An interpreter that has this release."""
    pins = HERE / f"requirements-{release}.txt"
    home = CACHE / f"e2b-{release}-{_digest(pins)}"
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        half = home.with_name(f"{home.name}.{os.getpid()}")
        venv.create(half, with_pip=True, symlinks=True)
        _run(half / "bin/python", "-m", "pip", "install", "-q", "--require-hashes", "-r", pins)
        _keep(half, home)
    return home / "bin/python"


def javascript() -> Path:
    """A directory with the package for Node below `node_modules`."""
    lock = HERE / "javascript/package-lock.json"
    home = CACHE / f"e2b-javascript-{_digest(lock)}"
    if not home.exists():
        npm = shutil.which("npm")
        assert npm is not None, "npm is missing: install nodejs and npm"
        CACHE.mkdir(parents=True, exist_ok=True)
        half = home.with_name(f"{home.name}.{os.getpid()}")
        half.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "javascript" / name, half)
        _run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=half)
        _keep(half, home)
    return home


def _digest(*files: Path) -> str:
    text = b"".join(file.read_bytes() for file in files) + sys.version.encode()
    return hashlib.sha256(text).hexdigest()[:12]


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def _keep(half: Path, home: Path) -> None:
    try:
        half.rename(home)
    except OSError:  # another worker was quicker
        shutil.rmtree(half)
