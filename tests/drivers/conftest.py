"""The installation of the local driver's tests."""

from tests.host.conftest import (
    agent_binary,
    essential_root,
    installation,
    shared_installation,
)

__all__ = ["agent_binary", "essential_root", "installation", "shared_installation"]
