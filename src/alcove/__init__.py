"""Alcove: development environments for people and for coding agents, on your own machines.

`from alcove import Alcove, AsyncAlcove` is the client library. Importing the package alone loads
nothing, since every program of it starts here.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alcove.sdk import Alcove, AsyncAlcove

__all__ = ["Alcove", "AsyncAlcove"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from alcove import sdk  # noqa: PLC0415 - see above

        return getattr(sdk, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
