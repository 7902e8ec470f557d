"""Run the machine's own programs and keep what they said for the case that they fail."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from alcove.ops.steps import StepFailed


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 900,
    hint: str = "",
) -> str:
    """Standard output of a command. Raises StepFailed with the end of what it printed."""
    words = [str(part) for part in command]
    try:
        done = subprocess.run(
            words,
            env=None if env is None else {**os.environ, **env},  # noqa: TID251 - passed on whole
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise StepFailed(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise StepFailed(f"`{' '.join(words)}` took longer than {timeout_s:.0f} s") from None
    if done.returncode != 0:
        said = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise StepFailed(f"`{' '.join(words)}` failed ({done.returncode}):\n  {said}\n  {hint}")
    return done.stdout
