"""The values in which one asks for a workspace, or for a change of it."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

ParameterValue: TypeAlias = str | int | float | bool | Sequence[str]
IsolationName: TypeAlias = Literal["container", "gvisor", "microvm"]
OnExpiryName: TypeAlias = Literal["delete", "pause"]
OnIdleName: TypeAlias = Literal["stop", "pause"]


class Never:
    """The type of NEVER."""


NEVER: Final = Never()
"""For `ttl`: take the time to live away."""
