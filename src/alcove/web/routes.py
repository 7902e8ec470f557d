"""All pages, as the server includes them."""

from typing import Final

from fastapi import APIRouter

from alcove.web import (
    catalog,
    create,
    devices,
    live,
    palette,
    patterns,
    recordings,
    sign_in,
    workspace,
    workspace_parts,
    workspaces,
)

PAGES: Final[tuple[APIRouter, ...]] = (
    sign_in.routes,
    devices.routes,
    workspaces.routes,
    workspace.routes,
    workspace_parts.routes,
    catalog.routes,
    create.routes,
    live.routes,
    palette.routes,
    patterns.routes,
    recordings.routes,
)
