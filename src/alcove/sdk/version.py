"""Which version this is. A constant, held to the package's metadata by a test: looking that up
takes longer than everything else that `alcove --version` does."""

import sys
from typing import Final

VERSION: Final = "0.1.0"


def user_agent() -> str:
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"alcove-python/{VERSION} python/{python}"
