"""Which version this is. Read when asked for, since the metadata takes time to find."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def client_version() -> str:
    try:
        return version("alcove")
    except PackageNotFoundError:
        return "unknown"


def user_agent() -> str:
    return f"alcove-python/{client_version()} python/{platform.python_version()}"
