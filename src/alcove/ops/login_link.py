"""`alcove login-link`: a one-time sign-in URL of the first admin, on the server's machine."""

import sys
from pathlib import Path

from alcove import config
from alcove.ops import admin
from alcove.ops.layout import Layout
from alcove.ops.steps import StepFailed


def run(*, data_dir: Path | None = None) -> int:
    """Print the URL and nothing else, so that it can be piped."""
    try:
        answer = admin.ask(Layout(data_dir or config.load().data_dir), "/sign-in-link", {})
    except StepFailed as error:
        sys.stderr.write(f"alcove: {error}\n")
        return 1
    sys.stdout.write(f"{answer['url']}\n")
    return 0
