"""Daytona's API, for its clients: `DAYTONA_API_URL=https://…/daytona/api`.

One module for each area; the shapes are in `shapes`, what is asked for in `creating`, errors in
`errors`. Every rule is in `core`.
"""

from typing import Final

from alcove.api.compat.daytona import (
    preview,
    rest,
    sandboxes,
    snapshots,
    toolbox_files,
    toolbox_git,
    toolbox_info,
    toolbox_process,
    toolbox_pty,
    toolbox_sessions,
    toolbox_transfers,
)

ROUTERS: Final = (
    sandboxes.routes,
    preview.routes,
    snapshots.routes,
    toolbox_sessions.routes,
    toolbox_pty.routes,
    toolbox_process.routes,
    toolbox_transfers.routes,
    toolbox_files.routes,
    toolbox_git.routes,
    toolbox_info.routes,
    rest.routes,
)
"""In this order: the last takes what none before it has."""
