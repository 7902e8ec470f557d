"""The network of workspaces in mode `open`: outbound only, guarded from outside.

The one rule: if the guard is not in place, no workspace is attached.
"""

from alcove.host.network.guard import OpenNetwork

__all__ = ["OpenNetwork"]
