"""The blocking client is made from the asynchronous one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_blocking_client_is_what_the_source_makes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/async_to_sync.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
