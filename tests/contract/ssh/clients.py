"""Paramiko and Ansible as they are published, pinned with their sums, installed once and kept."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

PINS: Final = Path(__file__).parent / "requirements.txt"
CACHE: Final = Path("/var/tmp/alcove-tests")
INSTALL_TIMEOUT_S: Final = 300


def programs() -> Path:
    """The `bin` of a Python that has them. Run what is in it by that Python: it was moved."""
    text = PINS.read_bytes() + sys.version.encode()
    home = CACHE / f"ssh-clients-{hashlib.sha256(text).hexdigest()[:12]}"
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        half = home.with_name(f"{home.name}.{os.getpid()}")
        venv.create(half, with_pip=True, symlinks=True)
        install = [half / "bin/python", "-m", "pip", "install", "-q", "--require-hashes"]
        done = subprocess.run(
            [str(word) for word in [*install, "-r", PINS]],
            capture_output=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        try:
            half.rename(home)
        except OSError:  # another worker was quicker
            shutil.rmtree(half)
    return home / "bin"
